// FragmentStore: the fragmented datagrams that one worker has in hand, of one family. The first
// fragment names the flow; what comes before it waits for it, what comes after follows it.
//
// see() every fragment once, at the worker where all fragments of a datagram arrive. Ones that
// waited come out of take_released() once the first has come, and of take_expired() when it has not
// come in time, or the datagram was refused; each exactly once. Thread: one worker. Ownership:
// handles are the caller's and opaque; the store frees none. Memory is taken
//   once, in create().
// Units: offsets and lengths in bytes of the datagram's fragmentable part; Ticks.
// Bounds: datagrams, waiting fragments and fragments of one datagram are limited; each call does a
//   bounded amount of work, no allocation. Where room for datagrams is short, the oldest gives way:
//   its fragments that wait come out as expired, those to come will find no first one.
// Errors: a DropReason for each fragment that must not go on. A datagram whose fragments overlap or
//   contradict each other is refused from then on; an exact repetition is refused alone.
// Sources: RFC 791 3.2, 8200 4.5, 1858 and 3128 (tiny fragments), 5722 (overlap), 7112 (first
// fragment
//   holds all headers), 6864 (ids).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/forward/drop_reason.h"
#include "dataplane/forward/fragment_hint.h"
#include "dataplane/packet/family.h"
#include "dataplane/table/keyed_hash.h"

namespace sluice {

template <typename Family>
class FragmentStore {
 public:
  static constexpr unsigned kMaxPieces = 128;  // Of one datagram: 65,535 bytes over an MTU of 576.

  struct Piece {
    typename Family::Address source{}, destination{};
    std::uint32_t id = 0;  // As received, host order.
    std::uint8_t protocol =
        0;  // IPv4: part of what tells datagrams apart. IPv6: the first one's holds.
    bool more = false;
    std::uint32_t offset = 0, length = 0;
    Be16 source_port{}, destination_port{};  // Of the first one (offset 0).
    bool by_software = false;                // As in the hint.
    void* handle = nullptr;
  };
  enum class Fate : std::uint8_t { forward, hold, refuse };
  struct Seen {
    Fate fate = Fate::refuse;
    DropReason reason = DropReason::none;  // refuse.
    FragmentHint hint;                     // forward.
  };
  struct Expired {
    void* handle;
    DropReason reason;
  };

  // `worker` of `workers`: no two of them give the same id. False when memory is short.
  bool create(const FragmentLimits& limits, std::uint16_t worker, std::uint16_t workers,
              const std::uint8_t (&secret)[16]);

  Seen see(const Piece& piece, Ticks now);

  // Ends datagrams whose time is over; a bounded number in one call.
  void expire(Ticks now);

  // At most `max` of those that wait to be taken; the rest by further calls.
  unsigned take_released(ReleasedFragment* out, unsigned max);
  unsigned take_expired(Expired* out, unsigned max);

  // Of a datagram that is split here; none that is in use, as long as there are others.
  std::uint32_t next_id();

  std::uint32_t in_use() const { return in_use_; }
  std::uint32_t waiting() const { return waiting_; }  // Until they are taken.

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  // The first fragment has not come; has come; the datagram is refused.
  enum class State : std::uint8_t { unused, waiting, known, refused };

  struct Key {
    typename Family::Address source{}, destination{};
    std::uint32_t id = 0;
    std::uint8_t protocol = 0;
    friend bool operator==(const Key&, const Key&) = default;
  };
  struct Queue {  // A list by indices, oldest first.
    std::uint32_t head = kNone, tail = kNone;
  };
  // Bytes are counted by eights, as in the headers.
  struct Range {
    std::uint16_t begin, end;
  };
  struct Datagram {
    Key key;
    State state = State::unused;
    DropReason reason = DropReason::none;  // refused.
    bool id_taken = false;
    bool end_known = false;
    std::uint8_t pieces = 0;
    std::uint16_t end = 0, covered = 0;
    std::uint32_t next_in_bucket = kNone, next = kNone, previous = kNone;  // By age.
    Ticks since = 0;
    FragmentHint hint;
    Queue held;
    Range ranges[kMaxPieces];
  };
  struct Node {  // A waiting fragment.
    void* handle;
    FragmentHint hint;
    DropReason reason;
    std::uint32_t next;
  };

  std::uint32_t bucket_of(const Key& key) const;
  std::uint32_t find(const Key& key, std::uint32_t bucket) const;
  std::uint32_t begin(const Key& key, std::uint32_t bucket, State state, Ticks now);
  // Its waiting fragments expire for this reason.
  void end(std::uint32_t index, DropReason reason);
  Seen refuse_all(std::uint32_t index, DropReason reason, Ticks now);
  // Whether the range fits between those seen so far. `repeats`: it is one of them.
  bool fits(const Datagram& datagram, Range range, bool more, bool& repeats) const;
  bool name_flow(Datagram& datagram, const Piece& piece);
  bool hold(Datagram& datagram, void* handle);
  void enter(std::uint32_t index, State state, Ticks now);
  void leave(std::uint32_t index);
  void splice(Queue& from, Queue& to, const FragmentHint& hint, DropReason reason);
  bool take(Queue& queue, Node& out);
  Queue& ages(State state) { return state == State::waiting ? waiting_ages_ : ages_; }
  bool take_id(std::uint32_t& id);
  void give_back_id(std::uint32_t id);

  FragmentLimits limits_;
  HashSecret secret_;
  std::unique_ptr<Datagram[]> datagrams_;
  std::unique_ptr<Node[]> nodes_;
  std::vector<std::uint32_t> buckets_;
  std::uint32_t free_datagram_ = kNone, free_node_ = kNone;  // By next.
  std::uint32_t in_use_ = 0, without_first_ = 0, waiting_ = 0;
  Queue waiting_ages_, ages_;  // Datagrams, oldest first.
  Queue released_, expired_;   // Nodes.
  // IPv4: the ids that are free, used in turn, so that each rests as long as it can.
  std::vector<std::uint16_t> free_ids_;
  std::size_t first_free_id_ = 0, free_id_count_ = 0;
  // IPv6: so many that none comes round within a datagram's life.
  std::uint32_t next_id_ = 0, ids_ = 0, worker_ = 0, workers_ = 1;
};

extern template class FragmentStore<Ipv4>;
extern template class FragmentStore<Ipv6>;

}  // namespace sluice
