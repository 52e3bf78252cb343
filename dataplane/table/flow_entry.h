// FlowEntry: how one flow stands in memory, and the search for a key in a bucket, one 64-byte line.
//
// Shapes: 64-bit words, little endian. IPv4, 16 bytes: {client 32, client port 16, VIP port 16}
// {meta}.
//   IPv6, 32 bytes: {client 64} {client 64} {client port 16, VIP port 16, zero 32} {meta}.
//   meta: VIP id 20, link 25, state 3, age 16 bits, from the lowest. All zero: empty.
// Thread: the owner reads and writes plainly; stores are relaxed atomics of whole words, so that
// another
//   thread may load words at the same time (an entry may look torn to it, a word may not).
#pragma once

#include <emmintrin.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/family.h"

namespace sluice {

enum class FlowState : std::uint8_t {
  empty = 0,
  weak = 1,       // One packet seen (UDP), or a packet without SYN that missed.
  handshake = 2,  // TCP: SYN seen, its ACK not yet. Counts as weak.
  established =
      3,  // Verified: seen again after a second or more, and for TCP after the handshake's ACK.
  closing = 4,  // FIN or RST seen: the timer is short, the entry otherwise lives on.
};

// Neither is proven to be more than a flood's packet: both count against the quota of weak entries.
constexpr bool counts_as_weak(FlowState state) {
  return state == FlowState::weak || state == FlowState::handshake;
}

template <typename Family>
struct FlowKey {
  typename Family::Address client{};  // NAT reverse entries: the backend's address,
  Be16 client_port{};                 //   its port,
  Be16 vip_port{};                    //   and the NAT port.
  std::uint32_t vip_id =
      0;  // Id of (address, protocol), 20 bits; NAT reverse entries: of the NAT source.
  friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

// What an entry points to: a backend id, or the index of a NAT record. 25 bits.
struct FlowLink {
  std::uint32_t raw = 0;
  static constexpr std::uint32_t kNatBit = 1u << 24;
  static constexpr FlowLink backend(std::uint32_t id) { return {id}; }
  static constexpr FlowLink nat(std::uint32_t record) { return {record | kNatBit}; }
  constexpr bool is_nat() const { return (raw & kNatBit) != 0; }
  constexpr std::uint32_t index() const { return raw & (kNatBit - 1); }
  friend constexpr bool operator==(FlowLink, FlowLink) = default;
};

// The last word of an entry.
namespace flow_meta {
inline constexpr std::uint64_t kVipMask = kMaxVipIds - 1;
inline constexpr unsigned kLinkShift = 20, kStateShift = 45, kAgeShift = 48;
inline constexpr std::uint64_t kLinkMask = (1u << 25) - 1, kStateMask = 7;
static_assert(kLinkMask == 2 * FlowLink::kNatBit - 1 && kMaxBackendIds <= FlowLink::kNatBit);

constexpr std::uint64_t pack(std::uint32_t vip_id, FlowLink link, FlowState state, Ticks now) {
  return (vip_id & kVipMask) | (link.raw & kLinkMask) << kLinkShift |
         static_cast<std::uint64_t>(state) << kStateShift |
         static_cast<std::uint64_t>(now) << kAgeShift;
}
constexpr std::uint32_t vip_id(std::uint64_t meta) {
  return static_cast<std::uint32_t>(meta & kVipMask);
}
constexpr FlowLink link(std::uint64_t meta) {
  return {static_cast<std::uint32_t>(meta >> kLinkShift & kLinkMask)};
}
constexpr FlowState state(std::uint64_t meta) {
  return static_cast<FlowState>(meta >> kStateShift & kStateMask);
}
constexpr std::uint16_t age(std::uint64_t meta) {
  return static_cast<std::uint16_t>(meta >> kAgeShift);
}
}  // namespace flow_meta

// The words of a key as they stand in an entry; the last one holds the VIP id alone.
template <typename Family>
using FlowWords = std::array<std::uint64_t, Family::kAddressBytes == 4 ? 2 : 4>;

// In registers: what is stored field by field and read back as words waits for the stores.
template <typename Family>
inline FlowWords<Family> flow_words(const FlowKey<Family>& key) {
  const std::uint64_t ports = key.client_port.raw | std::uint64_t{key.vip_port.raw} << 16;
  const std::uint64_t id = key.vip_id & flow_meta::kVipMask;
  if constexpr (Family::kAddressBytes == 4) {
    std::uint32_t address;
    std::memcpy(&address, key.client.data(), sizeof(address));
    return {address | ports << 32, id};
  } else {
    std::uint64_t address[2];
    std::memcpy(address, key.client.data(), sizeof(address));
    return {address[0], address[1], ports, id};
  }
}

template <typename Family>
FlowKey<Family> flow_key(const FlowWords<Family>& words) {
  FlowKey<Family> key;
  std::memcpy(key.client.data(), words.data(), Family::kAddressBytes);
  const std::uint64_t ports = words[words.size() - 2] >> (Family::kAddressBytes == 4 ? 32 : 0);
  key.client_port.raw = static_cast<std::uint16_t>(ports);
  key.vip_port.raw = static_cast<std::uint16_t>(ports >> 16);
  key.vip_id = flow_meta::vip_id(words.back());
  return key;
}

template <typename Family>
struct alignas(16) FlowEntry {
  FlowWords<Family> words{};

