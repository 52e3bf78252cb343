// What the slow path counts, each with its name and what it means.
// Thread: written by the slow path's thread, read by any. Units: packets, unless the help says
// else.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace sluice {

struct SlowPathNamedCounter {
  const char* name;
  const char* help;
  std::atomic<std::uint64_t> value{0};

  void add() { value.fetch_add(1, std::memory_order_relaxed); }
};

struct SlowPathCounters {
  SlowPathNamedCounter punted{"slow-path-punted", "Packets given to the kernel."};
  SlowPathNamedCounter limited{"slow-path-limited",
                               "Packets for the kernel dropped by slowPath.packetsPerSecond."};
  SlowPathNamedCounter refused{"slow-path-refused", "Packets the kernel's TAP did not take."};
  SlowPathNamedCounter waiting{"neighbour-waiting", "Packets that had to wait for a neighbour."};
  SlowPathNamedCounter waiting_full{
      "neighbour-waiting-full",
      "Packets dropped: slowPath.waitingPackets already waited for the neighbour."};
  SlowPathNamedCounter waiting_expired{
      "neighbour-unresolved", "Packets dropped: the neighbour did not answer within 3 seconds."};
  SlowPathNamedCounter waiting_lost{"neighbour-not-known",
                                    "Packets dropped: they wait for a next hop that no longer is."};
  SlowPathNamedCounter waiting_sent{"neighbour-resolved",
                                    "Packets sent after waiting for their neighbour."};
  SlowPathNamedCounter send_failed{"slow-path-send-full",
                                   "Packets dropped: the workers' ring was full."};
  SlowPathNamedCounter from_kernel{"slow-path-from-kernel",
                                   "Frames of the kernel sent on the wire."};
  SlowPathNamedCounter ask_failed{"neighbour-ask-refused",
                                  "Neighbours the kernel refused to look for."};
  SlowPathNamedCounter dumps{"kernel-dumps", "Times the kernel's whole routing state was read."};

  std::array<const SlowPathNamedCounter*, 12> all() const {
    return {&punted,       &limited,         &refused,      &waiting,
            &waiting_full, &waiting_expired, &waiting_lost, &waiting_sent,
            &send_failed,  &from_kernel,     &ask_failed,   &dumps};
  }
};

}  // namespace sluice
