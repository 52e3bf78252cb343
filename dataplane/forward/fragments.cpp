#include "dataplane/forward/fragments.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace sluice {
namespace {

constexpr unsigned kEndedAtOnce = 64;  // By one call of expire(), of each kind.
constexpr std::uint32_t kLongestDatagram = 65535;

}  // namespace

template <typename Family>
bool FragmentStore<Family>::create(const FragmentLimits& limits, std::uint16_t worker,
                                   std::uint16_t workers, const std::uint8_t (&secret)[16]) {
  limits_ = limits;
  limits_.datagrams = std::max(limits.datagrams, 4u);
  limits_.waiting = std::max(limits.waiting, 1u);
  worker_ = worker;
  workers_ = std::max<std::uint16_t>(workers, 1);
  secret_ = make_hash_secret(secret);
  datagrams_.reset(new (std::nothrow) Datagram[limits_.datagrams]);
  nodes_.reset(new (std::nothrow) Node[limits_.waiting]);
  if (datagrams_ == nullptr || nodes_ == nullptr) return false;
  buckets_.assign(std::bit_ceil(2 * std::size_t{limits_.datagrams}), kNone);
  for (std::uint32_t i = 0; i < limits_.datagrams; ++i) {
    datagrams_[i].next = free_datagram_;
    free_datagram_ = i;
  }
  for (std::uint32_t i = 0; i < limits_.waiting; ++i) {
    nodes_[i].next = free_node_;
    free_node_ = i;
  }
  if constexpr (Family::kAddressBytes == 4) {
    for (std::uint32_t id = worker_; id < 0x10000; id += workers_) {
      if (id != 0) free_ids_.push_back(static_cast<std::uint16_t>(id));
    }
    free_id_count_ = free_ids_.size();
  } else {
    ids_ = ~std::uint32_t{0} / workers_;
    // From an unpredictable place (RFC 7739).
    next_id_ = static_cast<std::uint32_t>((secret_.words[0] >> 32) * ids_ >> 32);
  }
  return true;
}

template <typename Family>
typename FragmentStore<Family>::Seen FragmentStore<Family>::see(const Piece& piece, Ticks now) {
  const bool odd = piece.more && piece.length % 8 != 0;
  if (piece.length == 0 || odd || piece.offset + piece.length > kLongestDatagram) {
    return {Fate::refuse, DropReason::fragment_length, {}};
  }
  const std::uint8_t protocol = Family::kAddressBytes == 4 ? piece.protocol : std::uint8_t{0};
  const Key key{piece.source, piece.destination, piece.id, protocol};
  const std::uint32_t bucket = bucket_of(key);
  const bool first = piece.offset == 0;
  std::uint32_t index = find(key, bucket);
  if (index == kNone) index = begin(key, bucket, first ? State::known : State::waiting, now);
  Datagram& datagram = datagrams_[index];
  if (datagram.state == State::refused) return {Fate::refuse, datagram.reason, {}};

  const Range range{static_cast<std::uint16_t>(piece.offset / 8),
                    static_cast<std::uint16_t>((piece.offset + piece.length + 7) / 8)};
  bool repeats = false;
  if (!fits(datagram, range, piece.more, repeats)) {
    if (repeats) return {Fate::refuse, DropReason::fragment_overlap, {}};
    return refuse_all(index, DropReason::fragment_overlap, now);
  }
  if (datagram.pieces == kMaxPieces) {
    return refuse_all(index, DropReason::fragment_store_full, now);
  }
  datagram.ranges[datagram.pieces++] = range;
  datagram.covered = static_cast<std::uint16_t>(datagram.covered + range.end - range.begin);
  if (!piece.more) {
    datagram.end = range.end;
    datagram.end_known = true;
  }

  if (first) {
    if (!name_flow(datagram, piece)) {
      return refuse_all(index, DropReason::fragment_store_full, now);
    }
    leave(index);
    enter(index, State::known, now);
    splice(datagram.held, released_, datagram.hint, DropReason::none);
  }
  if (datagram.state == State::waiting) {
    if (hold(datagram, piece.handle)) return {Fate::hold, DropReason::none, {}};
    return refuse_all(index, DropReason::fragment_store_full, now);
  }
  const FragmentHint hint = datagram.hint;
  if (datagram.end_known && datagram.covered == datagram.end) end(index, DropReason::none);
  return {Fate::forward, DropReason::none, hint};
}

