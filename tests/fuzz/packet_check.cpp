#include "tests/fuzz/packet_check.h"

#include <algorithm>
#include <utility>

#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {
namespace {

using test::Bytes;

constexpr std::size_t kTcpChecksumAt = 16, kUdpChecksumAt = 6;

std::size_t checksum_at(const Seen& seen) {
  return seen.l4 + (seen.protocol == kProtocolTcp ? kTcpChecksumAt : kUdpChecksumAt);
}

// Folded sum over pseudo header and transport bytes; 0xffff when the checksum in them is right.
unsigned transport_sum(const Bytes& b, const Seen& seen) {
  const bool v4 = seen.kind == PacketKind::ipv4;
  const std::size_t length = seen.end - seen.l4;
  unsigned sum = 0;
  if (seen.protocol != kProtocolIcmp) {
    sum = test::plain_sum(b.data() + seen.l3 + (v4 ? 12 : 8), v4 ? 8 : 32);
    const std::uint8_t rest[4] = {0, seen.protocol, static_cast<std::uint8_t>(length >> 8),
                                  static_cast<std::uint8_t>(length)};
    sum = test::plain_sum(rest, sizeof(rest), sum);
  }
  return test::plain_sum(b.data() + seen.l4, length, sum);
}

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

void repair_transport(Bytes& b) {
  const Seen seen = parse(b, static_cast<std::uint32_t>(b.size()));
  if (seen.kind == PacketKind::refused || !seen.has_ports() || seen.fragment_or_routed) return;
  // A UDP packet without a checksum stays one.
  const std::size_t at = checksum_at(seen);
  if (seen.protocol == kProtocolUdp && test::get16(b, at) == 0) return;
  put16_at(b, at, 0);
  const unsigned checksum = ~transport_sum(b, seen) & 0xffff;
  put16_at(b, at, seen.protocol == kProtocolUdp && checksum == 0 ? 0xffff : checksum);
}

bool same(const Bytes& a, std::size_t a_at, const Bytes& b, std::size_t b_at, std::size_t bytes) {
  return a.size() >= a_at + bytes && b.size() >= b_at + bytes &&
         std::equal(a.begin() + static_cast<std::ptrdiff_t>(a_at),
                    a.begin() + static_cast<std::ptrdiff_t>(a_at + bytes),
                    b.begin() + static_cast<std::ptrdiff_t>(b_at));
}

// What stands in the transport header beside ports and checksum, and everything behind it.
void check_payload(const Bytes& before, const Seen& old, const Bytes& after, const Seen& now) {
  const std::size_t checksum = checksum_at(old) - old.l4;
  FUZZ_CHECK(same(before, old.l4 + 4, after, now.l4 + 4, checksum - 4));
  const std::size_t present =
      std::min<std::size_t>(old.end, before.size()) - (old.l4 + checksum + 2);
  FUZZ_CHECK(same(before, old.l4 + checksum + 2, after, now.l4 + checksum + 2, present));
}

void check_checksum(const Bytes& before, const Seen& old, const Bytes& after, const Seen& now) {
  const bool none = old.protocol == kProtocolUdp && test::get16(before, checksum_at(old)) == 0;
  if (none) {
    FUZZ_CHECK(test::get16(after, checksum_at(now)) == 0);
  } else {
    FUZZ_CHECK((transport_sum(before, old) == 0xffff) == (transport_sum(after, now) == 0xffff));
  }
}

}  // namespace

Seen parse(const Bytes& present, std::uint32_t total_length) {
  ParsedBurst parsed;
  const std::uint8_t* data = present.data();
  const auto length = static_cast<std::uint32_t>(present.size());
  const std::uint8_t place = 0;
  parse_burst(&data, &length, &total_length, &place, 1, parsed);
  return {parsed.kind[0],
          parsed.l3[0],
          parsed.l4[0],
          parsed.end[0],
          parsed.protocol[0],
          parsed.vlan_tags[0],
          parsed.source_port[0],
          parsed.destination_port[0],
          parsed.not_for_vip[0] != DropReason::none || parsed.form[0] != Form::whole};
}

void repair(Bytes& packet) {
  repair_ipv4_header(packet);
  repair_transport(packet);
}

Bytes reply_to(const Bytes& packet, std::uint8_t tcp_flags) {
  const Seen seen = parse(packet, static_cast<std::uint32_t>(packet.size()));
  if (seen.kind == PacketKind::refused || !seen.has_ports()) return {};
  Bytes reply = packet;
  const std::size_t bytes = seen.kind == PacketKind::ipv4 ? 4 : 16;
  const std::size_t source = seen.l3 + (bytes == 4 ? 12 : 8);
  const auto at = [&reply](std::size_t n) {
    return reply.begin() + static_cast<std::ptrdiff_t>(n);
  };
  std::swap_ranges(at(0), at(6), at(6));
  std::swap_ranges(at(source), at(source + bytes), at(source + bytes));
  std::swap_ranges(at(seen.l4), at(seen.l4 + 2), at(seen.l4 + 2));
  if (seen.protocol == kProtocolTcp) reply[seen.l4 + 13] = tcp_flags;
  return reply;
}

void check_forwarded(const Bytes& before, const Bytes& after, bool whole,
                     std::uint32_t total_length) {
  const Seen old = parse(before, total_length + (static_cast<std::uint32_t>(before.size()) -
                                                 static_cast<std::uint32_t>(after.size())));
  const Seen now = parse(after, total_length);
  FUZZ_CHECK(now.kind == old.kind && now.kind != PacketKind::refused);
  FUZZ_CHECK(now.vlan_tags == 0 && now.protocol == old.protocol && now.has_ports());
  FUZZ_CHECK(!now.fragment_or_routed);
  FUZZ_CHECK(now.l4 - now.l3 == old.l4 - old.l3 && now.end - now.l4 == old.end - old.l4);
  check_payload(before, old, after, now);
  if (whole) check_checksum(before, old, after, now);
}

bool is_fragment_or_icmp(const Bytes& before, std::uint32_t total_length) {
  const Seen seen =
      parse(before, std::max(total_length, static_cast<std::uint32_t>(before.size())));
  return seen.fragment_or_routed || !seen.has_ports();
}

void check_parses(const Bytes& after, std::uint32_t total_length) {
  FUZZ_CHECK(parse(after, total_length).kind != PacketKind::refused);
}

void check_answer(const Bytes& after) {
  const Seen now = parse(after, static_cast<std::uint32_t>(after.size()));
  FUZZ_CHECK(now.kind == PacketKind::ipv4 || now.kind == PacketKind::ipv6);
  FUZZ_CHECK(now.vlan_tags == 0 && !now.fragment_or_routed);
  FUZZ_CHECK(transport_sum(after, now) == 0xffff);
  if (now.protocol == kProtocolTcp) {
    FUZZ_CHECK((after[now.l4 + 13] & kTcpRst) != 0);
  } else {
    FUZZ_CHECK(now.protocol == (now.kind == PacketKind::ipv4 ? kProtocolIcmp : kProtocolIcmp6));
  }
}

}  // namespace sluice::fuzz
