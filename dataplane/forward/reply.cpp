#include "dataplane/forward/reply.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"

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
  using Ip = IpHeader<Family>;
  constexpr bool kV4 = Family::kAddressBytes == 4;
  constexpr std::uint32_t kAdded = sizeof(Ip) + sizeof(IcmpHeader);
  constexpr std::uint32_t kLongest = kV4 ? 576 : 1280;  // Of the IP packet.
  const std::uint32_t least = frame.l4 - frame.l3 + static_cast<std::uint32_t>(sizeof(UdpHeader));
  if (frame.room < frame.l3 + kAdded + least || least > kLongest - kAdded) return 0;
  const std::uint32_t present = std::min(frame.end, frame.length) - frame.l3;
  const std::uint32_t quoted =
      std::min({present, kLongest - kAdded, frame.room - frame.l3 - kAdded});

  std::uint8_t* l3 = frame.data + frame.l3;
  const auto client = read_address<Family>(reinterpret_cast<const Ip*>(l3)->source);
  const auto vip = read_address<Family>(reinterpret_cast<const Ip*>(l3)->destination);
  std::memmove(l3 + kAdded, l3, quoted);
  const std::uint8_t protocol = kV4 ? kProtocolIcmp : kProtocolIcmp6;
  const std::uint32_t length = sizeof(IcmpHeader) + quoted;
  write_ip_header<Family>(l3, vip, client, protocol, length);
  std::uint8_t* l4 = l3 + sizeof(Ip);
  IcmpHeader icmp{};
  icmp.type = kV4 ? 3 : 1;  // Destination unreachable,
  icmp.code = kV4 ? 3 : 4;  // port unreachable.
  std::memcpy(l4, &icmp, sizeof(icmp));
  // ICMP of IPv4 has no pseudo header.
  icmp.checksum = kV4 ? header_checksum(l4, length)
                      : transport_checksum<Family>(vip.data(), client.data(), protocol, l4, length);
  std::memcpy(l4, &icmp, sizeof(icmp));
  return pad(frame, frame.l3 + kAdded + quoted);
}

template bool is_single_host<Ipv4>(const Ipv4::Address&);
template bool is_single_host<Ipv6>(const Ipv6::Address&);
template std::uint32_t answer_tcp<Ipv4>(const AnswerFrame&);
template std::uint32_t answer_tcp<Ipv6>(const AnswerFrame&);
template std::uint32_t answer_udp<Ipv4>(const AnswerFrame&);
template std::uint32_t answer_udp<Ipv6>(const AnswerFrame&);

}  // namespace sluice
