#include "dataplane/table/connection_table.h"

#include <algorithm>
#include <new>
#include <utility>

#include "dataplane/table/flow_search_internal.h"

namespace sluice {

// The buckets that a newcomer can reach, breadth first: its own two, then those that the residents
// of the ones before could move to.
template <typename Family>
class ConnectionTable<Family>::Reach {
 public:
  Reach(const ConnectionTable& table, Hash hash) : table_(table) {
    add(hash.bucket[0], kNoSlot, 0);
    add(hash.bucket[1], kNoSlot, 0);
  }
  unsigned count() const { return count_; }
  std::uint32_t bucket(unsigned i) const { return steps_[i].bucket; }

  // Adds where the residents of bucket(i) could go, if that is not too far.
  void follow(unsigned i) {
    if (i >= kParents) return;
    const std::uint32_t from = bucket(i);
    for (unsigned entry = 0; entry < Bucket::kEntries; ++entry) {
      const auto& resident = table_.table_[from].entries[entry];
      if (!resident.occupied()) continue;
      const std::uint32_t to = table_.alternative(resident.words, from);
      if (on_the_way(to, i)) continue;
      prefetch_line(&table_.table_[to]);
      add(to, from * Bucket::kEntries + entry, i);
    }
  }
  // The resident that would move to bucket(i), of bucket(parent(i)); kNoSlot: the newcomer itself.
  Slot resident(unsigned i) const { return steps_[i].resident; }
  unsigned parent(unsigned i) const { return steps_[i].parent; }

 private:
  // As many moves as a table that is filled to its capacity needs to have room within reach.
  static constexpr unsigned kLevels = Bucket::kEntries == 4 ? 2 : 5;
  static constexpr unsigned within(unsigned levels) {  // Buckets that many moves lead to, at most.
    unsigned sum = 0;
    for (unsigned level = 0, width = 2; level <= levels; ++level, width *= Bucket::kEntries) {
      sum += width;
    }
    return sum;
  }
  static constexpr unsigned kParents = within(kLevels - 1);  // Whose residents are followed.
  static constexpr unsigned kBuckets = within(kLevels);
  struct Step {
    std::uint32_t bucket;
    Slot resident;
    unsigned parent;
  };

  // A way that came back to a bucket would move its residents where they do not belong.
  bool on_the_way(std::uint32_t bucket, unsigned i) const {
    for (; steps_[i].bucket != bucket; i = steps_[i].parent) {
      if (steps_[i].resident == kNoSlot) return false;
    }
    return true;
  }
  void add(std::uint32_t bucket, Slot resident, unsigned parent) {
    steps_[count_++] = {bucket, resident, parent};
  }

