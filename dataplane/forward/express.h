// Express: the short way through the pipeline for the packets that are nearly all: plain TCP and
// UDP of verified direct-return flows, with a next hop that is known. It decides what the stages
// would decide, in a few loops over the whole burst that keep everything in registers and short
// arrays, and leaves every other packet to the stages, untouched and uncounted.
//
// Thread: one worker. Ownership: arrays of its own, nothing else. Shapes: structure of arrays.
// Errors: none: what it has a doubt about it leaves.
#pragma once

#include <cstdint>

#include "dataplane/forward/burst.h"
#include "dataplane/forward/counters.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"
#include "dataplane/table/connection_table.h"

namespace sluice {

// By DPDK port number: the port's own MAC as the first six bytes of a frame, and the mask that it
// is compared under; a port without one takes every frame.
struct OwnMacs {
  std::uint64_t mac[kMaxPorts] = {};
  std::uint64_t mask[kMaxPorts] = {};
};

struct ExpressContext {
  Burst& burst;
  const ForwardingState& state;
  const Routing& routing;
  const OwnMacs& macs;
  WorkerCounters& counters;
  std::uint16_t& tunnel_id;  // Last IPv4 id of a tunnel's packet.
  Ticks now;
};

template <typename Family>
class Express {
 public:
  // Takes packet p up, if it looks like one of those; false: it does not.
  bool admit(const Burst& burst, const OwnMacs& macs, const ForwardingState::VipView& vips,
             unsigned p);
  // Forwards what was taken up, and sets the bits of the places of those that it cannot in rest.
  void run(const ExpressContext& context, ConnectionTable<Family>& table, std::uint64_t& rest);

 private:
  using Table = ConnectionTable<Family>;
  static constexpr unsigned kMax = Burst::kMax;

  void find_vips(const ExpressContext& context, const Table& table, std::uint64_t& rest);
  void find_flows(const ExpressContext& context, Table& table, std::uint64_t& rest);
  void send(const ExpressContext& context, std::uint64_t& rest);

  unsigned count_ = 0;
  std::uint8_t packet_[kMax];
  std::uint32_t hash_[kMax];
  const VipBlock* vip_[kMax];
  FlowWords<Family> words_[kMax];
  typename Table::Hash buckets_[kMax];
  Slot slot_[kMax];
  const BackendRecord* backend_[kMax];
};

// The whole burst, both families. Gives the places that are left, as bits.
std::uint64_t express(const ExpressContext& context, Express<Ipv4>& ipv4, Express<Ipv6>& ipv6,
                      ConnectionTable<Ipv4>& table_ipv4, ConnectionTable<Ipv6>& table_ipv6);

}  // namespace sluice
