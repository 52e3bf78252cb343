// Counters of one worker: written by that worker alone with relaxed stores, read by the server's
// thread.
// Shapes: VIPs by VipBlock::counter, backends by id, drops by DropReason. Sized once, never moved.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "dataplane/forward/drop_reason.h"

namespace sluice {

// A counter with one writer: a plain add without a locked instruction, readable from elsewhere.
class Counter {
 public:
  void add(std::uint64_t n) {  // One instruction; the compiler makes three of a load and a store.
    __asm__("addq %1, %0" : "+m"(value_) : "er"(n) : "cc");
  }
  std::uint64_t read() const { return value_.load(std::memory_order_relaxed); }
  void reset() { value_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// A line each: no packet touches two.
struct alignas(64) VipCounterSet {
  Counter packets_in, bytes_in, packets_out, bytes_out, new_flows, no_backend;
};
struct alignas(64) BackendCounterSet {
  Counter packets_in, bytes_in, packets_out, bytes_out, new_flows;
};

struct WorkerCounters {
  WorkerCounters(std::uint32_t vip_capacity, std::uint32_t backend_capacity)
      : vips(new VipCounterSet[vip_capacity]), backends(new BackendCounterSet[backend_capacity]) {}
  std::unique_ptr<VipCounterSet[]> vips;
  std::unique_ptr<BackendCounterSet[]> backends;
  Counter drops[static_cast<unsigned>(DropReason::count)];
  // Of these the pipeline counts handed_over and punted; the worker's loop the others.
  Counter received, transmitted, handed_over, punted, polls, empty_polls;
  Counter answers;  // Refused packets answered with a TCP RST or an ICMP unreachable.
  Counter
      answers_limited;  // Not answered: beyond slowPath.icmpPerSecond, or no room in the buffer.
  // Packets longer than their way that were sent in fragments, and those fragments.
  Counter split, fragments_made;
  Counter untracked;  // Forwarded by Maglev alone, the connection table being full (direct return).
};

}  // namespace sluice
