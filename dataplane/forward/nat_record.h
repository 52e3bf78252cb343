// NatRecord: what NAT keeps of a flow beside its two connection table entries (client to VIP, and
// the other way: backend to NAT source, or with DNAT backend to client), which hold its index; and
// how the packets of both directions change it.
//
// Thread: one worker writes; others may copy records for display (a copy may be torn).
// Ownership: NatRecords owns one allocation without pointers. Units: Ticks. Shapes: one cache line
//   for IPv4, two for IPv6. Errors: take() gives kNone when all are in use.
// Bounds: longest_idle_to_give_way() looks at no more than kLookedAt records, in turn.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/forward/tcp_translation.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/rewrite.h"
#include "dataplane/table/connection_table.h"

namespace sluice {

// What stands in a DNAT reply's key for the backend's address, which the key has no room for: of
// two backends with one number the record tells which it is, so no flow is ever taken for another.
template <typename Family>
std::uint32_t dnat_reply_id(const typename Family::Address& backend, std::uint8_t protocol) {
  std::uint64_t h = protocol;
  for (std::size_t at = 0; at < Family::kAddressBytes; at += 4) {
    std::uint32_t word;
    std::memcpy(&word, backend.data() + at, sizeof(word));
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    h ^= h >> 32;
  }
  constexpr std::uint32_t kIds = kFirstNatSourceId - kFirstDnatReplyId;
  return kFirstDnatReplyId + static_cast<std::uint32_t>((h & 0xffffffff) * kIds >> 32);
}
constexpr bool is_dnat_reply(std::uint32_t id) {
  return id >= kFirstDnatReplyId && id < kFirstNatSourceId;
}

template <typename Family>
struct alignas(64) NatRecord {
  enum Flag : std::uint8_t {
    kClientFin = 1,
    kBackendFin = 2,
    kClientReset = 4,
    kBackendReset = 8,
    kSynAck = 16,     // The backend's SYN-ACK was seen; backend_isn holds.
    kProven = 32,     // TCP: the client completed the handshake: it is where it says it is.
    kEnding = 64,     // Its entries are about to go.
    kTimeWait = 128,  // While ending: the NAT port stays reserved for a while.
  };

  FlowKey<Family> forward;  // The client's entry.
  Endpoint<Family> source;  // Towards the backend: ours, or with DNAT the client's.
  Endpoint<Family> backend;
  typename Family::Address vip{};
  std::uint32_t backend_id = 0;
  std::uint32_t reverse_id = 0;  // In the backend's entry: NatSource::id(), or dnat_reply_id().
  std::uint32_t vip_counter = 0;
  std::uint32_t backend_isn = 0;  // Host order.
  Ticks created = 0;
  Ticks seen = 0;  // Last packet, either direction.
  std::uint8_t protocol = 0;
  std::uint8_t flags = 0;
  FlowState state = FlowState::empty;  // empty: not in use.
  TcpTranslation translation;          // Full NAT alone.

  bool dnat() const { return is_dnat_reply(reverse_id); }
  // NAT64: source and backend are mapped IPv4 addresses.
  bool crosses() const {
    if constexpr (Family::kAddressBytes == 16) {
      return is_mapped(backend.address);
    } else {
      return false;
    }
  }
  FlowKey<Family> reverse() const {
    if (dnat()) return {source.address, source.port, backend.port, reverse_id};
    return {backend.address, backend.port, source.port, reverse_id};
  }
  bool tcp() const { return protocol == kProtocolTcp; }
  // Both sides have finished, or one has reset.
  bool closed() const {
    constexpr std::uint8_t kBoth = kClientFin | kBackendFin;
    return (flags & kBoth) == kBoth || (flags & (kClientReset | kBackendReset)) != 0;
  }
  // A SYN now is a new connection. A client's reset alone is not proof: anybody can send one in its
  // name.
  bool over() const {
    constexpr std::uint8_t kBoth = kClientFin | kBackendFin;
    return (flags & kBoth) == kBoth || (flags & kBackendReset) != 0;
  }
  // What a flood is made of: it may lose its place to a new flow.
  bool gives_way() const { return counts_as_weak(state) && (flags & (kProven | kEnding)) == 0; }
  // What its entries are to say, of TCP. A flood must not make verified ones: what was never proven
  // stays weak, its timer is short anyway.
  FlowState tcp_state() const {
    if ((flags & kProven) == 0) return state;
    return closed() ? FlowState::closing : FlowState::established;
  }
  // How long it lives without a packet.
  std::uint16_t timer(const FlowTimers& timers) const {
    if (!tcp()) return timers.for_state(state, false);
    if (closed()) return timers.tcp_closing;
    return (flags & kProven) != 0 ? timers.tcp_established : timers.tcp_handshake;
  }
};
static_assert(sizeof(NatRecord<Ipv4>) == 64 && sizeof(NatRecord<Ipv6>) == 128);

// The TCP fields a record looks at.
struct TcpView {
  std::uint8_t flags = 0;
  std::uint32_t sequence = 0, acknowledgment = 0;  // Host order.
};

// A packet was seen: updates flags and times and gives the state the record's entries are to have.
template <typename Family>
FlowState saw_client(NatRecord<Family>& record, const TcpView& tcp, Ticks now) {
  using Record = NatRecord<Family>;
  record.seen = now;
  if (!record.tcp())
    return now - record.created >= kTicksPerSecond ? FlowState::established : record.state;
  if ((tcp.flags & kTcpRst) != 0) {
    record.flags |= Record::kClientReset;
  } else if ((tcp.flags & kTcpSyn) != 0) {
    record.flags &= static_cast<std::uint8_t>(~Record::kClientReset);
  } else if ((tcp.flags & kTcpFin) != 0) {
    record.flags |= Record::kClientFin;
  }
  // Only who received the SYN-ACK can acknowledge it: near the initial number, for a first ACK may
  // be lost.
  constexpr std::uint32_t kFirstBytes = 1u << 20;
  const bool answers_syn_ack = tcp.acknowledgment - record.backend_isn - 1 < kFirstBytes;
  if ((record.flags & Record::kSynAck) != 0 && (tcp.flags & (kTcpAck | kTcpSyn)) == kTcpAck &&
      answers_syn_ack) {
    record.flags |= Record::kProven;
  }
  return record.tcp_state();
}

template <typename Family>
FlowState saw_backend(NatRecord<Family>& record, const TcpView& tcp, Ticks now) {
  using Record = NatRecord<Family>;
  record.seen = now;
  if (!record.tcp()) return record.state;
  if ((tcp.flags & kTcpAck) != 0)
    saw_backend_acknowledgment(record.translation, tcp.acknowledgment);
  if ((tcp.flags & kTcpRst) != 0) {
    record.flags |= Record::kBackendReset;
  } else if ((tcp.flags & kTcpSyn) != 0) {
    record.flags |= Record::kSynAck;
    record.backend_isn = tcp.sequence;
  } else {
    // A backend without the handshake's ACK answers another SYN by an ACK (RFC 5961 4), which has
    // the number behind its SYN-ACK's. Without a SYN-ACK the flow was taken up midway, if not by a
    // SYN.
    const bool has_connection = (record.flags & Record::kSynAck) != 0
                                    ? tcp.sequence != record.backend_isn + 1
                                    : record.state == FlowState::weak;
    if (has_connection) record.flags |= Record::kProven;
    if ((tcp.flags & kTcpFin) != 0) record.flags |= Record::kBackendFin;
  }
  return record.tcp_state();
}

// The link of an entry whose flow has ended and whose NAT port rests.
inline constexpr FlowLink kNatTombstone = FlowLink::nat(FlowLink::kNatBit - 1);

template <typename Family>
class NatRecords {
 public:
  using Record = NatRecord<Family>;
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr std::uint32_t kMax = FlowLink::kNatBit - 2;  // The last link is the tombstone's.
  static constexpr std::uint32_t kLookedAt = 16;

