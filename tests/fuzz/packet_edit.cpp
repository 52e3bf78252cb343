#include "tests/fuzz/packet_edit.h"

#include <algorithm>
#include <utility>

#include "dataplane/forward/reply.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/packet/sctp.h"

namespace sluice::fuzz {
namespace {

using test::Bytes;

void put16_at(Bytes& b, std::size_t at, unsigned value) {
  b[at] = static_cast<std::uint8_t>(value >> 8);
  b[at + 1] = static_cast<std::uint8_t>(value);
}

void repair_ipv4_header(Bytes& b) {
  std::size_t l3 = 14;
  while (b.size() >= l3 + 2 && l3 < 22) {
    const unsigned type = test::get16(b, l3 - 2);
    if (type != kEtherTypeVlan && type != kEtherTypeQinQ) break;
    l3 += kVlanTagBytes;
  }
  if (b.size() < l3 + 20 || test::get16(b, l3 - 2) != Ipv4::kEtherType) return;
  const std::size_t header = (b[l3] & 15u) * 4u;
  if (header < 20 || b.size() < l3 + header) return;
  put16_at(b, l3 + 10, 0);
  put16_at(b, l3 + 10, ~test::plain_sum(b.data() + l3, header) & 0xffff);
}

void repair_sctp(Bytes& b, const Seen& seen) {
  constexpr std::size_t kChecksumAt = 8;
  std::fill_n(b.begin() + static_cast<std::ptrdiff_t>(seen.l4 + kChecksumAt), 4, std::uint8_t{0});
  const std::uint32_t crc = crc32c(b.data() + seen.l4, seen.end - seen.l4);
  for (unsigned i = 0; i < 4; ++i)
    b[seen.l4 + kChecksumAt + i] = static_cast<std::uint8_t>(crc >> 8 * i);
}

void repair_transport(Bytes& b) {
  const Seen seen = parse(b, static_cast<std::uint32_t>(b.size()));
  if (seen.kind == PacketKind::refused || seen.fragment || seen.routed) return;
  if (seen.protocol == kProtocolSctp) return repair_sctp(b, seen);
  if (!seen.has_ports() && !seen.is_icmp()) return;
  const std::size_t at = checksum_at(seen);
  // A UDP packet without a checksum stays one.
  if (seen.protocol == kProtocolUdp && test::get16(b, at) == 0) return;
  put16_at(b, at, 0);
  const unsigned checksum = ~transport_sum(b, seen) & 0xffff;
  put16_at(b, at, seen.protocol == kProtocolUdp && checksum == 0 ? 0xffff : checksum);
}

template <typename Family>
Bytes error_of(const Bytes& packet, const Seen& seen, std::uint8_t which, std::uint16_t mtu) {
  struct Kind {
    std::uint8_t type, code;
  };
  constexpr Kind kIpv4[8] = {{3, 4}, {3, 1}, {3, 3}, {11, 0}, {12, 0}, {3, 4}, {4, 0}, {8, 0}};
  constexpr Kind kIpv6[8] = {{2, 0}, {1, 3}, {1, 4}, {3, 0}, {4, 0}, {2, 0}, {137, 0}, {128, 0}};
  constexpr bool kV4 = Family::kAddressBytes == 4;
  constexpr std::size_t kAdded = sizeof(IpHeader<Family>) + sizeof(IcmpHeader);
  const Kind kind = kV4 ? kIpv4[which % 8] : kIpv6[which % 8];
  const std::size_t most = which < 8 ? 28 : which / 8 * 40u;
  const std::size_t quoted = std::min<std::size_t>({seen.end - seen.l3, most, kMaxQuoted<Family>});
  Bytes error(packet.begin(), packet.begin() + static_cast<std::ptrdiff_t>(seen.l3));
  error.resize(seen.l3 + kAdded);
  error.insert(error.end(), packet.begin() + static_cast<std::ptrdiff_t>(seen.l3),
               packet.begin() + static_cast<std::ptrdiff_t>(seen.l3 + quoted));
  typename Family::Address router{}, sender;
  router[0] = kV4 ? 192 : 0x20;
  router[Family::kAddressBytes - 1] = 77;
  std::memcpy(sender.data(), packet.data() + seen.l3 + (kV4 ? 12 : 8), sender.size());
  write_error<Family>(error.data() + seen.l3, router, sender, kind.type, kind.code, mtu,
                      static_cast<std::uint32_t>(quoted));
  return error;
}

}  // namespace

void repair(Bytes& packet) {
  repair_ipv4_header(packet);
  repair_transport(packet);
}

Bytes reply_to(const Bytes& packet, std::uint8_t tcp_flags) {
  const Seen seen = parse(packet, static_cast<std::uint32_t>(packet.size()));
  if (seen.kind == PacketKind::refused || !seen.has_ports() || seen.fragment) return {};
  Bytes reply = packet;
  const std::size_t bytes = seen.v4() ? 4 : 16;
  const std::size_t source = seen.l3 + (seen.v4() ? 12 : 8);
  const auto at = [&reply](std::size_t n) {
    return reply.begin() + static_cast<std::ptrdiff_t>(n);
  };
  std::swap_ranges(at(0), at(6), at(6));
  std::swap_ranges(at(source), at(source + bytes), at(source + bytes));
  std::swap_ranges(at(seen.l4), at(seen.l4 + 2), at(seen.l4 + 2));
  if (seen.protocol == kProtocolTcp) {
    // Acknowledges the first byte, or the SYN.
    std::swap_ranges(at(seen.l4 + 4), at(seen.l4 + 8), at(seen.l4 + 8));
    for (std::size_t n = seen.l4 + 11; n >= seen.l4 + 8 && ++reply[n] == 0; --n) {
    }
    reply[seen.l4 + 13] = tcp_flags;
  }
  return reply;
}

Bytes error_about(const Bytes& packet, std::uint8_t which, std::uint16_t mtu) {
  const Seen seen = parse(packet, static_cast<std::uint32_t>(packet.size()));
  if (seen.kind == PacketKind::ipv4) return error_of<Ipv4>(packet, seen, which, mtu);
  if (seen.kind == PacketKind::ipv6) return error_of<Ipv6>(packet, seen, which, mtu);
  return {};
}

}  // namespace sluice::fuzz
