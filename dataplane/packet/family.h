// The two address families as traits, so that every stage exists once and is instantiated twice.
// Shapes: addresses are raw network-order bytes; ports are network-order 16-bit values (Be16).
// Thread: any. No DPDK.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {

// A 16-bit value as it stands in the packet, at any address. Conversion is explicit, so byte order
// cannot be forgotten.
struct __attribute__((packed)) Be16 {
  std::uint16_t raw = 0;
  static constexpr Be16 from_host(std::uint16_t v) {
    return {static_cast<std::uint16_t>((v << 8) | (v >> 8))};
  }
  constexpr std::uint16_t host() const {
    return static_cast<std::uint16_t>((raw << 8) | (raw >> 8));
  }
  friend constexpr bool operator==(Be16 a, Be16 b) { return a.raw == b.raw; }
};
static_assert(std::endian::native == std::endian::little, "Sluice runs on x86-64");
static_assert(sizeof(Be16) == 2 && alignof(Be16) == 1);

struct Ipv4 {
  static constexpr std::size_t kAddressBytes = 4;
  static constexpr std::uint16_t kEtherType = 0x0800;
  using Address = std::array<std::uint8_t, 4>;
};

struct Ipv6 {
  static constexpr std::size_t kAddressBytes = 16;
  static constexpr std::uint16_t kEtherType = 0x86dd;
  using Address = std::array<std::uint8_t, 16>;
};

// An IPv4 address as one of IPv6, and back: how the IPv4 side of a NAT64 flow is named. Never on the
// wire. Source: RFC 4291 2.5.5.2.
inline Ipv6::Address map_to_ipv6(const Ipv4::Address& a) {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a[0], a[1], a[2], a[3]};
}
inline Ipv4::Address unmap(const Ipv6::Address& a) {
  return {a[12], a[13], a[14], a[15]};
}
inline bool is_mapped(const Ipv6::Address& a) {
  return map_to_ipv6(unmap(a)) == a;
}

// Transport protocols by their IANA numbers.
inline constexpr std::uint8_t kProtocolIcmp = 1;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolIcmp6 = 58;
inline constexpr std::uint8_t kProtocolSctp = 132;
inline constexpr std::uint8_t kProtocolIpv4 = 4;   // IPv4 in IP.
inline constexpr std::uint8_t kProtocolIpv6 = 41;  // IPv6 in IP.

// Time on the packet path: half seconds since the process started, read once per burst.
using Ticks = std::uint32_t;
inline constexpr std::uint32_t kTicksPerSecond = 2;

// Identities given by control. Ids of (address, protocol) pairs have 20 bits, backends 22.
inline constexpr std::uint32_t kMaxVipIds = 1u << 20;
inline constexpr std::uint32_t kMaxBackendIds = 1u << 22;
// VIP ids from here on are the dataplane's own: they stand for its NAT source addresses.
inline constexpr std::uint32_t kFirstNatSourceId = kMaxVipIds - 4096;
// And from here to there they stand for what DNAT backends answer with: see forward/nat.h.
inline constexpr std::uint32_t kFirstDnatReplyId = kMaxVipIds / 2;

}  // namespace sluice
