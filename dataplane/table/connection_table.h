// ConnectionTable: the flows one worker tracks, of one family. Exact keys, two candidate buckets,
// bounded moves; a flood of weak entries cannot push out verified ones.
//
// Thread: one worker writes; others may call peek() and the counts, for display.
// Ownership: owns its slots, one contiguous allocation without pointers, taken from a TableMemory,
// so
//   that a later process could take it over from a file.
// Units: Ticks (half seconds); ages are kept as 16 bits of Ticks, timers are below 2^15.
// Shapes: a bucket is one 64-byte line: four IPv4 entries of 16 bytes, or two IPv6 entries of 32. A
//   look-up reads two lines in either family; IPv6 needs more moves to fill as well, and insertions
//   that move anything are rare. At least 4/3 slots per tracked flow; slot = entries of a bucket *
//   bucket + position.
// Bounds: no allocation, no division. insert() reads at most 42 lines and moves two entries (IPv4:
//   its two buckets, the 8 that their residents could move to, the 32 of those residents), or 126
//   and five (IPv6).
// Errors: a full table refuses the insertion (kNoSlot); nothing else changes.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/packet/family.h"
#include "dataplane/table/flow_entry.h"
#include "dataplane/table/flow_search.h"
#include "dataplane/table/instruction_set.h"
#include "dataplane/table/keyed_hash.h"
#include "dataplane/table/prefetch.h"
#include "dataplane/table/table_memory.h"

namespace sluice {

using Slot = std::uint32_t;
inline constexpr Slot kNoSlot = ~Slot{0};

// Idle times in Ticks, by state.
struct FlowTimers {
  std::uint16_t tcp_handshake = 30 * kTicksPerSecond;
  std::uint16_t tcp_established = 7440 * kTicksPerSecond;
  std::uint16_t tcp_closing = 30 * kTicksPerSecond;
  std::uint16_t udp = 120 * kTicksPerSecond;
  std::uint16_t udp_weak = 30 * kTicksPerSecond;
  std::uint16_t for_state(FlowState state, bool tcp) const {
    switch (state) {
      case FlowState::handshake:
        return tcp_handshake;
      case FlowState::established:
        return tcp ? tcp_established : udp;
      case FlowState::closing:
        return tcp_closing;
      default:
        return tcp ? tcp_handshake : udp_weak;
    }
  }
};

// Ticks since the last packet of an entry of this age.
constexpr std::uint16_t idle_ticks(Ticks now, std::uint16_t age) {
  return static_cast<std::uint16_t>(static_cast<std::uint16_t>(now) - age);
}

template <typename Family>
class ConnectionTable {
 public:
  using Key = FlowKey<Family>;
  struct Hash {
    std::uint32_t bucket[2];  // The two candidates; never equal.
  };
  struct Entry {  // A copy, for callers that want it whole.
    Key key;
    FlowLink link;
    FlowState state = FlowState::empty;
    std::uint16_t age = 0;  // Low 16 bits of the Ticks of the last packet.
  };

  // `secret`: 16 bytes made at boot; keys the hash so that no stranger can fill chosen buckets.
  // `set`: one that this machine supports; runs find() of a Batch.
  // nullptr when `memory` has not enough, or `capacity` is beyond 2^30.
  static std::unique_ptr<ConnectionTable> create(std::size_t capacity,
                                                 const std::uint8_t (&secret)[16],
                                                 TableMemory memory = TableMemory::heap(),
                                                 InstructionSet set = fastest_instruction_set());
  ~ConnectionTable();
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  Hash hash(const Key& key) const { return hash_words(flow_words<Family>(key)); }
  void prefetch(Hash hash) const;
  // The entry's slot, or kNoSlot. Valid until the next insert(); erase() moves no other entry.
  Slot find(const Key& key, Hash hash) const { return find(flow_words<Family>(key), hash); }
  Slot find(const FlowWords<Family>& words, Hash hash) const;

  // The look-ups of a burst: add() every key, which hashes it and begins to load its buckets, then
  // find() them all. Nothing else happens to the table in between.
  struct Batch {
    static constexpr unsigned kMax = 64;
    unsigned count = 0;
    FlowWords<Family> key[kMax];
    Hash hash[kMax];
    Slot slot[kMax];  // Made by find(): as that of a single key.
  };
  Hash add(Batch& batch, const Key& key) const;  // batch.count is below kMax.
  void find(Batch& batch) const;

