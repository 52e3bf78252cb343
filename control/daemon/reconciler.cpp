#include "control/daemon/reconciler.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "control/model/ledger_draft.h"

namespace sluice {
namespace {

bool same_treatment(const v1::AddressPoolSpec& a, const v1::AddressPoolSpec& b) {
  return a.forwarding_mode() == b.forwarding_mode() && a.overlay() == b.overlay() &&
         a.unserved_ports() == b.unserved_ports();
}

const v1::AddressPoolSpec& spec_of(const std::map<std::string, ObjectPointer>& pools,
                                   const std::string& name) {
  const auto at = pools.find(name);
  return at == pools.end() ? v1::AddressPoolSpec::default_instance()
                           : at->second->address_pool().spec();
}

}  // namespace

void Reconciler::set_settings(PlanSettings settings) {
  settings_ = std::move(settings);
  replan_all_ = true;
}

void Reconciler::set_ledger(const Ledger* ledger) {
  ledger_ = ledger;
  ledger_changed(true);
}

void Reconciler::ledger_changed(bool rebuilt) {
  desired_.touch_ledger(*ledger_, rebuilt);
}

void Reconciler::dataplane_changed() {
  desired_.touch_all();
  desired_.compare_all();
}

void Reconciler::note_arrivals() {
  for (const std::string& source : model_.sources())
    if (model_.complete(source, v1::KIND_SERVICE) &&
        model_.complete(source, v1::KIND_ENDPOINT_SLICE))
      arrived_.insert(source);
}

void Reconciler::plan_all(std::set<ServiceKey> changed) {
  for (const ServiceKey& key : changed) plan(key);
  concluded_.merge(changed);
}

void Reconciler::plan_waiting() {
  plan_all(std::exchange(waiting_, {}));
}

bool Reconciler::refresh() {
  std::set<ServiceKey> changed = model_.take_changed();
  bool everything = model_.take_completeness_changed();
  if (std::exchange(replan_all_, false)) {
    everything = true;
    for (ServiceKey& key : model_.services()) changed.insert(std::move(key));
  }
  if (everything) {
    desired_.touch_all();
    requests_changed_ = true;
    note_arrivals();
    changed.merge(waiting_);
    waiting_.clear();
  }
  for (auto at = changed.begin(); at != changed.end();) {
    const auto next = std::next(at);
    if (!arrived_.contains(at->source)) waiting_.insert(changed.extract(at));
    at = next;
  }
  const bool pools_changed = model_.take_pools_changed();
  if (pools_changed) refresh_pools();
  const bool namespaces_changed = model_.take_namespaces_changed();
  requests_changed_ = requests_changed_ || namespaces_changed;
  const std::set<Model::NodeKey> nodes = model_.take_changed_nodes();
  for (const auto& [source, name] : nodes) desired_.touch_node(source, name);
  const bool any =
      everything || pools_changed || namespaces_changed || !nodes.empty() || !changed.empty();
  plan_all(std::move(changed));
  return any;
}

void Reconciler::plan(const ServiceKey& key) {
  ++planned_;
  ServicePlan next = plan_service(model_.inputs(key), settings_);
  desired_.touch(key);
  const auto at = plans_.find(key);
  if (!next.wanted) {
    if (at == plans_.end()) return;
    plans_.erase(at);
    requests_changed_ = true;
    return;
  }
  requests_changed_ =
      requests_changed_ || at == plans_.end() || concerns_grants(at->second.request, next.request);
  plans_.insert_or_assign(key, std::move(next));
}

// Addresses in a status are of use to a Service that lost them: while it holds them they tell
// nothing, and every address that is written back to the cluster comes here as such a change.
bool Reconciler::concerns_grants(const AddressRequest& before, const AddressRequest& after) const {
  const auto same = [&](const AddressRequest& a, const AddressRequest& b) {
    return ledger_ != nullptr &&
           same_allocation(a, b, desired_.grants().addresses(a.service), *ledger_);
  };
  if (before.status_addresses == after.status_addresses) return !same(before, after);
  const auto held = [&](const IpAddress& address) {
    if (ledger_ == nullptr) return false;
    const auto record = ledger_->find(address);
    return record != ledger_->end() &&
           std::ranges::any_of(record->second.holders(), [&](const v1::AddressHolder& holder) {
             return holder.uid() == after.uid && is_of(holder, after.service);
           });
  };
  if (!std::ranges::all_of(before.status_addresses, held) ||
      !std::ranges::all_of(after.status_addresses, held)) {
    return true;
  }
  AddressRequest as_before = after;
  as_before.status_addresses = before.status_addresses;
  return !same(before, as_before);
}

void Reconciler::refresh_pools() {
  std::map<std::string, ObjectPointer> pools = model_.pools();
  for (const auto* some : {&pools, &pools_}) {
    for (const auto& [name, pool] : *some) {
      if (!same_treatment(spec_of(pools, name), spec_of(pools_, name))) desired_.touch_pool(name);
    }
  }
  pools_ = std::move(pools);
  requests_changed_ = true;
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

DesiredInputs Reconciler::inputs(const Serving& serving) const {
  static const Ledger none;
  DesiredInputs inputs;
  inputs.plans = &plans_;
  inputs.ledger = ledger_ != nullptr ? ledger_ : &none;
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
  return inputs;
}

bool Reconciler::update(const Serving& serving, IdAllocator* ids, std::size_t most) {
  return desired_.update(inputs(serving), ids, most, &concluded_);
}

}  // namespace sluice
