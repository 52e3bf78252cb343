// Reconciler: the objects as last read, one plan per Service kept up to date with them, and from
// there what is wanted: addresses of the ledger, and the dataplane's state.
// Purpose: everything between reading and writing, with neither Redis nor a socket in it.
// Ownership: shares the objects. Thread: one. Errors: none; what cannot be done for a Service is
// among its conditions.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>

#include "control/model/allocation.h"
#include "control/model/desired.h"
#include "control/model/ids.h"
#include "control/model/model.h"
#include "control/model/service_plan.h"

namespace sluice {

class Reconciler {
 public:
  explicit Reconciler(PlanSettings settings) : settings_(std::move(settings)) {}

  Model& model() { return model_; }
  const Model& model() const { return model_; }
  // Other settings concern every plan.
  void set_settings(PlanSettings settings);

  // Plans the Services anew whose inputs changed. True if any did, or the pools or nodes; those
  // need no new plan, as desired() reads them.
  bool refresh();
  const std::map<ServiceKey, ServicePlan>& plans() const { return plans_; }
  const std::map<std::string, ObjectPointer>& pools() const { return pools_; }

  struct Ledgered {
    const Ledger* ledger = nullptr;
    std::span<const IpAddress> unreadable;  // As AllocationInputs::unreadable.
    std::int64_t now_unix_ms = 0;
    std::int64_t hold_ms = 0;
    std::function<bool(const IpAddress&)> withdrawn_everywhere;
  };
  Allocation allocate(const Ledgered& inputs) const;

  struct Serving {
    const Ledger* ledger = nullptr;
    const DataplaneState* reported = nullptr;
    v1::Capacity capacity;
    std::uint64_t generation = 0;  // As DesiredInputs::generation.
  };
  // VIPs of a source whose Services are not all known stay as reported: unknown is not empty.
  Desired desired(const Serving& serving, IdAllocator* ids) const;

 private:
  PlanSettings settings_;
  Model model_;
  std::map<ServiceKey, ServicePlan> plans_;  // Of wanted Services.
  std::map<std::string, ObjectPointer> pools_;
  bool replan_all_ = false;
};

}  // namespace sluice