  // False when `memory` has not enough.
  bool create(std::uint32_t capacity, TableMemory memory) {
    memory_ = std::move(memory);
    bytes_ = sizeof(Record) * std::size_t{capacity};
    records_ = capacity == 0 ? nullptr : static_cast<Record*>(memory_.allocate(bytes_));
    if (capacity != 0 && records_ == nullptr) return false;
    for (std::uint32_t i = 0; i < capacity; ++i) new (&records_[i]) Record();
    capacity_ = capacity;
    free_.resize(capacity);
    free_count_ = capacity;
    for (std::uint32_t i = 0; i < capacity; ++i) free_[i] = capacity - 1 - i;
    return true;
  }
  NatRecords() = default;
  NatRecords(const NatRecords&) = delete;
  NatRecords& operator=(const NatRecords&) = delete;
  ~NatRecords() {
    if (records_ != nullptr) memory_.release(records_, bytes_);
  }

  std::uint32_t take() {
    if (free_count_ == 0) return kNone;
    const std::uint32_t index = free_[--free_count_];
    in_use_.store(in_use() + 1, std::memory_order_relaxed);
    return index;
  }
  // What the nth take() from now on will give, if nothing is given back before.
  void prefetch_free(std::uint32_t n) const {
    if (n < free_count_) prefetch(free_[free_count_ - 1 - n]);
  }
  // When all are in use: one whose flow may make room for a new one, the longest idle of a few. In
  // a flood each lives until about as many flows have begun as give way. kNone: none of those
  // looked at does; the next call looks at others.
  std::uint32_t longest_idle_to_give_way(Ticks now) {
    constexpr unsigned kFew = 4;
    std::uint32_t chosen = kNone;
    Ticks longest = 0;
    unsigned seen = 0;
    for (std::uint32_t left = std::min(capacity_, kLookedAt); left > 0 && seen < kFew; --left) {
      if (hand_ == capacity_) hand_ = 0;
      const Record& record = records_[hand_];
      const Ticks idle = now - record.seen;
      if (record.gives_way()) {
        ++seen;
        if (chosen == kNone || idle > longest) {
          chosen = hand_;
          longest = idle;
        }
      }
      ++hand_;
    }
    return chosen;
  }
  void give_back(std::uint32_t index) {
    records_[index] = Record();
    free_[free_count_++] = index;
    in_use_.store(in_use() - 1, std::memory_order_relaxed);
  }

  Record& operator[](std::uint32_t index) { return records_[index]; }
  const Record& operator[](std::uint32_t index) const { return records_[index]; }
  void prefetch(std::uint32_t index) const {
    for (std::size_t line = 0; line < sizeof(Record); line += 64) {
      prefetch_line(reinterpret_cast<const char*>(&records_[index]) + line);
    }
  }
  std::uint32_t capacity() const { return capacity_; }
  std::uint32_t in_use() const { return in_use_.load(std::memory_order_relaxed); }

 private:
  Record* records_ = nullptr;
  std::uint32_t capacity_ = 0;
  // A stack apart from the records: whose place is free next is known without reading them.
  std::vector<std::uint32_t> free_;
  std::uint32_t free_count_ = 0;
  std::uint32_t hand_ = 0;  // Of the search for one that gives way: where it goes on.
  std::atomic<std::uint32_t> in_use_{0};
  TableMemory memory_;
  std::size_t bytes_ = 0;
};

}  // namespace sluice