  // The same without a Batch, for arrays of the caller's own: hash() and prefetch() of all of them,
  // then this.
  Hash hash(const FlowWords<Family>& words) const { return hash_words(words); }
  void find(const FlowWords<Family>* words, const Hash* hashes, unsigned count, Slot* slots) const {
    search_(table_, words->data(), hashes->bucket, count, slots);
  }

  // Called before an entry is dropped to make room, at most once in an insert(): lets the caller
  // free its NAT record. Of a flow with two weak entries, inserting the second may drop the first.
  // It must not touch the table; entries to be erased with it go through erase() afterwards.
  using Evicted = void (*)(void* context, const Entry& entry);

  // Inserts a key that is not in the table; `evicted` may be nullptr.
  // At capacity, or with no room within reach, it takes the place of a weak entry within reach,
  // never of a verified one. Weak newcomers (weak, handshake) together hold at most a quarter of
  // the capacity: from there on they replace the longest idle weak entry of their own two buckets,
  // or are refused.
  Slot insert(const Key& key, Hash hash, FlowLink link, FlowState state, Ticks now, Evicted evicted,
              void* context) {
    return insert(flow_words<Family>(key), hash, link, state, now, evicted, context);
  }
  Slot insert(const FlowWords<Family>& key, Hash hash, FlowLink link, FlowState state, Ticks now,
              Evicted evicted, void* context);

  // Of keys that will be inserted, their buckets loaded: begins to load what the insertion will
  // read besides. With two entries a bucket, one in ten has to move a resident at 80 % of capacity;
  // with four, too few to look.
  void prefetch_room(Hash hash) const {
    if constexpr (Bucket::kEntries == 2) prefetch_ways_out(hash);
  }

  FlowLink link(Slot slot) const { return flow_meta::link(at(slot).meta()); }
  FlowState state(Slot slot) const { return at(slot).state(); }
  std::uint16_t age(Slot slot) const { return flow_meta::age(at(slot).meta()); }
  struct Status {
    FlowLink link;
    FlowState state;
    std::uint16_t age;
  };
  Status status(Slot slot) const {  // The three above, by one load.
    const std::uint64_t meta = at(slot).meta();
    return {flow_meta::link(meta), flow_meta::state(meta), flow_meta::age(meta)};
  }
  Entry entry(Slot slot) const { return unpack(at(slot).words); }
  void set_link(Slot slot, FlowLink link);
  // Refreshes the age, and sets the state (not to empty); keeps the count of weak entries.
  void touch(Slot slot, FlowState state, Ticks now);
  void erase(Slot slot);

  // Looks at up to `buckets` further buckets, going round. `expired(context, entry)` says whether
  // an entry is to go, and frees what hangs on it; it must not touch the table. Returns true when
  // this call completed a round, and never looks beyond the round's end. A round has shown every
  // entry that was there when it began (and still is) to `expired`, also those that insertions
  // moved meanwhile: a retired id that `expired` refuses is in no entry afterwards.
  using Expired = bool (*)(void* context, const Entry& entry);
  bool sweep(std::size_t buckets, Expired expired, void* context);

  std::size_t capacity() const {
    return capacity_;
  }  // Flows it promises to hold, and at most holds.
  std::size_t slots() const { return std::size_t{bucket_count_} * Bucket::kEntries; }
  std::size_t buckets() const { return bucket_count_; }
  std::size_t size() const { return size_.load(std::memory_order_relaxed); }
  std::size_t weak() const { return weak_.load(std::memory_order_relaxed); }  // And handshakes.
  // Reads one slot from another thread, for display: false when empty. May be torn, never out of
  // bounds.
  bool peek(Slot slot, Entry& out) const;

 private:
  using Bucket = FlowBucket<Family>;
  using Words = FlowWords<Family>;
  using Count = std::atomic<std::uint32_t>;  // Written by the owner alone: no locked instruction.
  class Reach;

  ConnectionTable() = default;
  Hash hash_words(const Words& key) const;
  FlowEntry<Family>& at(Slot slot) {
    return table_[slot / Bucket::kEntries].entries[slot % Bucket::kEntries];
  }
  const FlowEntry<Family>& at(Slot slot) const {
    return table_[slot / Bucket::kEntries].entries[slot % Bucket::kEntries];
  }
  static Entry unpack(const Words& words);
  static void add(Count& count, std::uint32_t delta) {
    count.store(count.load(std::memory_order_relaxed) + delta, std::memory_order_relaxed);
  }

