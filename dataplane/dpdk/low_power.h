// Waiting at low power, for a worker whose queues are empty: the core sleeps until the NIC writes
// to the queue or some time has passed (UMONITOR and UMWAIT, or MONITORX), or just for that time
// (TPAUSE).
// Thread: low_power_support() any; wait_at_low_power() a worker's, while it is offline for RCU.
// Source: DPDK's power intrinsics.
#pragma once

#include <cstdint>
#include <span>

namespace sluice {

struct RxQueue {
  std::uint16_t port, queue;
  bool steered;  // The NIC gave the packet to its owner.
};

enum class LowPower : std::uint8_t {
  none,     // This CPU cannot, or a hypervisor hides it.
  pause,    // For a time.
  monitor,  // Until a queue is written to.
};
LowPower low_power_support();

// Until something may have come or the time-stamp counter has reached `until`. False: there is no
// such way to wait, here or with these queues' driver; nothing was waited.
bool wait_at_low_power(std::span<const RxQueue> queues, std::uint64_t until);

}  // namespace sluice
