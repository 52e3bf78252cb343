// ConnectionTable: the flows one worker tracks, of one family. Exact keys, two candidate buckets,
// bounded moves; a flood of weak entries cannot push out verified ones.
//
// Thread: one worker writes; others may read single entries for display (flows(), never on the path).
// Ownership: owns its slots, one contiguous allocation without pointers, taken from a TableMemory, so
//   that a later process could take it over from a file.
// Units: Ticks (half seconds); ages are kept as 16 bits of Ticks, timers are below 2^15.
// Shapes: IPv4 entry 16 bytes, bucket one 64-byte line of four; IPv6 entry 32 bytes, bucket two adjacent
//   lines of four entries. At least 4/3 slots per tracked flow.
// Errors: a full table refuses the insertion (kNoSlot); nothing else changes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>

#include "dataplane/packet/family.h"

namespace sluice {

using Slot = std::uint32_t;
inline constexpr Slot kNoSlot = ~Slot{0};

enum class FlowState : std::uint8_t {
  empty = 0,
  weak = 1,         // One packet seen (UDP), or a packet without SYN that missed.
  handshake = 2,    // TCP: SYN seen, its ACK not yet. Counts as weak.
  established = 3,  // Verified: seen again after a second or more, and for TCP after the handshake's ACK.
  closing = 4,      // FIN or RST seen: the timer is short, the entry otherwise lives on.
};

template <typename Family>
struct FlowKey {
  typename Family::Address client{};  // NAT reverse entries: the backend's address,
  Be16 client_port{};                 //   its port,
  Be16 vip_port{};                    //   and the NAT port.
  std::uint32_t vip_id = 0;           // Id of (address, protocol); NAT reverse entries: of the NAT source.
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

// Where a table's memory comes from; the default is anonymous memory aligned to 64 bytes.
struct TableMemory {
  std::function<void*(std::size_t bytes)> allocate;  // Zeroed, 64-byte aligned; nullptr: none left.
  std::function<void(void*, std::size_t)> release;
  static TableMemory heap();
};

// Idle times in Ticks, by state.
struct FlowTimers {
  std::uint16_t tcp_handshake = 30 * kTicksPerSecond;
  std::uint16_t tcp_established = 7440 * kTicksPerSecond;
  std::uint16_t tcp_closing = 30 * kTicksPerSecond;
  std::uint16_t udp = 120 * kTicksPerSecond;
  std::uint16_t udp_weak = 30 * kTicksPerSecond;
  std::uint16_t for_state(FlowState state, bool tcp) const {
    switch (state) {
      case FlowState::handshake: return tcp_handshake;
      case FlowState::established: return tcp ? tcp_established : udp;
      case FlowState::closing: return tcp_closing;
      default: return tcp ? tcp_handshake : udp_weak;
    }
  }
};

template <typename Family>
class ConnectionTable {
 public:
  using Key = FlowKey<Family>;
  struct Hash {
    std::uint32_t bucket[2];  // The two candidates; never equal unless there is only one bucket.
  };
  struct Entry {  // A copy, for callers that want it whole.
    Key key;
    FlowLink link;
    FlowState state;
    std::uint16_t age;  // Low 16 bits of the Ticks of the last packet.
  };

  // `secret`: 16 bytes made at boot; keys the hash so that no stranger can fill chosen buckets.
  // nullptr when `memory` has not enough.
  static std::unique_ptr<ConnectionTable> create(std::size_t capacity, const std::uint8_t (&secret)[16],
                                                 TableMemory memory = TableMemory::heap());
  ~ConnectionTable();
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  Hash hash(const Key& key) const;
  void prefetch(Hash hash) const;
  // The entry's slot, or kNoSlot. Valid until the next insert() or erase().
  Slot find(const Key& key, Hash hash) const;

  // Called before an entry is dropped to make room or by sweep(): lets the caller free its NAT record.
  // It must not touch the table; entries to be erased with it go through erase() afterwards.
  using Evicted = void (*)(void* context, const Entry& entry);

  // Inserts a key that is not in the table. Weak ones (weak, handshake) are refused, or replace another
  // weak entry of the same buckets, once they hold a quarter of the capacity; none evicts a verified one.
  Slot insert(const Key& key, Hash hash, FlowLink link, FlowState state, Ticks now, Evicted evicted, void* context);

  FlowLink link(Slot slot) const;
  FlowState state(Slot slot) const;
  std::uint16_t age(Slot slot) const;
  Entry entry(Slot slot) const;
  void set_link(Slot slot, FlowLink link);
  // Refreshes the age, and sets the state; keeps the count of weak entries.
  void touch(Slot slot, FlowState state, Ticks now);
  void erase(Slot slot);

  // Looks at up to `buckets` further buckets, going round. `expired(context, entry)` says whether an
  // entry is to go. Returns true when this call completed a round over the whole table.
  using Expired = bool (*)(void* context, const Entry& entry);
  bool sweep(std::size_t buckets, Expired expired, void* context);

  std::size_t capacity() const;  // Flows it promises to hold.
  std::size_t slots() const;
  std::size_t size() const;
  std::size_t weak() const;
  // Reads one slot from another thread, for display: false when empty. May be torn, never out of bounds.
  bool peek(Slot slot, Entry& out) const;

 private:
  ConnectionTable();
  struct Data;
  std::unique_ptr<Data> data_;  // H1: replace by plain members; no indirection on the path.
};

}  // namespace sluice
