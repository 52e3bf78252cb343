// Metrics of sluice-control, and whether it is ready: texts from what the loops say of themselves.
// Ownership: by value, but for the latency, referred to. Thread: any, pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "control/daemon/change_latency.h"
#include "control/daemon/programmer.h"
#include "control/store/ledger.h"
#include "control/store/reader.h"

namespace sluice {

struct ControlState {
  using Time = std::chrono::system_clock::time_point;
  std::string version, gateway;
  bool redis_connected = false;
  bool objects_read = false;  // From Redis, as a whole, since the start,
  bool disk_loaded = false;   // or from the copy on disk.
  std::vector<store::SourceView> sources;
  std::size_t services = 0;  // Wanted: of ours, and to be served.

  store::LedgerState ledger = store::LedgerState::kUnknown;
  bool ledger_known = false;  // From Redis or the disk.
  std::size_t addresses = 0;  // Records of the ledger.
  bool leading = false;
  std::string leader;  // Name of the gateway whose control leads.

  bool secret_known = false;
  bool dataplane_connected = false, programmed = false;
  std::string dataplane_error;
  std::uint64_t generation = 0;
  std::size_t vips = 0, backends = 0;  // Served.
  ProgramCounters programs;
  std::uint64_t planned = 0;
  DesiredState::Counters worked_out;
  const ChangeLatency* latency = nullptr;

  Time redis_failed{}, dataplane_failed{}, disk_failed{};  // Last; the clock's epoch: never.
};

std::string control_metrics(const ControlState& state);

// Ready: objects and ledger are known, and the dataplane serves by them.
struct ControlReadiness {
  bool ready = false;
  std::string text;  // One line for each thing, for people.
};
ControlReadiness control_readiness(const ControlState& state);

}  // namespace sluice
