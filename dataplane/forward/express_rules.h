// How the short way reads packets: fixed offsets, for it takes no other. Private to express*.cpp.
//
// Requires: an Ethernet and an IP header without options and 20 bytes more. Thread: any, pure.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/forward/counters.h"
#include "dataplane/packet/headers.h"
#include "dataplane/table/flow_entry.h"

namespace sluice::express_rules {

inline constexpr std::uint32_t kL3 = sizeof(EthernetHeader);

template <typename T>
[[gnu::always_inline]] inline T load(const std::uint8_t* p) {
  T value;
  std::memcpy(&value, p, sizeof(value));
  return value;
}
inline std::uint32_t host16(std::uint64_t raw) {
  return __builtin_bswap16(static_cast<std::uint16_t>(raw));
}

// By the inverse of 0xffff modulo 2^64: products of multiples are the quotients, all others are
// larger.
inline bool is_multiple_of_ffff(std::uint64_t value) {
  constexpr std::uint64_t kInverse = 0xfffefffe'fffeffffu;
  static_assert(kInverse * 0xffff == 1);
  return value * kInverse <= ~std::uint64_t{0} / 0xffff;
}

// Whether the IP header is one without options, of no fragment, right, and of a packet that
// somebody may have sent and that may go on. Early returns: each is a compare and a branch that is
// never taken.
template <typename Family>
[[gnu::always_inline]] inline bool is_plain(const std::uint8_t* frame) {
  const auto a = load<std::uint64_t>(frame + kL3), b = load<std::uint64_t>(frame + kL3 + 8);
  if constexpr (Family::kAddressBytes == 4) {
    constexpr std::uint64_t kFragment = std::uint64_t{Be16::from_host(0x3fff).raw} << 48;
    const auto c = load<std::uint32_t>(frame + kL3 + 16);
    if ((a & (0xff | kFragment)) != 0x45 || (b & 0xff) <= 1) return false;
    // A right header's sum is a multiple of 0xffff, and the carry coming round keeps it one.
    std::uint64_t sum = a + b;
    sum += sum < b;
    sum += c;
    sum += sum < c;
    if (!is_multiple_of_ffff(sum)) return false;
    const auto first = static_cast<std::uint8_t>(b >> 32);  // Of the source address.
    return first - 1u < 223u && first != 127 && b >> 32 != c;
  } else {
    if ((a & 0xf0) != 0x60 || a >> 56 <= 1 || b == 0 || (b & 0xff) == 0xff) return false;
    return b != load<std::uint64_t>(frame + kL3 + 24) ||
           load<std::uint64_t>(frame + kL3 + 16) != load<std::uint64_t>(frame + kL3 + 32);
  }
}

// flow_words() of an address in a frame, and of ports as they stand in one.
template <typename Family>
[[gnu::always_inline]] inline void set_words(FlowWords<Family>& words, const std::uint8_t* address,
                                             std::uint32_t ports, std::uint32_t id) {
  if constexpr (Family::kAddressBytes == 4) {
    words[0] = load<std::uint32_t>(address) | std::uint64_t{ports} << 32;
    words[1] = id;
  } else {
    words[0] = load<std::uint64_t>(address);
    words[1] = load<std::uint64_t>(address + 8);
    words[2] = ports;
    words[3] = id;
  }
}

// Where the source address stands; the destination's follows it.
template <typename Family>
inline constexpr std::uint32_t kSource = kL3 + (Family::kAddressBytes == 4 ? 12 : 8);

// A packet towards a backend. The sets are found before the packet is written.
inline void count_in(VipCounterSet& vip, BackendCounterSet& backend, std::uint64_t bytes) {
  vip.packets_in.add(1);
  vip.bytes_in.add(bytes);
  backend.packets_in.add(1);
  backend.bytes_in.add(bytes);
}

template <typename Family>
inline constexpr std::uint32_t kL4 = kL3 + sizeof(IpHeader<Family>);

template <typename Family>
inline const typename Family::Address& source_in(const std::uint8_t* frame) {
  return *reinterpret_cast<const typename Family::Address*>(
      reinterpret_cast<const IpHeader<Family>*>(frame + kL3)->source);
}
template <typename Family>
inline const typename Family::Address& destination_in(const std::uint8_t* frame) {
  return *reinterpret_cast<const typename Family::Address*>(
      reinterpret_cast<const IpHeader<Family>*>(frame + kL3)->destination);
}
template <typename Family>
inline std::uint8_t protocol_in(const std::uint8_t* frame) {
  return frame[kL3 + (Family::kAddressBytes == 4 ? 9 : 6)];
}
template <typename Family>
inline std::uint32_t end_of(const std::uint8_t* frame) {
  const auto a = load<std::uint64_t>(frame + kL3);
  return Family::kAddressBytes == 4 ? kL3 + host16(a >> 16) : kL4<Family> + host16(a >> 32);
}

}  // namespace sluice::express_rules
