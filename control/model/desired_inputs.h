// All that decides the state a dataplane should have. Ownership: refers to what the caller keeps.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "control/model/dataplane_state.h"
#include "control/model/service_plan.h"

namespace sluice {

struct DesiredInputs {
  const std::map<ServiceKey, ServicePlan>* plans = nullptr;
  const Ledger* ledger = nullptr;
  const std::map<std::string, ObjectPointer>* pools = nullptr;
  PlanSettings settings;
  // Serving now: held VIPs are taken from it, and it goes first if the dataplane's room is short.
  const DataplaneState* reported = nullptr;
  // What the dataplane serves for a Service that is not known (not planned, or its endpoints
  // unknown) stays as it is if its source is held; absent: nothing is held.
  std::function<bool(const std::string& source)> source_held;
  // Of a source; null if it is not there. Where not all of a source's nodes are known, what is
  // behind an overlay stays as it is reported. Absent: there are none, and that is known.
  std::function<ObjectPointer(const std::string& source, const std::string& name)> node;
  std::function<bool(const std::string& source)> nodes_known;
  v1::Capacity capacity;         // Zeros: no limit.
  std::uint64_t generation = 0;  // That this state will be applied as; retires unused ids.
};

}  // namespace sluice
