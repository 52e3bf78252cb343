// Counters summed over workers. Thread: any; workers go on counting meanwhile. Units: packets, and
// bytes of layer 2 without FCS.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/forward/counters.h"
#include "dataplane/server/host.h"

namespace sluice {

struct VipTotals {
  std::uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0, new_flows = 0,
                no_backend = 0;
};
struct BackendTotals {
  std::uint64_t packets_in = 0, bytes_in = 0, packets_out = 0, bytes_out = 0, new_flows = 0;
};

VipTotals sum_vip(std::span<const WorkerView> workers, std::uint32_t index);
BackendTotals sum_backend(std::span<const WorkerView> workers, std::uint32_t id);
VipTotals operator-(VipTotals a, const VipTotals& b);
BackendTotals operator-(BackendTotals a, const BackendTotals& b);

}  // namespace sluice
