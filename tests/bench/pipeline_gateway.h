// BenchGateway: one worker's pipeline as it stands in the dataplane, over 1,000 VIPs and 1,000
// backends of one family, on mbufs. The one place where the benchmark meets Burst and Pipeline.
//
// Thread: one. Ownership: owns state, routes, tables and counters; packets stay the caller's.
// Units: Ticks of the real clock plus what was skipped. Errors: create() gives a sentence.
#pragma once

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/dpdk/burst_mbufs.h"
#include "dataplane/dpdk/clock.h"
#include "dataplane/forward/nat.h"
#include "dataplane/forward/pipeline.h"
#include "dataplane/forward/state_builder.h"
#include "proto/result.h"

namespace sluice::bench {

struct ModeSpec {
  const char* name;
  Mode mode;
  std::uint16_t backend_port;
  bool replies;      // Backends' packets come back through the gateway.
  unsigned entries;  // That a flow takes in the connection table.
};
// One line each.
inline constexpr ModeSpec kModes[] = {
    {"nat", Mode::nat, 8443, true, 2},
    {"dnat", Mode::dnat, 8443, true, 2},
    {"dsr-mac", Mode::dsr_mac, 443, false, 1},
    {"ipip", Mode::ipip, 443, false, 1},
    {"gue", Mode::gue, 443, false, 1},
};

// DPDK port numbers.
inline constexpr std::uint16_t kClientPort = 0, kBackendPort = 1;

template <typename Family>
class BenchGateway {
 public:
  // Room for `flows` at 80 % of its capacity.
  static Result<std::unique_ptr<BenchGateway>> create(const ModeSpec& mode, std::uint32_t flows);

  // As a worker does with what it received.
  void process(rte_mbuf** packets, unsigned count) {
    clear_burst(burst_, true);
    for (unsigned i = 0; i < count; ++i) add_to_burst(burst_, packets[i]);
    pipeline_->process(burst_, *state_, routing_, now_);
    for (unsigned i = 0; i < count; ++i) {
      if (burst_.verdict[i] == Verdict::transmit) [[likely]]
        take_from_burst(burst_, i);
    }
  }
  // Reads the clock; a worker does so once per poll.
  void tick() { now_ = clock_.at(rte_rdtsc()) + skipped_; }
  void skip(Ticks ticks) { skipped_ += ticks; }
  // Lets every flow go whose time is up: a whole round over the table, which takes some Ticks.
  void sweep();

  struct Totals {  // Since the start.
    std::uint64_t new_flows = 0, untracked = 0, drops = 0;
    std::uint64_t without_flow() const { return new_flows + untracked + drops; }  // Packets.
  };
  Totals totals() const;
  std::string drops() const;                                                 // "reason=count ..."
  std::size_t tracked() const { return pipeline_->flows<Family>().size(); }  // Entries.
  std::size_t weak() const { return pipeline_->flows<Family>().weak(); }
  std::size_t capacity() const { return pipeline_->flows<Family>().capacity(); }
  // Table, its sweep's bits, and NAT records, by flow at capacity.
  double bytes_per_flow() const;
  const ModeSpec& mode() const { return mode_; }

 private:
  explicit BenchGateway(const ModeSpec& mode) : mode_(mode), counters_(2 * kVipCapacity, 65536) {}
  Status build_state();
  void set_routes();

  static constexpr std::uint32_t kVipCapacity = 16384;
  const ModeSpec& mode_;
  WorkerCounters counters_;
  CounterIndexes indexes_{kVipCapacity};
  std::shared_ptr<const ForwardingState> state_;
  Routing routing_{4096, 4, 65536};
  NatSources sources_;
  TunnelSources tunnels_;
  std::unique_ptr<Pipeline> pipeline_;
  Clock clock_;
  Ticks now_ = 0, skipped_ = 0;
  Burst burst_{};
};

extern template class BenchGateway<Ipv4>;
extern template class BenchGateway<Ipv6>;

}  // namespace sluice::bench