template <typename Family>
void FragmentStore<Family>::expire(Ticks now) {
  for (unsigned n = 0; n < kEndedAtOnce && waiting_ages_.head != kNone; ++n) {
    if (now - datagrams_[waiting_ages_.head].since <= limits_.first_within) break;
    end(waiting_ages_.head, DropReason::fragment_timeout);
  }
  for (unsigned n = 0; n < kEndedAtOnce && ages_.head != kNone; ++n) {
    if (now - datagrams_[ages_.head].since <= limits_.complete_within) break;
    end(ages_.head, DropReason::fragment_timeout);
  }
}

template <typename Family>
unsigned FragmentStore<Family>::take_released(ReleasedFragment* out, unsigned max) {
  unsigned count = 0;
  for (Node node; count < max && take(released_, node); ++count) {
    out[count] = {node.handle, node.hint};
  }
  return count;
}

template <typename Family>
unsigned FragmentStore<Family>::take_expired(Expired* out, unsigned max) {
  unsigned count = 0;
  for (Node node; count < max && take(expired_, node); ++count) {
    out[count] = {node.handle, node.reason};
  }
  return count;
}

template <typename Family>
std::uint32_t FragmentStore<Family>::bucket_of(const Key& key) const {
  const std::uint64_t rest = std::uint64_t{key.id} << 8 | key.protocol;
  std::uint64_t hash;
  if constexpr (Family::kAddressBytes == 4) {
    std::array<std::uint64_t, 2> words{0, rest};
    std::memcpy(words.data(), key.source.data(), 4);
    std::memcpy(reinterpret_cast<std::uint8_t*>(words.data()) + 4, key.destination.data(), 4);
    hash = keyed_hash(secret_, words);
  } else {
    std::array<std::uint64_t, 4> words{};
    std::memcpy(words.data(), key.source.data(), 16);
    std::memcpy(words.data() + 2, key.destination.data(), 16);
    hash = multiply_fold(keyed_hash(secret_, words) ^ rest, secret_.words[5]);
  }
  return static_cast<std::uint32_t>(hash >> 32) & (static_cast<std::uint32_t>(buckets_.size()) - 1);
}

template <typename Family>
std::uint32_t FragmentStore<Family>::find(const Key& key, std::uint32_t bucket) const {
  std::uint32_t index = buckets_[bucket];
  while (index != kNone && datagrams_[index].key != key) index = datagrams_[index].next_in_bucket;
  return index;
}

// Fragments without a first one are easily made: a flood of them takes no room from the others.
template <typename Family>
std::uint32_t FragmentStore<Family>::begin(const Key& key, std::uint32_t bucket, State state,
                                           Ticks now) {
  if (state == State::waiting && without_first_ >= limits_.datagrams / 4) {
    end(waiting_ages_.head, DropReason::fragment_store_full);
  } else if (free_datagram_ == kNone) {
    end(ages_.head, DropReason::fragment_store_full);
  }
  const std::uint32_t index = free_datagram_;
  Datagram& datagram = datagrams_[index];
  free_datagram_ = datagram.next;
  datagram.key = key;
  datagram.id_taken = datagram.end_known = false;
  datagram.pieces = 0;
  datagram.end = datagram.covered = 0;
  datagram.held = {};
  datagram.next_in_bucket = buckets_[bucket];
  buckets_[bucket] = index;
  ++in_use_;
  enter(index, state, now);
  return index;
}

template <typename Family>
void FragmentStore<Family>::end(std::uint32_t index, DropReason reason) {
  Datagram& datagram = datagrams_[index];
  splice(datagram.held, expired_, {}, reason);
  if (datagram.id_taken) give_back_id(datagram.hint.id);
  std::uint32_t* place = &buckets_[bucket_of(datagram.key)];
  while (*place != index) place = &datagrams_[*place].next_in_bucket;
  *place = datagram.next_in_bucket;
  leave(index);
  datagram.state = State::unused;
  datagram.next = free_datagram_;
  free_datagram_ = index;
  --in_use_;
}

template <typename Family>
typename FragmentStore<Family>::Seen FragmentStore<Family>::refuse_all(std::uint32_t index,
                                                                       DropReason reason,
                                                                       Ticks now) {
  Datagram& datagram = datagrams_[index];
  splice(datagram.held, expired_, {}, reason);
  datagram.reason = reason;
  leave(index);
  enter(index, State::refused, now);
  return {Fate::refuse, reason, {}};
}

