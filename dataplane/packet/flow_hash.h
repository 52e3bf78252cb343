// The hash that chooses a flow's Maglev slot. Keyed by the cluster's seed, so that no stranger can
// choose a backend, and independent of both the NICs' RSS and the routers' ECMP. All gateways of a
// cluster must compute the same value for good: a change here moves every flow that is not in a
// connection table.
//
// Thread: any, pure. Shapes: 64 bits, of which maglev_slot() uses the upper 32.
// Source: folded 64 x 64 bit multiplication, as in wyhash (public domain idea); code and constants
// ours.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/family.h"

namespace sluice {

namespace flow_hash_detail {
inline std::uint64_t fold_multiply(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}
// Fractional digits of pi.
inline constexpr std::uint64_t kPi[] = {0x243f6a8885a308d3u, 0x13198a2e03707344u,
                                        0xa4093822299f31d0u, 0x082efa98ec4e6c89u,
                                        0x452821e638d01377u};

template <std::size_t kBytes>
std::uint64_t mix_address(std::uint64_t h, const std::uint8_t* p, std::uint64_t key) {
  for (std::size_t at = 0; at < kBytes; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, p + at, kBytes - at < 8 ? kBytes - at : 8);
    h = fold_multiply(word ^ key, h ^ kPi[1]) +
        word;  // The sum: no word can force the state to zero.
  }
  return h;
}
}  // namespace flow_hash_detail

template <typename Family>
std::uint64_t flow_hash(std::uint64_t seed, const typename Family::Address& client,
                        Be16 client_port, const typename Family::Address& vip, Be16 vip_port,
                        std::uint8_t protocol) {
  using namespace flow_hash_detail;
  const std::uint64_t key = fold_multiply(seed ^ kPi[0], kPi[2]) ^ seed;
  const std::uint64_t ports =
      std::uint64_t{client_port.raw} << 32 | std::uint64_t{vip_port.raw} << 16 | protocol;
  std::uint64_t h = mix_address<Family::kAddressBytes>(kPi[3], client.data(), key);
  h = mix_address<Family::kAddressBytes>(h, vip.data(), key);
  h = fold_multiply(ports ^ key, h ^ kPi[4]) + ports;
  return fold_multiply(h ^ kPi[1], key | 1);
}

}  // namespace sluice
