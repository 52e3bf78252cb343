#include "dataplane/dpdk/low_power.h"

#include <rte_cpuflags.h>
#include <rte_ethdev.h>
#include <rte_power_intrinsics.h>

#include <array>

namespace sluice {
namespace {

constexpr std::size_t kMaxMonitored = 16;

rte_cpu_intrinsics intrinsics() {
  static const rte_cpu_intrinsics known = [] {
    rte_cpu_intrinsics found{};
    rte_cpu_get_intrinsics_support(&found);
    return found;
  }();
  return known;
}

// False: several queues and no way to watch more than one, or the driver does not say where.
bool monitor(std::span<const RxQueue> queues, std::uint64_t until) {
  const bool possible =
      queues.size() == 1 ? intrinsics().power_monitor != 0 : intrinsics().power_monitor_multi != 0;
  if (!possible || queues.empty() || queues.size() > kMaxMonitored) return false;
  std::array<rte_power_monitor_cond, kMaxMonitored> places{};
  for (std::size_t i = 0; i < queues.size(); ++i) {
    if (rte_eth_get_monitor_addr(queues[i].port, queues[i].queue, &places[i]) != 0) return false;
  }
  if (queues.size() == 1) return rte_power_monitor(places.data(), until) == 0;
  return rte_power_monitor_multi(places.data(), static_cast<std::uint32_t>(queues.size()), until) ==
         0;
}

}  // namespace

LowPower low_power_support() {
  if (intrinsics().power_monitor != 0) return LowPower::monitor;
  return intrinsics().power_pause != 0 ? LowPower::pause : LowPower::none;
}

bool wait_at_low_power(std::span<const RxQueue> queues, std::uint64_t until) {
  if (monitor(queues, until)) return true;
  return intrinsics().power_pause != 0 && rte_power_pause(until) == 0;
}

}  // namespace sluice