template <typename Family>
bool FragmentStore<Family>::fits(const Datagram& datagram, Range range, bool more,
                                 bool& repeats) const {
  bool beyond_end = datagram.end_known && (range.end > datagram.end || !more);
  for (unsigned i = 0; i < datagram.pieces; ++i) {
    const Range& other = datagram.ranges[i];
    if (other.begin == range.begin && other.end == range.end) {
      // Whether it is the last one must not differ either.
      repeats = more == !(datagram.end_known && datagram.end == range.end);
      return false;
    }
    if (range.begin < other.end && other.begin < range.end) return false;
    beyond_end = beyond_end || (!more && other.end > range.end);
  }
  return !beyond_end && !(more && datagram.end_known && range.end == datagram.end);
}

template <typename Family>
bool FragmentStore<Family>::name_flow(Datagram& datagram, const Piece& piece) {
  datagram.hint = {0,    piece.source_port, piece.destination_port, piece.protocol,
                   true, piece.by_software};
  datagram.id_taken = take_id(datagram.hint.id);
  return datagram.id_taken;
}

template <typename Family>
bool FragmentStore<Family>::hold(Datagram& datagram, void* handle) {
  const std::uint32_t node = free_node_;
  if (node == kNone) return false;
  free_node_ = nodes_[node].next;
  nodes_[node] = {handle, {}, DropReason::none, kNone};
  (datagram.held.tail == kNone ? datagram.held.head : nodes_[datagram.held.tail].next) = node;
  datagram.held.tail = node;
  ++waiting_;
  return true;
}

// Into the list of its state, at the young end.
template <typename Family>
void FragmentStore<Family>::enter(std::uint32_t index, State state, Ticks now) {
  Datagram& datagram = datagrams_[index];
  datagram.state = state;
  datagram.since = now;
  Queue& queue = ages(state);
  datagram.next = kNone;
  datagram.previous = queue.tail;
  (queue.tail == kNone ? queue.head : datagrams_[queue.tail].next) = index;
  queue.tail = index;
  without_first_ += state == State::waiting;
}

template <typename Family>
void FragmentStore<Family>::leave(std::uint32_t index) {
  const Datagram& datagram = datagrams_[index];
  Queue& queue = ages(datagram.state);
  const std::uint32_t before = datagram.previous, after = datagram.next;
  (before == kNone ? queue.head : datagrams_[before].next) = after;
  (after == kNone ? queue.tail : datagrams_[after].previous) = before;
  without_first_ -= datagram.state == State::waiting;
}

template <typename Family>
void FragmentStore<Family>::splice(Queue& from, Queue& to, const FragmentHint& hint,
                                   DropReason reason) {
  if (from.head == kNone) return;
  for (std::uint32_t node = from.head; node != kNone; node = nodes_[node].next) {
    nodes_[node].hint = hint;
    nodes_[node].reason = reason;
  }
  (to.tail == kNone ? to.head : nodes_[to.tail].next) = from.head;
  to.tail = from.tail;
  from = {};
}

template <typename Family>
bool FragmentStore<Family>::take(Queue& queue, Node& out) {
  const std::uint32_t node = queue.head;
  if (node == kNone) return false;
  out = nodes_[node];
  queue.head = out.next;
  if (queue.head == kNone) queue.tail = kNone;
  nodes_[node].next = free_node_;
  free_node_ = node;
  --waiting_;
  return true;
}

template <typename Family>
bool FragmentStore<Family>::take_id(std::uint32_t& id) {
  if constexpr (Family::kAddressBytes == 4) {
    if (free_id_count_ == 0) return false;
    id = free_ids_[first_free_id_];
    if (++first_free_id_ == free_ids_.size()) first_free_id_ = 0;
    --free_id_count_;
  } else {
    id = next_id_ * workers_ + worker_;
    if (++next_id_ == ids_) next_id_ = 0;
  }
  return true;
}

// All its fragments leave at once, so it goes to the end of those that rest.
template <typename Family>
std::uint32_t FragmentStore<Family>::next_id() {
  std::uint32_t id;
  if (!take_id(id)) return free_ids_[first_free_id_];
  give_back_id(id);
  return id;
}

template <typename Family>
void FragmentStore<Family>::give_back_id(std::uint32_t id) {
  if constexpr (Family::kAddressBytes == 4) {
    std::size_t last = first_free_id_ + free_id_count_;
    if (last >= free_ids_.size()) last -= free_ids_.size();
    free_ids_[last] = static_cast<std::uint16_t>(id);
    ++free_id_count_;
  }
}

template class FragmentStore<Ipv4>;
template class FragmentStore<Ipv6>;

}  // namespace sluice