  const ConnectionTable& table_;
  unsigned count_ = 0;
  Step steps_[kBuckets];
};

namespace {

static_assert(FlowSearchLayout::kBucketWords * 8 == sizeof(FlowBucket<Ipv4>) &&
              FlowSearchLayout::kBucketWords * 8 == sizeof(FlowBucket<Ipv6>));
static_assert(FlowSearchLayout::kVipMask == flow_meta::kVipMask);
static_assert(FlowSearchLayout::kStateMask == flow_meta::kStateMask << flow_meta::kStateShift);
static_assert(FlowSearchLayout::kNoSlot == kNoSlot);

template <typename Family>
FlowSearch* flow_search(InstructionSet set) {
  constexpr bool kIpv4 = Family::kAddressBytes == 4;
  switch (set) {
    case InstructionSet::avx512:
      return kIpv4 ? sluice_flow_search_ipv4_avx512 : sluice_flow_search_ipv6_avx512;
    case InstructionSet::avx2:
      return kIpv4 ? sluice_flow_search_ipv4_avx2 : sluice_flow_search_ipv6_avx2;
    case InstructionSet::sse:
      return kIpv4 ? sluice_flow_search_ipv4_sse : sluice_flow_search_ipv6_sse;
    default:
      return kIpv4 ? sluice_flow_search_ipv4_scalar : sluice_flow_search_ipv6_scalar;
  }
}

}  // namespace

template <typename Family>
std::unique_ptr<ConnectionTable<Family>> ConnectionTable<Family>::create(
    std::size_t capacity, const std::uint8_t (&secret)[16], TableMemory memory,
    InstructionSet set) {
  if (capacity > std::size_t{1} << 30) return nullptr;
  if (capacity == 0) capacity = 1;
  std::unique_ptr<ConnectionTable> made(new (std::nothrow) ConnectionTable);
  if (made == nullptr) return nullptr;
  // 4/3 slots a flow; two buckets at least, so that a flow's two candidates differ.
  constexpr std::size_t kFlowsPerFourBuckets = 3 * Bucket::kEntries;
  const std::size_t buckets =
      std::max<std::size_t>(2, (4 * capacity + kFlowsPerFourBuckets - 1) / kFlowsPerFourBuckets);
  made->search_ = flow_search<Family>(set);
  made->bytes_ = buckets * sizeof(Bucket);
  made->memory_ = std::move(memory);
  made->table_ = static_cast<Bucket*>(made->memory_.allocate(made->bytes_));
  if (made->table_ == nullptr) return nullptr;
  made->bucket_count_ = static_cast<std::uint32_t>(buckets);
  made->pending_count_ = made->bucket_count_;
  made->swept_.assign(buckets / 64 + 1, 0);
  made->capacity_ = static_cast<std::uint32_t>(capacity);
  made->weak_quota_ = capacity < 4 ? 1 : made->capacity_ / 4;
  made->secret_ = make_hash_secret(secret);
  return made;
}

template <typename Family>
ConnectionTable<Family>::~ConnectionTable() {
  if (table_ != nullptr) memory_.release(table_, bytes_);
}

// Of the two candidates the emptier one: that keeps moves rare.
template <typename Family>
[[gnu::always_inline]] inline Slot ConnectionTable<Family>::empty_at_home(Hash hash) const {
  const unsigned first = empty_entries(table_[hash.bucket[0]]);
  const unsigned second = empty_entries(table_[hash.bucket[1]]);
  const bool other = std::popcount(second) > std::popcount(first);
  const unsigned empty = other ? second : first;
  if (empty == 0) [[unlikely]]
    return kNoSlot;
  return hash.bucket[other] * Bucket::kEntries + static_cast<unsigned>(std::countr_zero(empty));
}

template <typename Family>
Slot ConnectionTable<Family>::insert(const Words& key, Hash hash, FlowLink link, FlowState state,
                                     Ticks now, Evicted evicted, void* context) {
  const bool weak_newcomer = counts_as_weak(state);
  Slot slot = kNoSlot;
  if (!weak_newcomer || weak() < weak_quota_) [[likely]] {
    slot = empty_at_home(hash);
    if (slot == kNoSlot) [[unlikely]]
      slot = make_way(hash, now, evicted, context);
  } else {
    slot = weak_at_home(hash, now);
    if (slot != kNoSlot) drop(slot, evicted, context);
  }
  if (slot == kNoSlot) return kNoSlot;

  Words words = key;
  words.back() |= flow_meta::pack(0, link, state, now);
  at(slot).set(words);
  add(size_, 1);
  if (weak_newcomer) add(weak_, 1);
  return slot;
}

// By a resident that moves on, or a weak one that is dropped.
template <typename Family>
Slot ConnectionTable<Family>::make_way(Hash hash, Ticks now, Evicted evicted, void* context) {
  const Slot slot = make_room(hash);
  if (slot != kNoSlot || weak() == 0) return slot;
  const Slot victim = weak_within_reach(hash, now);
  if (victim == kNoSlot) return kNoSlot;
  drop(victim, evicted, context);
  return make_room(hash);  // The victim's place is within reach.
}

// An empty slot of one of the two candidates: it was empty, or its resident moved on. kNoSlot, and
// nothing changed, when there is none within reach.
template <typename Family>
Slot ConnectionTable<Family>::make_room(Hash hash) {
  if (const Slot free = empty_at_home(hash); free != kNoSlot) [[likely]]
    return free;
  Reach reach(*this, hash);
  for (unsigned i = 0; i < reach.count(); ++i) {
    Slot free = i == 0 ? empty_at_home(hash) : empty_slot(reach.bucket(i));
    if (free == kNoSlot) {
      reach.follow(i);
      continue;
    }
    for (unsigned step = i; reach.resident(step) != kNoSlot; step = reach.parent(step)) {
      move(reach.resident(step), free);
      free = reach.resident(step);
    }
    return free;
  }
  return kNoSlot;
}

template <typename Family>
void ConnectionTable<Family>::prefetch_ways_out(Hash hash) const {
  if (empty_at_home(hash) != kNoSlot) [[likely]]
    return;
  for (const std::uint32_t bucket : hash.bucket) {
    for (const auto& resident : table_[bucket].entries) {
      prefetch_line(&table_[alternative(resident.words, bucket)]);
    }
  }
}

template <typename Family>
Slot ConnectionTable<Family>::weak_within_reach(Hash hash, Ticks now) const {
  const Slot at_home = weak_at_home(hash, now);
  if (at_home != kNoSlot) return at_home;
  Reach reach(*this, hash);
  for (unsigned i = 0; i < reach.count(); ++i) {
    const Slot slot = longest_idle_weak(reach.bucket(i), now);
    if (slot != kNoSlot) return slot;
    reach.follow(i);
  }
  return kNoSlot;
}

template <typename Family>
Slot ConnectionTable<Family>::empty_slot(std::uint32_t bucket) const {
  const unsigned empty = empty_entries(table_[bucket]);
  if (empty == 0) return kNoSlot;
  return bucket * Bucket::kEntries + static_cast<unsigned>(std::countr_zero(empty));
}

template <typename Family>
std::uint32_t ConnectionTable<Family>::alternative(const Words& entry, std::uint32_t bucket) const {
  Words key = entry;
  key.back() &= flow_meta::kVipMask;
  const Hash hash = hash_words(key);
  return hash.bucket[0] == bucket ? hash.bucket[1] : hash.bucket[0];
}

template <typename Family>
Slot ConnectionTable<Family>::longest_idle_weak(std::uint32_t bucket, Ticks now) const {
  Slot chosen = kNoSlot;
  int longest = -1;
  for (unsigned i = 0; i < Bucket::kEntries; ++i) {
    const std::uint64_t meta = table_[bucket].entries[i].meta();
    const int idle = idle_ticks(now, flow_meta::age(meta));
    if (counts_as_weak(flow_meta::state(meta)) && idle > longest) {
      longest = idle;
      chosen = bucket * Bucket::kEntries + i;
    }
  }
  return chosen;
}

template <typename Family>
Slot ConnectionTable<Family>::weak_at_home(Hash hash, Ticks now) const {
  const Slot a = longest_idle_weak(hash.bucket[0], now);
  const Slot b = longest_idle_weak(hash.bucket[1], now);
  if (a == kNoSlot || b == kNoSlot) return a == kNoSlot ? b : a;
  return idle_ticks(now, age(a)) >= idle_ticks(now, age(b)) ? a : b;
}

template <typename Family>
void ConnectionTable<Family>::move(Slot from, Slot to) {
  at(to).set(at(from).words);
  at(from).clear();
  const std::uint32_t source = from / Bucket::kEntries, target = to / Bucket::kEntries;
  if (pending(source) && !pending(target)) {
    flip(target);
    ++pending_count_;
  }
}

template <typename Family>
void ConnectionTable<Family>::drop(Slot slot, Evicted evicted, void* context) {
  if (evicted != nullptr) evicted(context, entry(slot));
  erase(slot);
}

template <typename Family>
void ConnectionTable<Family>::erase(Slot slot) {
  auto& entry = at(slot);
  if (!entry.occupied()) return;
  if (counts_as_weak(entry.state())) add(weak_, ~0u);
  add(size_, ~0u);
  entry.clear();
}

template <typename Family>
bool ConnectionTable<Family>::pending(std::uint32_t bucket) const {
  return ((swept_[bucket / 64] ^ round_) >> (bucket % 64) & 1) != 0;
}

template <typename Family>
void ConnectionTable<Family>::flip(std::uint32_t bucket) {
  swept_[bucket / 64] ^= std::uint64_t{1} << (bucket % 64);
}

template <typename Family>
bool ConnectionTable<Family>::sweep(std::size_t buckets, Expired expired, void* context) {
  for (; buckets > 0 && pending_count_ > 0; --buckets) {
    if (pending(cursor_)) {
      sweep_bucket(cursor_, expired, context);
      flip(cursor_);
      --pending_count_;
      ++cursor_;
    } else {
      // What moves left behind: step over a word's worth of buckets that are done.
      const std::uint64_t left = (swept_[cursor_ / 64] ^ round_) >> (cursor_ % 64);
      cursor_ += left == 0 ? 64 - cursor_ % 64 : static_cast<unsigned>(std::countr_zero(left));
    }
    if (cursor_ >= bucket_count_) cursor_ = 0;
  }
  if (pending_count_ > 0) return false;
  round_ = ~round_;  // All that was done is pending again.
  pending_count_ = bucket_count_;
  cursor_ = 0;
  return true;
}

template <typename Family>
void ConnectionTable<Family>::sweep_bucket(std::uint32_t bucket, Expired expired, void* context) {
  if (bucket + 4 < bucket_count_) prefetch_line(&table_[bucket + 4]);
  for (unsigned i = 0; i < Bucket::kEntries; ++i) {
    if (!table_[bucket].entries[i].occupied()) continue;
    const Slot slot = bucket * Bucket::kEntries + i;
    if (expired(context, entry(slot))) erase(slot);
  }
}

template <typename Family>
typename ConnectionTable<Family>::Entry ConnectionTable<Family>::unpack(const Words& words) {
  const std::uint64_t meta = words.back();
  return {flow_key<Family>(words), flow_meta::link(meta), flow_meta::state(meta),
          flow_meta::age(meta)};
}

template <typename Family>
bool ConnectionTable<Family>::peek(Slot slot, Entry& out) const {
  if (slot >= slots()) return false;
  Words words;
  for (std::size_t i = 0; i < words.size(); ++i) {
    // atomic_ref takes no const object in C++20; this only loads.
    auto& word = const_cast<std::uint64_t&>(at(slot).words[i]);
    words[i] = std::atomic_ref(word).load(std::memory_order_relaxed);
  }
  out = unpack(words);
  return out.state != FlowState::empty;
}

template class ConnectionTable<Ipv4>;
template class ConnectionTable<Ipv6>;

}  // namespace sluice
