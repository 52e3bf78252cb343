// AVX2: two IPv4 entries or one IPv6 entry per comparison. Includes: see flow_search_internal.h.
#include <immintrin.h>

#include "dataplane/table/flow_search.h"
#include "dataplane/table/flow_search_internal.h"

namespace sluice {
namespace {

using Layout = FlowSearchLayout;

[[gnu::always_inline]] inline __m256i load(const uint64_t* words) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
}

// Words that are equal to the key's, in two IPv4 entries or one IPv6 entry.
[[gnu::always_inline]] inline __m256i equal_words(const uint64_t* entry, __m256i key,
                                                  __m256i keep) {
  return _mm256_cmpeq_epi64(_mm256_and_si256(load(entry), keep), key);
}

// The lowest of each four bits is left where all four are set.
[[gnu::always_inline]] inline uint32_t all_of_four(uint32_t bits) {
  bits &= bits >> 1;
  bits &= bits >> 2;
  return bits & 0x1111;
}

template <unsigned kWords>
[[gnu::always_inline]] inline __m256i broadcast_key(const uint64_t* key) {
  if constexpr (kWords == 4) return load(key);
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(key)));
}

template <unsigned kWords>
[[gnu::always_inline]] inline __m256i kept_bits() {
  const auto vip = static_cast<long long>(Layout::kVipMask);
  return _mm256_set_epi64x(vip, -1, kWords == 2 ? vip : -1, -1);
}

[[gnu::always_inline]] inline uint32_t bits_of(__m256i bytes) {
  return static_cast<uint32_t>(_mm256_movemask_epi8(bytes));
}

// Two bits per entry, the lower one set where both words are equal.
[[gnu::always_inline]] inline uint32_t match_ipv4(const uint64_t* first, const uint64_t* second,
                                                  __m256i key, __m256i keep) {
  const auto words = [&](const uint64_t* entries) {
    return static_cast<uint32_t>(
        _mm256_movemask_pd(_mm256_castsi256_pd(equal_words(entries, key, keep))));
  };
  const uint32_t bits =
      words(first) | words(first + 4) << 4 | words(second) << 8 | words(second + 4) << 12;
  return bits & bits >> 1 & 0x5555;
}

// Four bits per entry: narrows each entry's four words to four bits, two in either half of the
// register.
[[gnu::always_inline]] inline uint32_t match_ipv6(const uint64_t* first, const uint64_t* second,
                                                  __m256i key, __m256i keep) {
  const auto pair = [&](const uint64_t* entries) {
    return _mm256_packs_epi32(equal_words(entries, key, keep), equal_words(entries + 4, key, keep));
  };
  const uint32_t bits = bits_of(_mm256_packs_epi16(pair(first), pair(second)));
  return all_of_four(bits & bits >> 16 & 0xffff);
}

template <unsigned kWords>
[[gnu::always_inline]] inline void search(const void* buckets, const uint64_t* keys,
                                          const uint32_t* candidates, unsigned count,
                                          uint32_t* slots) {
  const auto* words = static_cast<const uint64_t*>(buckets);
  const __m256i keep = kept_bits<kWords>();
  for (unsigned i = 0; i < count; ++i, keys += kWords, candidates += 2) {
    const __m256i key = broadcast_key<kWords>(keys);
    const uint64_t* first = words + uint64_t{candidates[0]} * Layout::kBucketWords;
    const uint64_t* second = words + uint64_t{candidates[1]} * Layout::kBucketWords;
    if constexpr (kWords == 2) {
      slots[i] = first_occupied<2, 2>(words, candidates, match_ipv4(first, second, key, keep));
    } else {
      slots[i] = first_occupied<4, 4>(words, candidates, match_ipv6(first, second, key, keep));
    }
  }
}

}  // namespace

extern "C" void sluice_flow_search_ipv4_avx2(const void* buckets, const uint64_t* keys,
                                             const uint32_t* candidates, unsigned count,
                                             uint32_t* slots) {
  search<2>(buckets, keys, candidates, count, slots);
}
extern "C" void sluice_flow_search_ipv6_avx2(const void* buckets, const uint64_t* keys,
                                             const uint32_t* candidates, unsigned count,
                                             uint32_t* slots) {
  search<4>(buckets, keys, candidates, count, slots);
}

}  // namespace sluice
