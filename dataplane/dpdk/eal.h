// EAL: DPDK's environment. Works out its arguments from gateway.yaml and the machine, starts it,
// and turns its log lines into ours.
//
// Thread: the main thread, once per process. Ownership: EAL lives until stop_eal().
// Units: bytes unless a name says otherwise. Errors: a sentence that says what would be right.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config.pb.h"
#include "proto/result.h"

namespace sluice {

// What the arguments depend on besides the configuration.
struct Machine {
  std::vector<unsigned> cpus;         // This process may run on these, ascending.
  std::uint64_t huge_page_bytes = 0;  // Size of the default huge page; 0: the kernel has none.
  std::uint64_t free_huge_pages = 0;
};
Machine this_machine();

struct EalPlan {
  std::vector<std::string> arguments;  // Without the program's name.
  bool huge_pages = false;
  std::vector<std::string> warnings;  // For the log: what was fallen back to, and how to avoid it.
};

// Memory DPDK itself must provide: packet buffers, routing tables, rings. Connection tables come on
// top, and may be taken from the heap.
std::uint64_t packet_buffer_bytes(const v1::Dataplane& config);  // Data room of one.
// As configured, or as many more as the queues, caches and bursts hold at most at one time: with
// fewer a port could fall dry.
std::uint32_t packet_buffers(const v1::Dataplane& config);
std::uint64_t needed_memory(const v1::Dataplane& config);
// Of one family's table: each VIP is an address of the kernel, which keeps a route to it.
std::uint32_t route_room(std::uint32_t routes, std::uint32_t vips);

// True for "0000:01:00.0" and "01:00.0".
bool is_pci_address(const std::string& device);
// The name EAL gives the device: all before the first comma.
std::string device_name(const std::string& device);

// Pure. Lcore 0 is the main one, lcores 1 to N the workers.
Result<EalPlan> plan_eal(const v1::Dataplane& config, const Machine& machine);

// Starts EAL by the plan, and logs the plan's warnings.
Status start_eal(const EalPlan& plan);
void stop_eal();

// The last lines DPDK complained with, joined, or empty: why something of DPDK just failed. Those
// that name `subject`, if any do, else all. Clears them.
std::string take_dpdk_complaints(const std::string& subject = {});

}  // namespace sluice
