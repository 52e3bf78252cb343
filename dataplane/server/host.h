// Host: what the control-socket server needs of the process it runs in. sluice-dataplane implements
// it over DPDK; tests implement it in a few lines.
//
// Thread: every method is called on the server's thread and returns at once; none blocks or waits
// for a
//   worker. Ownership: see each method. Errors: none; what cannot be told is left empty.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane.pb.h"
#include "dataplane/forward/counters.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"

namespace sluice {

class Pipeline;

// One worker as seen from outside; valid as long as the Host.
struct WorkerView {
  const WorkerCounters* counters = nullptr;
  const Pipeline* pipeline = nullptr;
  unsigned lcore = 0;
  // Whole rounds of Pipeline::sweep() the worker has completed since it started. Written by the
  // worker (release), after the sweep() that returned true; also counts on while there is no
  // traffic.
  const std::atomic<std::uint64_t>* sweep_rounds = nullptr;
};

// A count of the slow path's, or of the process as a whole, shown beside the drop reasons.
struct NamedCounter {
  std::string name;  // Lower case with dashes, for instance "slow-path-rate-limited".
  std::string help;  // What it means and what to do.
  std::uint64_t value = 0;
};

class Host {
 public:
  virtual ~Host() = default;

  // Makes `state` the one workers take up at their next burst, and tells the slow path of its
  // addresses and backends. The server keeps its own reference to the state before until the grace
  // period is over, so workers may go on with raw pointers; other threads keep a copy of the
  // shared_ptr.
  virtual void publish(std::shared_ptr<const ForwardingState> state) = 0;
  // A token for "every worker has passed a quiescent state since this call" (rte_rcu_qsbr start and
  // check).
  virtual std::uint64_t grace_start() = 0;
  virtual bool grace_passed(std::uint64_t token) = 0;

  virtual std::span<const WorkerView> workers() const = 0;
  virtual const Routing& routing() const = 0;
  virtual std::vector<v1::Port> ports() const = 0;  // In DPDK's order of port numbers.
  virtual std::vector<NamedCounter> counters() const = 0;
  virtual Ticks now() const = 0;
};

}  // namespace sluice
