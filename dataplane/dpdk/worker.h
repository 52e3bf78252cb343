// Worker: one core's loop, run to completion: receive, decide, transmit; nothing is shared that two
// write.
//
// Thread: run() on the worker's lcore; everything else before it starts or after it ends.
// Ownership: owns its pipeline and counters; refers to Ports and Exchange.
// No lock, allocation, log line or division in the loop; a system call only to sleep when idle.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/dpdk/exchange.h"
#include "dataplane/dpdk/low_power.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/dpdk/transmitter.h"
#include "dataplane/forward/burst.h"
#include "dataplane/forward/counters.h"
#include "dataplane/forward/pipeline.h"

namespace sluice {

class Worker {
 public:
  Worker(unsigned number, const Ports& ports, Exchange& exchange,
         std::unique_ptr<WorkerCounters> counters, std::unique_ptr<Pipeline> pipeline);

  // Forwards until exchange.stop. exchange.state must have been published once.
  void run();

  unsigned number() const { return number_; }
  const WorkerCounters& counters() const { return *counters_; }
  const Pipeline& pipeline() const { return *pipeline_; }
  // Whole rounds of ageing over the connection tables since the start.
  const std::atomic<std::uint64_t>& sweep_rounds() const { return sweep_rounds_; }

 private:
  // Packets of one burst that go the same way.
  struct Batch {
    unsigned count = 0;
    rte_mbuf* packets[Burst::kMax];
    void add(rte_mbuf* packet) { packets[count++] = packet; }
  };

  unsigned poll(Ticks now);
  void process(rte_mbuf** packets, unsigned count, bool steered, const ForwardingState& state,
               Ticks now);
  // Fragments whose first one has come, and those that nobody waits for any more.
  void process_released(const ForwardingState& state, Ticks now);
  void free_expired();
  void fill(rte_mbuf** packets, unsigned count, bool steered);
  void dispatch();
  // Sends the packet, or lets it wait for its neighbour, in fragments.
  void split(unsigned i);
  void hand_over();
  void limit_punted();
  void to_slow_path(Batch& batch, PacketRing& ring);
  // Frees what a ring did not take, under its reason.
  void refuse(rte_mbuf** packets, unsigned count, DropReason reason);
  void rest(unsigned& empty_polls);
  bool rest_at_low_power();  // False: not possible here.

  const unsigned number_;
  Exchange& exchange_;
  std::unique_ptr<WorkerCounters> counters_;
  std::unique_ptr<Pipeline> pipeline_;
  std::vector<RxQueue> queues_;
  Transmitter transmitter_;
  Burst burst_{};
  std::vector<Batch> to_worker_;  // By worker.
  Batch dropped_, control_, punted_, unresolved_;
  const std::uint64_t longest_rest_cycles_;
  std::atomic<std::uint64_t> sweep_rounds_{0};
};

}  // namespace sluice
