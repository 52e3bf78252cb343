#include "control/daemon/reconciler.h"

#include <utility>
#include <vector>

namespace sluice {

void Reconciler::set_settings(PlanSettings settings) {
  settings_ = std::move(settings);
  replan_all_ = true;
}

bool Reconciler::refresh() {
  std::set<ServiceKey> changed = model_.take_changed();
  if (std::exchange(replan_all_, false)) {
    for (ServiceKey& key : model_.services()) changed.insert(std::move(key));
  }
  for (const ServiceKey& key : changed) {
    ServicePlan plan = plan_service(model_.inputs(key), settings_);
    if (plan.wanted) {
      plans_.insert_or_assign(key, std::move(plan));
    } else {
      plans_.erase(key);
    }
  }
  const bool pools_changed = model_.take_pools_changed();
  if (pools_changed) pools_ = model_.pools();
  const bool nodes_changed = model_.take_nodes_changed();
  const bool namespaces_changed = model_.take_namespaces_changed();
  return pools_changed || nodes_changed || namespaces_changed || !changed.empty();
}

Allocation Reconciler::allocate(const Ledgered& inputs) const {
  std::vector<const AddressRequest*> requests;
  requests.reserve(plans_.size());
  for (const auto& [key, plan] : plans_) requests.push_back(&plan.request);
  AllocationInputs all;
  all.requests = requests;
  all.pools = &pools_;
  all.ledger = inputs.ledger;
  all.unreadable = inputs.unreadable;
  all.now_unix_ms = inputs.now_unix_ms;
  all.hold_ms = inputs.hold_ms;
  all.services_known = [this](const std::string& source) {
    return model_.complete(source, v1::KIND_SERVICE);
  };
  all.find_namespace = [this](const std::string& source, const std::string& name) {
    return model_.find({source, v1::KIND_NAMESPACE, "", name});
  };
  all.withdrawn_everywhere = inputs.withdrawn_everywhere;
  return sluice::allocate(all);
}

Desired Reconciler::desired(const Serving& serving, IdAllocator* ids) const {
  DesiredInputs inputs;
  inputs.plans = &plans_;
  inputs.ledger = serving.ledger;
  inputs.pools = &pools_;
  inputs.settings = settings_;
  inputs.reported = serving.reported;
  inputs.source_held = [this](const std::string& source) {
    return !model_.complete(source, v1::KIND_SERVICE);
  };
  inputs.node = [this](const std::string& source, const std::string& name) {
    return model_.find({source, v1::KIND_NODE, "", name});
  };
  inputs.nodes_known = [this](const std::string& source) {
    return model_.complete(source, v1::KIND_NODE);
  };
  inputs.capacity = serving.capacity;
  inputs.generation = serving.generation;
  return build_desired(inputs, ids);
}

}  // namespace sluice
