#include "dataplane/server/totals.h"

namespace sluice {

VipTotals sum_vip(std::span<const WorkerView> workers, std::uint32_t index) {
  VipTotals sum;
  for (const WorkerView& worker : workers) {
    const VipCounterSet& set = worker.counters->vips[index];
    sum.packets_in += set.packets_in.read();
    sum.bytes_in += set.bytes_in.read();
    sum.packets_out += set.packets_out.read();
    sum.bytes_out += set.bytes_out.read();
    sum.new_flows += set.new_flows.read();
    sum.no_backend += set.no_backend.read();
  }
  return sum;
}

BackendTotals sum_backend(std::span<const WorkerView> workers, std::uint32_t id) {
  BackendTotals sum;
  for (const WorkerView& worker : workers) {
    const BackendCounterSet& set = worker.counters->backends[id];
    sum.packets_in += set.packets_in.read();
    sum.bytes_in += set.bytes_in.read();
    sum.packets_out += set.packets_out.read();
    sum.bytes_out += set.bytes_out.read();
    sum.new_flows += set.new_flows.read();
  }
  return sum;
}

VipTotals operator-(VipTotals a, const VipTotals& b) {
  a.packets_in -= b.packets_in;
  a.bytes_in -= b.bytes_in;
  a.packets_out -= b.packets_out;
  a.bytes_out -= b.bytes_out;
  a.new_flows -= b.new_flows;
  a.no_backend -= b.no_backend;
  return a;
}

BackendTotals operator-(BackendTotals a, const BackendTotals& b) {
  a.packets_in -= b.packets_in;
  a.bytes_in -= b.bytes_in;
  a.packets_out -= b.packets_out;
  a.bytes_out -= b.bytes_out;
  a.new_flows -= b.new_flows;
  return a;
}

}  // namespace sluice
