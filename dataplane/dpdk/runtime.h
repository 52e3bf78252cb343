// Runtime: the running dataplane: ports, workers, slow path, and what they share. To the server of
// control's socket it is the Host; to the slow path it is where packets come from and go to.
//
// Thread: create, start, stop, reconfigure and Host's functions on the main thread;
// SlowPathPackets'
//   functions on the slow path's; run of each worker on its lcore.
// Ownership: owns all of it. EAL must run before create() and until the Runtime is gone.
// Errors: a sentence that says what would be right.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "config.pb.h"
#include "dataplane/dpdk/exchange.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/dpdk/worker.h"
#include "dataplane/kernel/packets.h"
#include "dataplane/kernel/slow_path.h"
#include "dataplane/server/host.h"
#include "dataplane/table/instruction_set.h"
#include "proto/result.h"

namespace sluice {

class Runtime final : public Host, public SlowPathPackets {
 public:
  // `set`: one that this machine supports.
  static Result<std::unique_ptr<Runtime>> create(const v1::Dataplane& config, InstructionSet set);
  ~Runtime() override;

  // Starts the slow path, then the workers, with nothing to forward until publish().
  Status start();
  // Workers leave their loops, then the slow path ends. TAPs stay in the kernel.
  void stop();
  // Takes over what can change while running: idle policy and the slow path's rate.
  void reconfigure(const v1::Dataplane& config);

  // Host. publish(): see there; the runtime keeps the published state until the next one.
  void publish(std::shared_ptr<const ForwardingState> state) override;
  std::span<const WorkerView> workers() const override { return views_; }
  const Routing& routing() const override { return *routing_; }
  std::vector<v1::Port> ports() const override;
  std::vector<NamedCounter> counters() const override;
  Ticks now() const override;

  // Host and SlowPathPackets alike; any thread.
  std::uint64_t grace_start() override { return exchange_.rcu->start(); }
  bool grace_passed(std::uint64_t token) override { return exchange_.rcu->passed(token); }

  // SlowPathPackets.
  bool receive(PuntedPacket& packet) override;
  void release(void* handle) override;
  bool send(std::uint16_t port, const std::uint8_t* frame, std::uint32_t length) override;
  bool transmit(void* handle, std::uint16_t port) override;

 private:
  Runtime(const v1::Dataplane& config, InstructionSet set);
  Status make_exchange();
  Status make_routing();
  Status make_workers();
  Status launch_workers();
  void wait_for_next_hops(const std::vector<std::uint32_t>& backends) const;
  std::uint16_t sender_of(std::uint16_t port) const;

  v1::Dataplane config_;
  InstructionSet instruction_set_;
  std::vector<unsigned> lcores_;  // By worker.
  std::unique_ptr<Ports> ports_;
  std::unique_ptr<Routing> routing_;
  std::shared_ptr<const ForwardingState> state_;
  Exchange exchange_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<WorkerView> views_;
  std::unique_ptr<SlowPath> slow_path_;
  bool running_ = false;
  // The slow path's: packets taken from a ring and not yet received.
  rte_mbuf* received_[32];
  unsigned received_count_ = 0, received_next_ = 0;
  bool received_resolve_ = false;
};

}  // namespace sluice
