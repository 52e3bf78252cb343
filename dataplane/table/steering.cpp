#include "dataplane/table/steering.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace sluice {

Toeplitz::Toeplitz(std::span<const std::uint8_t> key) : words_(kInputBytes * 256) {
  std::array<std::uint8_t, kInputBytes + 8> padded{};
  std::copy_n(key.begin(), std::min(key.size(), padded.size()), padded.begin());
  for (std::size_t position = 0; position < kInputBytes; ++position) {
    std::uint64_t window = 0;  // The 64 bits of key from this byte on.
    for (std::size_t i = 0; i < 8; ++i) window = window << 8 | padded[position + i];
    std::uint32_t* const table = &words_[position * 256];
    for (unsigned bit = 0; bit < 8; ++bit) {
      const auto word = static_cast<std::uint32_t>(window << bit >> 32);
      const unsigned value = 0x80u >> bit;
      // The values whose lowest set bit is this one come from those that lack it.
      for (unsigned rest = 0; rest < 256; rest += 2 * value) {
        table[rest + value] = table[rest] ^ word;
      }
    }
  }
}

Steering::Steering(Toeplitz toeplitz, std::vector<std::uint16_t> reta)
    : toeplitz_(std::move(toeplitz)), reta_(std::move(reta)) {
  if (reta_.empty()) reta_.push_back(0);
  const std::size_t size = std::bit_ceil(reta_.size());
  for (std::size_t i = 0; reta_.size() < size; ++i) reta_.push_back(reta_[i]);
  mask_ = static_cast<std::uint32_t>(size - 1);
}

std::span<const std::uint8_t> default_rss_key() {
  static constexpr std::array<std::uint8_t, 40> kKey = {
      0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3,
      0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3,
      0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  return kKey;
}

}  // namespace sluice
