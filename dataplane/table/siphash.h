// SipHash-2-4 of a text, 64 bits, of a fixed or secret key.
//
// Thread: any, pure. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
#pragma once

#include <cstdint>
#include <string_view>

namespace sluice {

struct SipKey {
  std::uint64_t k0 = 0, k1 = 0;
};
std::uint64_t siphash(SipKey key, std::string_view text);

}  // namespace sluice
