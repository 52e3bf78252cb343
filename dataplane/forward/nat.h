// NatFlows: the NAT and DNAT flows of one worker and family. A flow is a NatRecord and two entries
// of the worker's connection table; they come and go together, whichever of them is evicted or
// expires first.
//
// A NAT port is in use while the backend's entry for it exists. After a TCP flow has ended that
// entry stays as a tombstone, without a record, until the flow is 120 s old: its port is not given
// again before.
// A flood: where all records are in use, a new flow takes that of a weak one, the longest idle of a
// few. Verified flows, and those whose client has completed its handshake, lose theirs to nobody; a
// new client competes with weak flows alone, and needs no more once it is verified. So weak ones
// may hold all that verified ones leave. NAT64 flows are IPv6's. The backend's entry has IPv4
// addresses as mapped ones, and stands in the IPv6 table; so both families' flows ask each other
// for ports that are in use. Thread: one worker. Ownership: owns the records; the table is the
// worker's, and outlives this. Units: Ticks. Bounds: of start(): kNatPortsTried,
// NatRecords::kLookedAt, and the table's. Errors: start() gives the DropReason; nothing has begun
// then. Sources: RFC 6056 (order of ports), RFC 9293 3.4.2 (TIME-WAIT), RFC 4787 and 5382 (timers).
#pragma once

#include <cstdint>
#include <vector>

#include "dataplane/forward/drop_reason.h"
#include "dataplane/forward/nat_record.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"
#include "dataplane/packet/nat64.h"
#include "dataplane/table/nat_ports.h"

namespace sluice {

inline constexpr Ticks kNatPortRest = 120 * kTicksPerSecond;
// Ports that may be found in use before a flow is refused: bounds the work of one packet.
inline constexpr unsigned kNatPortsTried = 64;
// While a flood holds all ports, a new flow takes that of a weak one that has been silent for so
// long, if none is free among a few more.
inline constexpr Ticks kNatPortYields = 3 * kTicksPerSecond;
inline constexpr unsigned kNatPortsTriedInFlood = 8;

template <typename Family>
struct NatFlowRequest {
  const FlowKey<Family>& key;  // The client's entry, not in the table yet.
  typename ConnectionTable<Family>::Hash hash;
  const VipBlock& vip;
  const BackendRecord& backend;
  std::uint16_t
      egress_port;  // DPDK port towards the backend; not for DNAT, as are steering and sources.
  const Steering* steering;   // The egress port's; nullptr: any worker gets replies.
  const NatSources* sources;  // nullptr: none yet.
  bool opens = true;          // TCP: by a SYN. DNAT flows go on without one after a restart.
};

// How a flow's packets come back: the source they get, and the backend's entry.
template <typename Family>
struct WayBack {
  Endpoint<Family> source;
  std::uint32_t id = 0;  // NatSource::id() or dnat_reply_id().
  FlowWords<Family> reverse{};
  typename ConnectionTable<Family>::Hash hash{};
};

template <typename Family>
class NatFlows {
 public:
  using Table = ConnectionTable<Family>;
  using Entry = typename Table::Entry;
  using Record = NatRecord<Family>;

  // False when memory is short. `port_seed` sets where the order of ports starts.
  bool create(Table& table, std::uint32_t capacity, std::uint32_t backends, std::uint16_t worker,
              std::uint64_t port_seed, const TableMemory& memory);

  // The flows of the same worker's other family.
  void share_ports_with(NatFlows<Other<Family>>& other) { other_ = &other; }
  // Whether any NAT64 flow has ever been here.
  bool has_crossed() const { return has_crossed_; }

  struct Started {
    std::uint32_t record = 0;
    DropReason reason = DropReason::none;
  };
  Started start(const NatFlowRequest<Family>& request, Ticks now);
  // The same in two steps, so that a burst can load in between what the second one reads: first the
  // port that comes next in order, or with DNAT the client's; false: only start() can tell.
  // If another flow has it, begin() looks for one that is free.
  bool propose(const NatFlowRequest<Family>& request, WayBack<Family>& way);
  Started begin(const NatFlowRequest<Family>& request, const WayBack<Family>& way, Ticks now);

  // Takes the flow away at once; `time_wait`: its port rests first.
  void end(std::uint32_t record, bool time_wait);
  // Sets the state of the record and of both entries.
  void set_state(std::uint32_t record, FlowState state, Ticks now);

  // For Table::insert, with this as the context, also by others who insert; followed by finish().
  static void evicted(void* context, const Entry& entry);
  // For Table::sweep: is this NAT entry to go? Followed by finish().
  bool expired(const Entry& entry, const ForwardingState& state, Ticks now);
  // Takes away what hangs on entries that were evicted or have expired. False: there was nothing.
  bool finish();

  NatRecords<Family>& records() { return records_; }
  const NatRecords<Family>& records() const { return records_; }

 private:
  // At most so many flows end between two calls of finish().
  static constexpr unsigned kMaxEnding = 64;
  bool mark_ending(std::uint32_t record, bool time_wait);
  void take_away(std::uint32_t record);
  // Ends a weak flow if that is what it takes. kNone: there is none to be had.
  std::uint32_t take_record(Ticks now);
  Started begin_free(const NatFlowRequest<Family>& request, const WayBack<Family>& way, Ticks now);
  // A flow whose port another one may take: its record and what was found by that port.
  struct Yielding {
    std::uint32_t record = NatRecords<Family>::kNone;
    WayBack<Family> way;
  };
  DropReason choose_way_back(const NatFlowRequest<Family>& request, WayBack<Family>& way,
                             Ticks now);
  // `Side`: the backend's family.
  template <typename Side>
  bool choose_source(const NatFlowRequest<Family>& request, WayBack<Family>& way, bool& any_source,
                     Ticks now);
  template <typename Side>
  bool choose_port(const NatFlowRequest<Family>& request, const NatSource<Side>& source,
                   WayBack<Family>& way, Yielding& yielding, Ticks now);
  bool yields(const WayBack<Family>& way, std::uint32_t& record, Ticks now) const;
  template <typename Side>
  std::uint16_t next_port(const NatFlowRequest<Family>& request, const NatSource<Side>& source);
  template <typename Side>
  void set_way(const NatFlowRequest<Family>& request, const NatSource<Side>& source,
               std::uint16_t port, WayBack<Family>& way) const;
  void set_client_way(const NatFlowRequest<Family>& request, WayBack<Family>& way) const;
  bool in_use(const NatFlowRequest<Family>& request, const WayBack<Family>& way) const;
  bool has_entry(const FlowKey<Family>& key) const {
    return table_->find(key, table_->hash(key)) != kNoSlot;
  }
  bool insert_entries(const NatFlowRequest<Family>& request, const WayBack<Family>& way,
                      std::uint32_t record, Ticks now);

  template <typename>
  friend class NatFlows;

  Table* table_ = nullptr;
  NatFlows<Other<Family>>* other_ = nullptr;
  bool has_crossed_ = false;
  NatRecords<Family> records_;
  std::vector<std::uint16_t> cursors_;  // By backend id: the port to try next; 0: none yet.
  std::uint16_t worker_ = 0;
  std::uint64_t port_seed_ = 0;
  std::uint32_t ending_[kMaxEnding];
  unsigned ending_count_ = 0;
};

extern template class NatFlows<Ipv4>;
extern template class NatFlows<Ipv6>;

}  // namespace sluice