  std::uint64_t meta() const { return words.back(); }
  FlowState state() const { return flow_meta::state(words.back()); }
  bool occupied() const { return state() != FlowState::empty; }
  void set_meta(std::uint64_t meta) {
    std::atomic_ref(words.back()).store(meta, std::memory_order_relaxed);
  }
  void set(const FlowWords<Family>& from) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      std::atomic_ref(words[i]).store(from[i], std::memory_order_relaxed);
    }
  }
  void clear() { set({}); }
};

template <typename Family>
struct alignas(64) FlowBucket {
  static constexpr unsigned kEntries = 64 / sizeof(FlowEntry<Family>);
  FlowEntry<Family> entries[kEntries];
};

static_assert(sizeof(FlowEntry<Ipv4>) == 16 && sizeof(FlowEntry<Ipv6>) == 32);
static_assert(sizeof(FlowBucket<Ipv4>) == 64 && sizeof(FlowBucket<Ipv6>) == 64);
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free);

// Bit 4 * i is set when entry i holds exactly this key. An empty entry holds the key of zeros:
// whoever may look for that one checks occupied().
template <typename Family>
std::uint32_t match_scalar(const FlowBucket<Family>& bucket, const FlowWords<Family>& key) {
  std::uint32_t found = 0;
  for (unsigned i = 0; i < FlowBucket<Family>::kEntries; ++i) {
    const auto& words = bucket.entries[i].words;
    bool equal = (words.back() & flow_meta::kVipMask) == key.back();
    for (std::size_t w = 0; w + 1 < words.size(); ++w) equal &= words[w] == key[w];
    found |= static_cast<std::uint32_t>(equal) << (4 * i);
  }
  return found;
}

// Bit i is set when entry i is empty.
template <typename Family>
[[gnu::always_inline]] inline unsigned empty_entries(const FlowBucket<Family>& bucket) {
  constexpr bool kTwoHalves = sizeof(FlowEntry<Family>) == 32;
  const auto last_half = [&](unsigned entry) {
    const auto* half = reinterpret_cast<const __m128*>(bucket.entries[entry].words.data());
    return _mm_load_ps(reinterpret_cast<const float*>(half + kTwoHalves));
  };
  // The upper halves of the last words: state and age.
  constexpr unsigned kLast = FlowBucket<Family>::kEntries - 1;
  const __m128 first = _mm_unpackhi_ps(last_half(0), last_half(1));
  const __m128 second = _mm_unpackhi_ps(last_half(kLast - 1), last_half(kLast));
  const __m128i upper = _mm_castps_si128(_mm_movehl_ps(second, first));
  constexpr int kState = static_cast<int>(flow_meta::kStateMask << (flow_meta::kStateShift - 32));
  const __m128i state = _mm_and_si128(upper, _mm_set1_epi32(kState));
  const __m128i none = _mm_cmpeq_epi32(state, _mm_setzero_si128());
  return static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(none))) & ((2u << kLast) - 1);
}

// match_scalar() by SSE2: compare 32-bit lanes of all entries, narrow them to one bit each, and
// keep the entries all of whose four lanes are equal. Always inlined, so that the key stays in
// registers: a 16-byte load of two words just stored would wait for the store buffer.
template <typename Family>
[[gnu::always_inline]] inline std::uint32_t match(const FlowBucket<Family>& bucket,
                                                  const FlowWords<Family>& key) {
  constexpr bool kTwoHalves = sizeof(FlowEntry<Family>) == 32;
  const auto key_half = [&](std::size_t word) {
    return _mm_set_epi64x(static_cast<long long>(key[word + 1]), static_cast<long long>(key[word]));
  };
  const __m128i first = key_half(0), last = key_half(key.size() - 2);
  const __m128i keep = _mm_set_epi64x(static_cast<long long>(flow_meta::kVipMask), -1);
  const auto equal_lanes = [&](unsigned entry) {
    const auto* half = reinterpret_cast<const __m128i*>(bucket.entries[entry].words.data());
    const __m128i tail = _mm_and_si128(_mm_load_si128(half + kTwoHalves), keep);
    const __m128i equal = _mm_cmpeq_epi32(tail, last);
    if constexpr (!kTwoHalves) return equal;
    return _mm_and_si128(equal, _mm_cmpeq_epi32(_mm_load_si128(half), first));
  };
  __m128i lanes = _mm_packs_epi32(equal_lanes(0), equal_lanes(1));
  if constexpr (kTwoHalves) {
    lanes = _mm_packs_epi16(lanes, _mm_setzero_si128());
  } else {
    lanes = _mm_packs_epi16(lanes, _mm_packs_epi32(equal_lanes(2), equal_lanes(3)));
  }
  auto bits = static_cast<std::uint32_t>(_mm_movemask_epi8(lanes));
  bits &= bits >> 1;
  bits &= bits >> 2;
  return bits & 0x1111;
}

}  // namespace sluice
