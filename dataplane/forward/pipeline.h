// Pipeline: the life of a packet in one worker, as one function over a burst.
// parse -> which VIP -> which flow -> else which backend (Maglev) -> next hop -> rewrite by mode.
//
// Thread: one worker owns a Pipeline and its tables. No lock, allocation, system call, log line or
//   division inside. Errors: every refused packet gets a DropReason and is counted here, nowhere
//   else.
// Units: Ticks for time. Shapes: see burst.h.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/forward/burst.h"
#include "dataplane/forward/counters.h"
#include "dataplane/forward/fragment_hint.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"
#include "dataplane/table/instruction_set.h"
#include "dataplane/table/steering.h"

namespace sluice {

struct PipelineConfig {
  std::uint16_t worker = 0;  // Its number, as in a RETA.
  std::uint16_t workers = 1;
  std::uint32_t flows_ipv4 = 1 << 20, flows_ipv6 = 1 << 18, nat_flows = 1 << 18;
  std::uint32_t backend_capacity = 65536;
  std::uint32_t icmp_per_second = 1000;    // RST and ICMP made here.
  std::uint32_t new_flows_per_burst = 48;  // Tracked; beyond it NAT refuses, direct return hashes.
  FragmentLimits fragments;                // Of each family.
  std::uint8_t secret[16] =
      {};  // Keys the connection tables; the same for all workers of a process.
  // By DPDK port number: how flows that enter there are spread over workers.
  std::vector<std::shared_ptr<const Steering>> steering;
  // By DPDK port number: the ports' own MACs; frames for another one are dropped. Empty: not
  // checked.
  std::vector<std::array<std::uint8_t, 6>> port_mac;
  TableMemory memory = TableMemory::heap();
  bool express = true;  // The short way (express.h); off for tests that compare it with the stages.
  InstructionSet instruction_set = fastest_instruction_set();  // One that this machine supports.
};

template <typename Family>
class NatRecords;

class Pipeline {
 public:
  // nullptr when memory is short.
  static std::unique_ptr<Pipeline> create(const PipelineConfig& config, WorkerCounters& counters);
  ~Pipeline();

  // Decides every packet of the burst: each has a final verdict afterwards.
  void process(Burst& burst, const ForwardingState& state, const Routing& routing, Ticks now);

  // Handles of packets whose verdict was hold: such as are to be processed again by this pipeline,
  // as steered and with their hints; and such as were dropped and counted meanwhile. At most `max`;
  // after every process() and sweep(), until there are none.
  unsigned take_released(ReleasedFragment* out, unsigned max);
  unsigned take_expired(void** out, unsigned max);

  // Ages the tables a little; once per poll. Returns true when a whole round was completed by this
  // call.
  bool sweep(const ForwardingState& state, Ticks now);

  const ConnectionTable<Ipv4>& flows_ipv4() const;
  const ConnectionTable<Ipv6>& flows_ipv6() const;
  std::uint32_t nat_records() const;  // In use.

  // For trace and flows (trace.h), from another thread.
  template <typename Family>
  const ConnectionTable<Family>& flows() const;
  template <typename Family>
  const NatRecords<Family>& records() const;
  const PipelineConfig& config() const;

 private:
  Pipeline();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

template <>
const ConnectionTable<Ipv4>& Pipeline::flows<Ipv4>() const;
template <>
const ConnectionTable<Ipv6>& Pipeline::flows<Ipv6>() const;
template <>
const NatRecords<Ipv4>& Pipeline::records<Ipv4>() const;
template <>
const NatRecords<Ipv6>& Pipeline::records<Ipv6>() const;

}  // namespace sluice
