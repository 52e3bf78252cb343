// Tunnel headers in front of a packet: IP-in-IP, GUE and VXLAN, any family in any. The packet
// itself stays where it is; what is written lies before it.
//
// Requires: the parser accepted the packet, and tunnel_bytes() bytes may be written before its IP
//   header, less the Ethernet header that is there. Thread: any, pure. Ownership: the caller's
//   bytes.
// Shapes: Ethernet, outer IP, then for GUE and VXLAN UDP and their own header, for VXLAN an inner
//   Ethernet header; MAC addresses of the outer Ethernet header are left for the next hop.
// Units: bytes; ports and addresses in network order.
// Sources: RFC 2003 (4in4), 2473 (6in6, 4in6), 4213 (6in4), draft-ietf-intarea-gue (version 0 and
//   Linux' FOU), RFC 7348 (VXLAN), 6040 (ECN, normal mode), 2983 (DSCP, uniform), 6935/6936 and
//   768 (UDP checksums), 6438 (flow label), 6864 (IPv4 id).
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/family.h"
#include "dataplane/packet/headers.h"

namespace sluice {

enum class TunnelKind : std::uint8_t { none, ipip, gue, vxlan };

inline constexpr std::uint16_t kGuePort = 6080;
inline constexpr std::uint8_t kTunnelTtl = 64;

struct SLUICE_WIRE GueHeader {
  std::uint8_t version_control_length = 0;  // Version 0, data, no optional fields.
  std::uint8_t protocol = 0;                // Of what it carries.
  Be16 flags{};
};
static_assert(sizeof(GueHeader) == 4);

struct SLUICE_WIRE VxlanHeader {
  std::uint8_t flags = 8;  // The VNI is valid.
  std::uint8_t reserved[3] = {};
  std::uint8_t vni[3] = {};
  std::uint8_t reserved_too = 0;
};
static_assert(sizeof(VxlanHeader) == 8);

// Bytes before the inner IP header that are layer 3's: what a tunnel takes from the MTU.
constexpr std::uint32_t tunnel_bytes(TunnelKind kind, std::uint32_t outer_address_bytes) {
  const std::uint32_t ip = outer_address_bytes == 4 ? sizeof(Ipv4Header) : sizeof(Ipv6Header);
  switch (kind) {
    case TunnelKind::none:
      return 0;
    case TunnelKind::ipip:
      return ip;
    case TunnelKind::gue:
      return ip + sizeof(UdpHeader) + sizeof(GueHeader);
    case TunnelKind::vxlan:
      return ip + sizeof(UdpHeader) + sizeof(VxlanHeader) + sizeof(EthernetHeader);
  }
  return 0;
}

// What the outer headers take from the inner packet.
struct InnerPacket {
  std::uint32_t l3_bytes = 0;      // From its IP header to its end.
  std::uint8_t protocol = 0;       // kProtocolIpv4 or kProtocolIpv6.
  std::uint8_t traffic_class = 0;  // DSCP and ECN.
  bool may_fragment = false;       // IPv4 without DF.
  std::uint64_t sum = 0;           // Of its bytes, one's complement; for UDP over IPv6 alone,
  bool summed = false;             //   if it is known: else that checksum is zero.
};

// Sum of a packet whose own checksums hold, without reading its payload: a TCP or UDP segment and
// its pseudo header come to nothing together, so does an IPv4 header. Where a checksum does not
// hold the outer one does not either, and the receiver drops the packet as it would have dropped
// the inner one.
template <typename Family>
std::uint64_t sum_by_checksums(const std::uint8_t* l3, std::uint8_t protocol,
                               std::uint32_t l4_offset, std::uint32_t l4_bytes) {
  const auto& ip = *reinterpret_cast<const IpHeader<Family>*>(l3);
  const std::uint64_t pseudo =
      pseudo_header_sum<Family>(ip.source, ip.destination, protocol, l4_bytes);
  // Minus the pseudo header: plus its complement.
  const std::uint64_t segment = static_cast<std::uint16_t>(~fold(pseudo));
  return sum_bytes(l3, l4_offset) + segment;
}

template <typename Outer>
struct OuterHeader {
  TunnelKind kind = TunnelKind::none;
  typename Outer::Address source{}, destination{};
  Be16 port{};                               // UDP destination: GUE, VXLAN.
  std::uint32_t vni = 0;                     // VXLAN.
  const std::uint8_t* inner_mac = nullptr;   // VXLAN: destination of the inner frame,
  const std::uint8_t* inner_from = nullptr;  //   and its source.
  std::uint32_t entropy = 0;                 // Of the flow: UDP source port, flow label.
  std::uint16_t id = 0;                      // IPv4 id where the outer packet may be fragmented.
};

namespace encapsulate_detail {

inline std::uint8_t* put_udp(std::uint8_t* end, Be16 destination, std::uint32_t entropy,
                             std::uint32_t payload) {
  UdpHeader udp;
  udp.source_port = Be16::from_host(static_cast<std::uint16_t>(49152 + (entropy & 16383)));
  udp.destination_port = destination;
  udp.length = Be16::from_host(static_cast<std::uint16_t>(sizeof(udp) + payload));
  udp.checksum = Be16{};
  std::memcpy(end - sizeof(udp), &udp, sizeof(udp));
  return end - sizeof(udp);
}

// Put together in registers and stored in words: a header built in memory byte by byte and read
// back in words for its checksum would wait for the stores.
template <typename Outer>
std::uint8_t* put_ip(std::uint8_t* end, const OuterHeader<Outer>& outer, const InnerPacket& inner,
                     std::uint8_t protocol, std::uint32_t payload) {
  std::uint8_t* at = end - sizeof(IpHeader<Outer>);
  if constexpr (Outer::kAddressBytes == 4) {
    const Be16 length = Be16::from_host(static_cast<std::uint16_t>(sizeof(Ipv4Header) + payload));
    const Be16 id = Be16::from_host(inner.may_fragment ? outer.id : std::uint16_t{0});
    const Be16 fragment =
        Be16::from_host(inner.may_fragment ? std::uint16_t{0} : kIpv4DontFragment);
    const std::uint32_t first =
        0x45u | std::uint32_t{inner.traffic_class} << 8 | std::uint32_t{length.raw} << 16;
    const std::uint32_t second = id.raw | std::uint32_t{fragment.raw} << 16;
    std::uint32_t third = std::uint32_t{kTunnelTtl} | std::uint32_t{protocol} << 8;
    std::uint32_t source, destination;
    std::memcpy(&source, outer.source.data(), sizeof(source));
    std::memcpy(&destination, outer.destination.data(), sizeof(destination));
    const std::uint64_t sum =
        std::uint64_t{first} + second + third + source + std::uint64_t{destination};
    third |= std::uint32_t{static_cast<std::uint16_t>(~fold(sum))} << 16;
    const std::uint64_t head = first | std::uint64_t{second} << 32;
    const std::uint64_t tail = third | std::uint64_t{source} << 32;
    std::memcpy(at, &head, sizeof(head));
    std::memcpy(at + 8, &tail, sizeof(tail));
    std::memcpy(at + 16, &destination, sizeof(destination));
  } else {
    const std::uint32_t first = __builtin_bswap32(
        6u << 28 | std::uint32_t{inner.traffic_class} << 20 | (outer.entropy & 0xfffff));
    const Be16 length = Be16::from_host(static_cast<std::uint16_t>(payload));
    const std::uint64_t head = first | std::uint64_t{length.raw} << 32 |
                               std::uint64_t{protocol} << 48 | std::uint64_t{kTunnelTtl} << 56;
    std::memcpy(at, &head, sizeof(head));
    std::memcpy(at + 8, outer.source.data(), Outer::kAddressBytes);
    std::memcpy(at + 24, outer.destination.data(), Outer::kAddressBytes);
  }
  return at;
}

}  // namespace encapsulate_detail

// Writes the headers before `l3` and gives where the frame begins now.
template <typename Outer>
inline std::uint8_t* encapsulate(std::uint8_t* l3, const OuterHeader<Outer>& outer,
                                 const InnerPacket& inner) {
  using namespace encapsulate_detail;
  std::uint8_t* at = l3;
  std::uint32_t payload = inner.l3_bytes;
  std::uint8_t protocol = inner.protocol;
  if (outer.kind == TunnelKind::vxlan) {
    at -= sizeof(EthernetHeader);
    std::memcpy(at, outer.inner_mac, 6);
    std::memcpy(at + 6, outer.inner_from, 6);
    const Be16 type =
        Be16::from_host(inner.protocol == kProtocolIpv4 ? Ipv4::kEtherType : Ipv6::kEtherType);
    std::memcpy(at + 12, &type, sizeof(type));
    VxlanHeader vxlan;
    vxlan.vni[0] = static_cast<std::uint8_t>(outer.vni >> 16);
    vxlan.vni[1] = static_cast<std::uint8_t>(outer.vni >> 8);
    vxlan.vni[2] = static_cast<std::uint8_t>(outer.vni);
    at -= sizeof(vxlan);
    std::memcpy(at, &vxlan, sizeof(vxlan));
    payload += sizeof(EthernetHeader) + sizeof(VxlanHeader);
  } else if (outer.kind == TunnelKind::gue) {
    GueHeader gue;
    gue.protocol = inner.protocol;
    at -= sizeof(gue);
    std::memcpy(at, &gue, sizeof(gue));
    payload += sizeof(GueHeader);
  }
  if (outer.kind != TunnelKind::ipip) {
    at = put_udp(at, outer.port, outer.entropy, payload);
    payload += sizeof(UdpHeader);
    protocol = kProtocolUdp;
    if (Outer::kAddressBytes == 16 && inner.summed) {
      auto& udp = *reinterpret_cast<UdpHeader*>(at);
      const std::uint64_t sum =
          pseudo_header_sum<Outer>(outer.source.data(), outer.destination.data(), kProtocolUdp,
                                   payload) +
          sum_bytes(at, static_cast<std::size_t>(l3 - at)) + inner.sum;
      const Be16 checksum{static_cast<std::uint16_t>(~fold(sum))};
      udp.checksum = checksum.raw == 0 ? Be16{0xffff} : checksum;
    }
  }
  at = put_ip<Outer>(at, outer, inner, protocol, payload) - sizeof(EthernetHeader);
  const Be16 type = Be16::from_host(Outer::kEtherType);
  std::memcpy(at + 12, &type, sizeof(type));
  return at;
}

// One hop older, before it goes into a tunnel.
template <typename Family>
void age_one_hop(std::uint8_t* l3) {
  if constexpr (Family::kAddressBytes == 4) {
    // TTL, protocol, checksum: in packet order one less in the first is one more in the last.
    std::uint32_t word;
    std::memcpy(&word, l3 + 8, sizeof(word));
    std::uint32_t checksum = (word >> 16) + 1;
    checksum += checksum >= 0xffff;
    word = ((word - 1) & 0xffff) | checksum << 16;
    std::memcpy(l3 + 8, &word, sizeof(word));
  } else {
    --reinterpret_cast<Ipv6Header*>(l3)->hop_limit;
  }
}

template <typename Family>
std::uint8_t traffic_class(const std::uint8_t* l3) {
  if constexpr (Family::kAddressBytes == 4) {
    return reinterpret_cast<const Ipv4Header*>(l3)->tos;
  } else {
    const auto& word = reinterpret_cast<const Ipv6Header*>(l3)->version_class_label;
    return static_cast<std::uint8_t>(word[0] << 4 | word[1] >> 4);
  }
}

}  // namespace sluice