  std::uint32_t alternative(const Words& entry, std::uint32_t bucket) const;
  Slot longest_idle_weak(std::uint32_t bucket, Ticks now) const;
  Slot weak_at_home(Hash hash, Ticks now) const;
  Slot weak_within_reach(Hash hash, Ticks now) const;
  Slot make_way(Hash hash, Ticks now, Evicted evicted, void* context);
  Slot make_room(Hash hash);
  void prefetch_ways_out(Hash hash) const;
  Slot empty_slot(std::uint32_t bucket) const;
  Slot empty_at_home(Hash hash) const;
  void move(Slot from, Slot to);
  void drop(Slot slot, Evicted evicted, void* context);
  bool pending(std::uint32_t bucket) const;
  void flip(std::uint32_t bucket);
  void sweep_bucket(std::uint32_t bucket, Expired expired, void* context);

  Bucket* table_ = nullptr;
  std::uint32_t bucket_count_ = 0;
  std::uint32_t capacity_ = 0, weak_quota_ = 0;
  FlowSearch* search_ = nullptr;
  HashSecret secret_;
  Count size_{0}, weak_{0};

  // The sweep: a bucket is pending while its bit differs from the round's. A round ends when none
  // is; an entry that leaves a pending bucket makes its new one pending.
  std::vector<std::uint64_t> swept_;
  std::uint64_t round_ = ~std::uint64_t{0};  // All ones or all zeros.
  std::uint32_t cursor_ = 0, pending_count_ = 0;

  TableMemory memory_;
  std::size_t bytes_ = 0;
};

template <typename Family>
inline typename ConnectionTable<Family>::Hash ConnectionTable<Family>::hash_words(
    const Words& key) const {
  const std::uint64_t h = keyed_hash(secret_, key);
  // Multiply-shift: any number of buckets, no division.
  const auto first = static_cast<std::uint32_t>((h >> 32) * bucket_count_ >> 32);
  auto second = static_cast<std::uint32_t>((h & 0xffffffffu) * bucket_count_ >> 32);
  if (second == first) second = first + 1 == bucket_count_ ? 0 : first + 1;
  return {{first, second}};
}

template <typename Family>
inline void ConnectionTable<Family>::prefetch(Hash hash) const {
  for (const std::uint32_t bucket : hash.bucket) prefetch_line(&table_[bucket]);
}

template <typename Family>
inline Slot ConnectionTable<Family>::find(const Words& words, Hash hash) const {
  // Both buckets at once: which of the two holds a flow is a coin toss that no predictor learns.
  std::uint32_t found = match<Family>(table_[hash.bucket[0]], words) |
                        match<Family>(table_[hash.bucket[1]], words) << 16;
  for (; found != 0; found &= found - 1) {
    const auto entry_bit = static_cast<unsigned>(std::countr_zero(found));
    const std::uint32_t bucket = entry_bit < 16 ? hash.bucket[0] : hash.bucket[1];
    const Slot slot = bucket * Bucket::kEntries + entry_bit % 16 / 4;
    if (at(slot).occupied()) return slot;
  }
  return kNoSlot;
}

template <typename Family>
inline typename ConnectionTable<Family>::Hash ConnectionTable<Family>::add(Batch& batch,
                                                                           const Key& key) const {
  const unsigned i = batch.count++;
  batch.key[i] = flow_words<Family>(key);
  batch.hash[i] = hash_words(batch.key[i]);
  prefetch(batch.hash[i]);
  return batch.hash[i];
}

template <typename Family>
inline void ConnectionTable<Family>::find(Batch& batch) const {
  search_(table_, batch.key->data(), batch.hash->bucket, batch.count, batch.slot);
}

template <typename Family>
inline void ConnectionTable<Family>::set_link(Slot slot, FlowLink link) {
  constexpr std::uint64_t kMask = flow_meta::kLinkMask << flow_meta::kLinkShift;
  auto& entry = at(slot);
  entry.set_meta((entry.meta() & ~kMask) |
                 (std::uint64_t{link.raw} << flow_meta::kLinkShift & kMask));
}

template <typename Family>
inline void ConnectionTable<Family>::touch(Slot slot, FlowState state, Ticks now) {
  auto& entry = at(slot);
  const std::uint64_t before = entry.meta();
  constexpr std::uint64_t kKept = (std::uint64_t{1} << flow_meta::kStateShift) - 1;
  const std::uint64_t after = (before & kKept) | flow_meta::pack(0, {}, state, now);
  if (after == before) return;  // Most packets: the line stays clean.
  entry.set_meta(after);
  const bool was_weak = counts_as_weak(flow_meta::state(before));
  if (was_weak != counts_as_weak(state)) add(weak_, was_weak ? ~0u : 1u);
}

extern template class ConnectionTable<Ipv4>;
extern template class ConnectionTable<Ipv6>;

}  // namespace sluice
