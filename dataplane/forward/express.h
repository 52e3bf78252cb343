// Express: the short way through the pipeline for the packets that are nearly all: plain TCP and
// UDP of verified flows, with a next hop that is known. It decides what the stages
// would decide, in a few loops over the whole burst that keep everything in registers and short
// arrays, and leaves every other packet to the stages, untouched and uncounted.
//
// Thread: one worker. Ownership: arrays of its own, nothing else. Shapes: structure of arrays.
// Errors: none: what it has a doubt about it leaves.
#pragma once

#include <cstdint>

#include "dataplane/forward/burst.h"
#include "dataplane/forward/counters.h"
#include "dataplane/forward/nat_record.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"
#include "dataplane/table/connection_table.h"

namespace sluice {

// By DPDK port number: the port's own MAC as the first six bytes of a frame, and the mask that it
// is compared under. A port without one takes every frame but a group's.
struct OwnMacs {
  OwnMacs() {
    for (std::uint64_t& bits : mask) bits = 1;
  }
  std::uint64_t mac[kMaxPorts] = {};
  std::uint64_t mask[kMaxPorts];
};

struct ExpressContext {
  Burst& burst;
  const ForwardingState& state;
  const Routing& routing;
  const OwnMacs& macs;
  WorkerCounters& counters;
  std::uint16_t& tunnel_id;  // Last IPv4 id of a tunnel's packet.
  std::uint16_t workers;
  Ticks now;
};

template <typename Family>
class Express {
 public:
  // Takes packet p up, if it looks like one of those; false: it does not.
  bool admit(const Burst& burst, const OwnMacs& macs, const ForwardingState::VipView& vips,
             unsigned p);
  // Forwards what was taken up, and sets the bits of the places of those that it cannot in rest.
  void run(const ExpressContext& context, ConnectionTable<Family>& table,
           NatRecords<Family>& records, std::uint64_t& rest);

 private:
  using Table = ConnectionTable<Family>;
  using Record = NatRecord<Family>;
  static constexpr unsigned kMax = Burst::kMax;

  void find_vips(const ExpressContext& context, const Table& table, std::uint64_t& rest);
  void find_flows(const ExpressContext& context, Table& table, NatRecords<Family>& records,
                  std::uint64_t& rest);
  void send(const ExpressContext& context, std::uint64_t& rest);
  // Of flows that are translated (express_nat.cpp).
  static bool is_reply(const ExpressContext& context, unsigned p, std::uint32_t& source_id);
  void send_translated(const ExpressContext& context, std::uint64_t& rest);
  void find_ways_to_clients(const Routing& routing);
  bool send_translated(const ExpressContext& context, unsigned i);

  unsigned count_ = 0;
  std::uint8_t packet_[kMax];
  std::uint32_t hash_[kMax];
  const VipBlock* vip_[kMax];
  FlowWords<Family> words_[kMax];
  typename Table::Hash buckets_[kMax];
  Slot slot_[kMax];
  const BackendRecord* backend_[kMax];

  unsigned translated_count_ = 0;
  std::uint8_t translated_[kMax];         // Places in the burst.
  const VipBlock* translated_vip_[kMax];  // nullptr: a reply.
  Record* record_[kMax];
  NextHopIndex way_[kMax];  // Of replies.
};

// The whole burst, both families. Gives the places that are left, as bits.
std::uint64_t express(const ExpressContext& context, Express<Ipv4>& ipv4, Express<Ipv6>& ipv6,
                      ConnectionTable<Ipv4>& table_ipv4, ConnectionTable<Ipv6>& table_ipv6,
                      NatRecords<Ipv4>& records_ipv4, NatRecords<Ipv6>& records_ipv6);

}  // namespace sluice
