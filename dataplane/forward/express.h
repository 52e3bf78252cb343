// Express: the short way through the pipeline for the packets that are nearly all: plain TCP and
// UDP of verified flows and of such as begin, with a next hop that is known. It decides what the
// stages would decide, in a few loops over the whole burst that keep everything in registers and
// short arrays, and leaves every other packet to the stages, untouched and uncounted.
//
// Thread: one worker. Ownership: arrays of its own, nothing else. Shapes: structure of arrays.
// Errors: none: what it has a doubt about it leaves.
#pragma once

#include <cstdint>

#include "dataplane/forward/adjacency.h"
#include "dataplane/forward/burst.h"
#include "dataplane/forward/counters.h"
#include "dataplane/forward/nat.h"
#include "dataplane/forward/pipeline.h"
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
  Adjacencies& adjacencies;  // Begun.
  const PipelineConfig& config;
  std::uint64_t spreading_key;    // Of dnat_owner().
  std::uint16_t& tunnel_id;       // Last IPv4 id of a tunnel's packet.
  std::uint32_t& new_flows_left;  // In this burst.
  Ticks now;
};

template <typename Family>
class Express {
 public:
  // What of a burst was taken up: kept in registers while that goes on.
  struct Admitted {
    unsigned count = 0;
    std::uint64_t ends = 0;
  };
  // Takes packet p up, if it looks like one of those; false: it does not.
  bool admit(const Burst& burst, const OwnMacs& macs, const ForwardingState::VipView& vips,
             unsigned p, Admitted& admitted);
  // Forwards what was taken up, and sets the bits of the places of those that it cannot in rest.
  void run(const ExpressContext& context, const Admitted& admitted, ConnectionTable<Family>& table,
           NatFlows<Family>& nat, std::uint64_t& rest);

 private:
  using Table = ConnectionTable<Family>;
  using Record = NatRecord<Family>;
  static constexpr unsigned kMax = Burst::kMax;

  void find_vips(const ExpressContext& context, const Table& table, std::uint64_t& rest);
  void find_flows(const ExpressContext& context, Table& table, NatRecords<Family>& records,
                  std::uint64_t& rest);
  // Of flows that are known, with direct return.
  void send_direct(const ExpressContext& context, std::uint64_t& rest);
  bool send_direct(const ExpressContext& context, unsigned i);
  // Of flows that begin, with direct return.
  void send_fresh(const ExpressContext& context, Table& table, NatFlows<Family>& nat,
                  std::uint64_t& rest);
  void choose_backends(const ExpressContext& context, const std::uint16_t* which, unsigned count);
  // The flows that were met in a burst, by a bit of their hash: few have one in common, and of
  // those fewer still are the same.
  class Met {
   public:
    bool perhaps(typename Table::Hash hash) const {
      return (bits_[hash.bucket[0] / 64 % kWords] >> (hash.bucket[0] % 64) & 1) != 0;
    }
    void add(typename Table::Hash hash) {
      bits_[hash.bucket[0] / 64 % kWords] |= std::uint64_t{1} << (hash.bucket[0] % 64);
    }

   private:
    static constexpr unsigned kWords = 16;
    std::uint64_t bits_[kWords] = {};
  };
  bool begun_before(const Table& table, unsigned i, const Met& begun) const {
    return begun.perhaps(buckets_[i]) && table.find(words_[i], buckets_[i]) != kNoSlot;
  }
  // Of flows that are translated (express_nat.cpp).
  // False: it is none, or not this worker's. Else the key of its entry.
  static bool is_reply(const ExpressContext& context, unsigned p, FlowWords<Family>& key);
  void send_translated(const ExpressContext& context, std::uint64_t& rest);
  void find_ways_to_clients(const Routing& routing);
  bool send_translated(const ExpressContext& context, unsigned k);
  bool send_to_backend(const ExpressContext& context, unsigned k, const Adjacency& way);
  bool send_to_client(const ExpressContext& context, unsigned k);
  // Of NAT's and DNAT's flows that begin (express_nat_fresh.cpp).
  void send_opening(const ExpressContext& context, Table& table, NatFlows<Family>& nat,
                    std::uint64_t& rest);
  void propose_ways_back(const ExpressContext& context, const Table& table, NatFlows<Family>& nat);
  bool send_opening(const ExpressContext& context, unsigned k, NatFlows<Family>& nat);
  NatFlowRequest<Family> request_for(const ExpressContext& context, unsigned i,
                                     const FlowKey<Family>& key, const BackendRecord& backend,
                                     const Adjacency& way) const;

  unsigned count_ = 0;
  // Not of bytes, which may be any object's: these are stored while others are held in registers.
  std::uint16_t packet_[kMax];  // Places in the burst.
  std::uint32_t hash_[kMax];
  const VipBlock* vip_[kMax];  // nullptr: a reply.
  FlowWords<Family> words_[kMax];
  typename Table::Hash buckets_[kMax];
  Slot slot_[kMax];
  std::uint32_t backend_[kMax];
  std::uint64_t ends_ = 0;  // By place in the burst: TCP that opens or ends something.

  // Which of the above.
  unsigned direct_count_ = 0, fresh_count_ = 0, translated_count_ = 0, opening_count_ = 0;
  std::uint16_t direct_[kMax], fresh_[kMax], translated_[kMax], opening_[kMax];
  Record* record_[kMax];            // Of translated_.
  NextHopIndex way_[kMax];          // Of replies among them.
  WayBack<Family> way_back_[kMax];  // Of opening_; without an id: none.
};

// The whole burst, both families. Gives the places that are left, as bits.
std::uint64_t express(const ExpressContext& context, Express<Ipv4>& ipv4, Express<Ipv6>& ipv6,
                      ConnectionTable<Ipv4>& table_ipv4, ConnectionTable<Ipv6>& table_ipv6,
                      NatFlows<Ipv4>& nat_ipv4, NatFlows<Ipv6>& nat_ipv6);

}  // namespace sluice
