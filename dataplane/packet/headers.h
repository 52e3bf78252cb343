// Wire formats: Ethernet, IPv4, IPv6, TCP, UDP, ICMP as they lie in a packet. Packed, so a pointer
// to any byte of a packet may be cast to one; multi-byte fields are Be16 or bytes, never host
// integers.
// Sources: IEEE 802.3/802.1Q, RFC 791, 8200, 9293, 768, 792, 4443.
// Thread: any. Ownership: views, none.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/family.h"

namespace sluice {

// may_alias: the same bytes are also read as another header, or as plain words.
#define SLUICE_WIRE __attribute__((packed, may_alias))

struct SLUICE_WIRE EthernetHeader {
  std::uint8_t destination[6];
  std::uint8_t source[6];
  Be16 type;
};
static_assert(sizeof(EthernetHeader) == 14);

inline constexpr std::uint16_t kEtherTypeVlan = 0x8100;
inline constexpr std::uint16_t kEtherTypeQinQ = 0x88a8;
inline constexpr std::uint32_t kVlanTagBytes = 4;

struct SLUICE_WIRE Ipv4Header {
  std::uint8_t version_ihl;
  std::uint8_t tos;
  Be16 total_length;
  Be16 id;
  Be16 fragment;  // Flags and offset.
  std::uint8_t ttl;
  std::uint8_t protocol;
  Be16 checksum;
  std::uint8_t source[4];
  std::uint8_t destination[4];
  std::uint32_t header_bytes() const { return (version_ihl & 15u) * 4u; }
};
static_assert(sizeof(Ipv4Header) == 20);
inline constexpr std::uint16_t kIpv4MoreFragments = 0x2000;
inline constexpr std::uint16_t kIpv4FragmentOffset = 0x1fff;
inline constexpr std::uint16_t kIpv4DontFragment = 0x4000;

struct SLUICE_WIRE Ipv6Header {
  std::uint8_t version_class_label[4];
  Be16 payload_length;
  std::uint8_t next_header;
  std::uint8_t hop_limit;
  std::uint8_t source[16];
  std::uint8_t destination[16];
};
static_assert(sizeof(Ipv6Header) == 40);

inline constexpr std::uint8_t kIpv6HopByHop = 0;
inline constexpr std::uint8_t kIpv6Routing = 43;
inline constexpr std::uint8_t kIpv6Fragment = 44;
inline constexpr std::uint8_t kIpv6DestinationOptions = 60;

inline constexpr std::uint16_t kIpv6FragmentOffset = 0xfff8, kIpv6MoreFragments = 1;

struct SLUICE_WIRE TcpHeader {
  Be16 source_port;
  Be16 destination_port;
  std::uint8_t sequence[4];
  std::uint8_t acknowledgment[4];
  std::uint8_t data_offset;  // Upper four bits, in words of 4 bytes.
  std::uint8_t flags;
  Be16 window;
  Be16 checksum;
  Be16 urgent;
  std::uint32_t header_bytes() const { return (data_offset >> 4) * 4u; }
};
static_assert(sizeof(TcpHeader) == 20);

inline constexpr std::uint8_t kTcpFin = 1, kTcpSyn = 2, kTcpRst = 4, kTcpPsh = 8, kTcpAck = 16,
                              kTcpUrg = 32;

struct SLUICE_WIRE UdpHeader {
  Be16 source_port;
  Be16 destination_port;
  Be16 length;
  Be16 checksum;
};
static_assert(sizeof(UdpHeader) == 8);

struct SLUICE_WIRE IcmpHeader {
  std::uint8_t type;
  std::uint8_t code;
  Be16 checksum;
  std::uint8_t rest[4];
};
static_assert(sizeof(IcmpHeader) == 8);

// The header of a family, and where it keeps what all stages need.
template <typename Family>
struct HeaderOf;
template <>
struct HeaderOf<Ipv4> {
  using Type = Ipv4Header;
};
template <>
struct HeaderOf<Ipv6> {
  using Type = Ipv6Header;
};
template <typename Family>
using IpHeader = typename HeaderOf<Family>::Type;

inline std::uint32_t read32(const std::uint8_t* p) {
  return std::uint32_t{p[0]} << 24 | std::uint32_t{p[1]} << 16 | std::uint32_t{p[2]} << 8 | p[3];
}
inline void write32(std::uint8_t* p, std::uint32_t v) {
  p[0] = static_cast<std::uint8_t>(v >> 24);
  p[1] = static_cast<std::uint8_t>(v >> 16);
  p[2] = static_cast<std::uint8_t>(v >> 8);
  p[3] = static_cast<std::uint8_t>(v);
}
template <typename Family>
typename Family::Address read_address(const std::uint8_t* p) {
  typename Family::Address a;
  std::memcpy(a.data(), p, Family::kAddressBytes);
  return a;
}

}  // namespace sluice
