#include "dataplane/forward/reply.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/icmp_error.h"

namespace sluice {
namespace {

constexpr std::uint8_t kAnswerTtl = 64;
constexpr std::uint32_t kSmallestFrame = 60;

// Writes the IP header of an answer with `payload` bytes behind it, from the asked to the asker.
template <typename Family>
void write_ip_header(std::uint8_t* l3, const typename Family::Address& source,
                     const typename Family::Address& destination, std::uint8_t protocol,
                     std::uint32_t payload) {
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(l3);
  std::memset(l3, 0, sizeof(ip));
  if constexpr (Family::kAddressBytes == 4) {
    ip.version_ihl = 0x45;
    ip.total_length = Be16::from_host(static_cast<std::uint16_t>(sizeof(ip) + payload));
    ip.fragment = Be16::from_host(kIpv4DontFragment);
    ip.ttl = kAnswerTtl;
    ip.protocol = protocol;
  } else {
    ip.version_class_label[0] = 0x60;
    ip.payload_length = Be16::from_host(static_cast<std::uint16_t>(payload));
    ip.next_header = protocol;
    ip.hop_limit = kAnswerTtl;
  }
  std::memcpy(ip.source, source.data(), Family::kAddressBytes);
  std::memcpy(ip.destination, destination.data(), Family::kAddressBytes);
  if constexpr (Family::kAddressBytes == 4) ip.checksum = header_checksum(l3, sizeof(ip));
}

// The frame's new length: as long as the answer, padded as far as the old frame reached the least
// length.
std::uint32_t pad(const AnswerFrame& frame, std::uint32_t length) {
  const std::uint32_t padded = std::max(length, std::min(frame.length, kSmallestFrame));
  std::memset(frame.data + length, 0, padded - length);
  return padded;
}

// The refused packet moves back behind the headers of an ICMP error, which quotes as much of it as
// may be, and as there is room for.
template <typename Family>
std::uint32_t answer_error(const AnswerFrame& frame, std::uint8_t type, std::uint8_t code,
                           std::uint32_t word) {
  using Ip = IpHeader<Family>;
  constexpr std::uint32_t kAdded = sizeof(Ip) + sizeof(IcmpHeader);
  constexpr std::uint32_t kLeastTransport = 8;  // RFC 792.
  const std::uint32_t least = std::min(frame.l4 + kLeastTransport, frame.end) - frame.l3;
  if (frame.room < frame.l3 + kAdded + least || least > kMaxQuoted<Family>) return 0;
  const std::uint32_t present = std::min(frame.end, frame.length) - frame.l3;
  const std::uint32_t quoted =
      std::min({present, kMaxQuoted<Family>, frame.room - frame.l3 - kAdded});
  std::uint8_t* l3 = frame.data + frame.l3;
  const auto& ip = *reinterpret_cast<const Ip*>(l3);
  const auto asker = read_address<Family>(ip.source);
  const auto from = read_address<Family>(frame.from != nullptr ? frame.from : ip.destination);
  std::memmove(l3 + kAdded, l3, quoted);
  write_error<Family>(l3, from, asker, type, code, word, quoted);
  return pad(frame, frame.l3 + kAdded + quoted);
}

}  // namespace

bool AnswerBudget::take(Ticks now) {
  if (now != last_) {
    const Ticks ticks = now - last_;
    last_ = now;
    const std::uint64_t filled = tokens_ + std::uint64_t{ticks} * per_tick_;
    tokens_ = filled < size_ ? static_cast<std::uint32_t>(filled) : size_;
  }
  if (tokens_ == 0) return false;
  --tokens_;
  return true;
}

template <typename Family>
void write_error(std::uint8_t* l3, const typename Family::Address& from,
                 const typename Family::Address& to, std::uint8_t type, std::uint8_t code,
                 std::uint32_t word, std::uint32_t quoted) {
  constexpr std::uint8_t kProtocol = icmp_protocol<Family>();
  const std::uint32_t length = sizeof(IcmpHeader) + quoted;
  write_ip_header<Family>(l3, from, to, kProtocol, length);
  std::uint8_t* l4 = l3 + sizeof(IpHeader<Family>);
  IcmpHeader icmp{};
  icmp.type = type;
  icmp.code = code;
  write32(icmp.rest, word);
  std::memcpy(l4, &icmp, sizeof(icmp));
  // ICMP of IPv4 has no pseudo header.
  icmp.checksum = Family::kAddressBytes == 4
                      ? header_checksum(l4, length)
                      : transport_checksum<Family>(from.data(), to.data(), kProtocol, l4, length);
  std::memcpy(l4, &icmp, sizeof(icmp));
}

template <typename Family>
bool is_single_host(const typename Family::Address& a) {
  if constexpr (Family::kAddressBytes == 4) {
    return a[0] != 0 && a[0] != 127 && a[0] < 224;
  } else {
    if (a[0] == 0xff) return false;
    // Neither :: nor ::1.
    return std::any_of(a.begin(), a.end() - 1, [](std::uint8_t byte) { return byte != 0; }) ||
           a[15] > 1;
  }
}

template <typename Family>
std::uint32_t answer_tcp(const AnswerFrame& frame) {
  using Ip = IpHeader<Family>;
  std::uint8_t* l3 = frame.data + frame.l3;
  const auto asked = *reinterpret_cast<const TcpHeader*>(frame.data + frame.l4);
  if ((asked.flags & kTcpRst) != 0) return 0;
  const auto client = read_address<Family>(reinterpret_cast<const Ip*>(l3)->source);
  const auto vip = read_address<Family>(reinterpret_cast<const Ip*>(l3)->destination);
  const std::uint32_t segment = frame.end - frame.l4 - asked.header_bytes() +
                                ((asked.flags & kTcpSyn) != 0) + ((asked.flags & kTcpFin) != 0);

  TcpHeader reset{};
  reset.source_port = asked.destination_port;
  reset.destination_port = asked.source_port;
  reset.data_offset = sizeof(TcpHeader) / 4 << 4;
  if ((asked.flags & kTcpAck) != 0) {
    std::memcpy(reset.sequence, asked.acknowledgment, sizeof(reset.sequence));
    reset.flags = kTcpRst;
  } else {
    write32(reset.acknowledgment, read32(asked.sequence) + segment);
    reset.flags = kTcpRst | kTcpAck;
  }
  std::uint8_t* l4 = l3 + sizeof(Ip);
  std::memcpy(l4, &reset, sizeof(reset));
  write_ip_header<Family>(l3, vip, client, kProtocolTcp, sizeof(reset));
  const Be16 checksum =
      transport_checksum<Family>(vip.data(), client.data(), kProtocolTcp, l4, sizeof(reset));
  reinterpret_cast<TcpHeader*>(l4)->checksum = checksum;
  return pad(frame, frame.l3 + static_cast<std::uint32_t>(sizeof(Ip) + sizeof(reset)));
}

template <typename Family>
std::uint32_t answer_udp(const AnswerFrame& frame) {
  constexpr bool kV4 = Family::kAddressBytes == 4;
  return answer_error<Family>(frame, kV4 ? kIcmpUnreachable : kIcmp6Unreachable, kV4 ? 3 : 4, 0);
}

template <typename Family>
std::uint32_t answer_time_exceeded(const AnswerFrame& frame) {
  constexpr bool kV4 = Family::kAddressBytes == 4;
  return answer_error<Family>(frame, kV4 ? kIcmpTimeExceeded : kIcmp6TimeExceeded, 0, 0);
}

template <typename Family>
std::uint32_t answer_too_big(const AnswerFrame& frame, std::uint32_t mtu) {
  mtu = std::max(mtu, kLeastMtu<Family>);
  if constexpr (Family::kAddressBytes == 4) {
    return answer_error<Family>(frame, kIcmpUnreachable, kIcmpFragmentationNeeded,
                                std::min(mtu, 0xffffu));
  } else {
    return answer_error<Family>(frame, kIcmp6TooBig, 0, mtu);
  }
}

#define SLUICE_INSTANTIATE(Family)                                                                 \
  template bool is_single_host<Family>(const Family::Address&);                                    \
  template std::uint32_t answer_tcp<Family>(const AnswerFrame&);                                   \
  template std::uint32_t answer_udp<Family>(const AnswerFrame&);                                   \
  template std::uint32_t answer_time_exceeded<Family>(const AnswerFrame&);                         \
  template std::uint32_t answer_too_big<Family>(const AnswerFrame&, std::uint32_t);                \
  template void write_error<Family>(std::uint8_t*, const Family::Address&, const Family::Address&, \
                                    std::uint8_t, std::uint8_t, std::uint32_t, std::uint32_t);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
