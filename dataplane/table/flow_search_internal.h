// What the variants of FlowSearch share; for their sources alone.
//
// The variants for AVX2 and AVX-512 are compiled with flags of their own. Neither they nor what
// they include may hold anything that emits code with external linkage: an inline function or
// template emitted there could take, at link time, the place of the same one compiled for the base,
// and would then run on machines without those instructions. Hence no standard header that has
// code, and the unnamed namespace here: each source gets a copy.
#pragma once

#include <stdint.h>

namespace sluice {
namespace {

struct FlowSearchLayout {
  static constexpr unsigned kBucketWords = 8;                    // One 64-byte line.
  static constexpr uint64_t kVipMask = (uint64_t{1} << 20) - 1;  // Of the last word: key.
  static constexpr uint64_t kStateMask = uint64_t{7} << 45;      // Of the last word: 0 is empty.
  static constexpr uint32_t kNoSlot = ~uint32_t{0};
};

// `found`: kBits bits per entry, the lowest of them set where the key is equal; the first
// candidate's entries come first. Several are set only for the key of zeros, which empty entries
// hold too.
template <unsigned kWords, unsigned kBits>
[[gnu::always_inline]] inline uint32_t first_occupied(const uint64_t* buckets,
                                                      const uint32_t* candidates, uint32_t found) {
  using Layout = FlowSearchLayout;
  constexpr unsigned kEntries = Layout::kBucketWords / kWords;
  for (; found != 0; found &= found - 1) {
    const unsigned entry = static_cast<unsigned>(__builtin_ctz(found)) / kBits;
    const uint32_t bucket = candidates[entry / kEntries];
    const uint32_t slot = bucket * kEntries + entry % kEntries;
    if ((buckets[uint64_t{slot} * kWords + kWords - 1] & Layout::kStateMask) != 0) return slot;
  }
  return Layout::kNoSlot;
}

}  // namespace
}  // namespace sluice
