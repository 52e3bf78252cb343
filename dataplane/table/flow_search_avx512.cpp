// AVX-512 (F, BW, DQ, VL): a whole bucket per comparison, which gives its bits by itself.
// Includes: see flow_search_internal.h.
#include <immintrin.h>

#include "dataplane/table/flow_search.h"
#include "dataplane/table/flow_search_internal.h"

namespace sluice {
namespace {

using Layout = FlowSearchLayout;

// A bit for each word of one bucket that is equal to the key's.
[[gnu::always_inline]] inline uint32_t equal_words(const uint64_t* line, __m512i key,
                                                   __m512i keep) {
  return _mm512_cmpeq_epi64_mask(_mm512_and_si512(_mm512_loadu_si512(line), keep), key);
}

template <unsigned kWords>
[[gnu::always_inline]] inline __m512i broadcast_key(const uint64_t* key) {
  if constexpr (kWords == 2) {
    return _mm512_broadcast_i64x2(_mm_loadu_si128(reinterpret_cast<const __m128i*>(key)));
  }
  return _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(key)));
}

// kWords bits per entry, the lowest one set where all words are equal.
template <unsigned kWords>
[[gnu::always_inline]] inline uint32_t match(const uint64_t* first, const uint64_t* second,
                                             __m512i key, __m512i keep) {
  uint32_t bits = equal_words(first, key, keep) | equal_words(second, key, keep) << 8;
  bits &= bits >> 1;
  if constexpr (kWords == 2) return bits & 0x5555;
  return bits & bits >> 2 & 0x1111;
}

template <unsigned kWords>
[[gnu::always_inline]] inline void search(const void* buckets, const uint64_t* keys,
                                          const uint32_t* candidates, unsigned count,
                                          uint32_t* slots) {
  constexpr auto kVip = static_cast<long long>(Layout::kVipMask);
  constexpr long long kOdd = kWords == 2 ? kVip : -1;  // The last word of an IPv4 entry.
  const auto* words = static_cast<const uint64_t*>(buckets);
  const __m512i keep = _mm512_set_epi64(kVip, -1, kOdd, -1, kVip, -1, kOdd, -1);
  for (unsigned i = 0; i < count; ++i, keys += kWords, candidates += 2) {
    const uint64_t* first = words + uint64_t{candidates[0]} * Layout::kBucketWords;
    const uint64_t* second = words + uint64_t{candidates[1]} * Layout::kBucketWords;
    const uint32_t found = match<kWords>(first, second, broadcast_key<kWords>(keys), keep);
    slots[i] = first_occupied<kWords, kWords>(words, candidates, found);
  }
}

}  // namespace

extern "C" void sluice_flow_search_ipv4_avx512(const void* buckets, const uint64_t* keys,
                                               const uint32_t* candidates, unsigned count,
                                               uint32_t* slots) {
  search<2>(buckets, keys, candidates, count, slots);
}
extern "C" void sluice_flow_search_ipv6_avx512(const void* buckets, const uint64_t* keys,
                                               const uint32_t* candidates, unsigned count,
                                               uint32_t* slots) {
  search<4>(buckets, keys, candidates, count, slots);
}

}  // namespace sluice
