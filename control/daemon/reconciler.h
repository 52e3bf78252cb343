// Reconciler: the objects as last read, one plan per Service kept up to date with them, and from
// there what is wanted: addresses of the ledger, and the dataplane's state.
// Purpose: everything between reading and writing, with neither Redis nor a socket in it. A change
// costs the Services it concerns.
// Ownership: shares the objects. Thread: one. Errors: none; what cannot be done for a Service is
// among its conditions.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
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
  // Must outlive this. Tell of every change by ledger_changed(); `rebuilt`: records may differ
  // under the revisions they had.
  void set_ledger(const Ledger* ledger);
  void ledger_changed(bool rebuilt);
  // Its report has been read anew.
  void dataplane_changed();

  // Plans the Services anew whose inputs changed. True if anything changed that decides what is
  // wanted. Services of a source that comes in for the first time wait until it is complete, since
  // each of its objects would plan them anew and none of them can be served before.
  bool refresh();
  bool plans_wait() const { return !waiting_.empty(); }
  // Plans those too, so that their conditions tell what is missing.
  void plan_waiting();
  // Something changed that decides who gets which address, since the last call.
  bool take_requests_changed() { return std::exchange(requests_changed_, false); }
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
    const DataplaneState* reported = nullptr;
    v1::Capacity capacity;
    std::uint64_t generation = 0;  // As DesiredInputs::generation.
  };
  // Brings desired() up to date. VIPs of a source whose Services are not all known stay as
  // reported: unknown is not empty. False: there is more to do, as in DesiredState::update.
  static constexpr std::size_t kServicesAtOnce = 256;
  bool update(const Serving& serving, IdAllocator* ids, std::size_t most = kServicesAtOnce);
  DesiredState& desired() { return desired_; }
  const DesiredState& desired() const { return desired_; }

  // Services planned or worked out anew since the last call, also those that are gone.
  std::set<ServiceKey> take_concluded() { return std::exchange(concluded_, {}); }
  std::uint64_t planned() const { return planned_; }  // Since the start.

 private:
  void plan(const ServiceKey& key);
  void plan_all(std::set<ServiceKey> changed);
  void note_arrivals();
  bool concerns_grants(const AddressRequest& before, const AddressRequest& after) const;
  void refresh_pools();
  DesiredInputs inputs(const Serving& serving) const;

  PlanSettings settings_;
  Model model_;
  const Ledger* ledger_ = nullptr;
  std::map<ServiceKey, ServicePlan> plans_;  // Of wanted Services.
  std::map<std::string, ObjectPointer> pools_;
  DesiredState desired_;
  std::set<std::string> arrived_;  // Sources that were complete once.
  std::set<ServiceKey> waiting_;   // Changed, of other sources.
  std::set<ServiceKey> concluded_;
  std::uint64_t planned_ = 0;
  bool replan_all_ = false, requests_changed_ = true;
};

}  // namespace sluice
