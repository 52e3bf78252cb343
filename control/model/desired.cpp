#include "control/model/desired.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

// The values of `reported` that differ from what is wanted are left to the builder.
template <typename Entries, typename Reported>
void compare_everything(const Entries& wanted, Reported* reported, DifferenceBuilder* builder) {
  const typename Reported::mapped_type none{};
  for (const auto& [key, entry] : wanted) {
    const auto old = reported->find(key);
    if (old == reported->end())
      builder->add(key, entry.value, none);
    else if (same_value(entry.value, old->second))
      old->second = entry.value;
    else
      builder->add(key, entry.value, old->second);
  }
  for (const auto& [key, value] : *reported)
    if (!wanted.contains(key)) builder->add(key, none, value);
}

template <typename Merged, typename Reported>
void compare_changed(const Merged& wanted, Reported* reported, DifferenceBuilder* builder) {
  const typename Reported::mapped_type none{};
  for (const auto& key : wanted.changed()) {
    const auto old = reported->find(key);
    builder->add(key, wanted.find(key), old == reported->end() ? none : old->second);
  }
}

template <typename Merged, typename Reported>
void take_over(Merged* wanted, bool all, Reported* reported) {
  if (all) {
    for (const auto& [key, entry] : wanted->entries()) (*reported)[key] = entry.value;
    if (reported->size() != wanted->entries().size())
      erase_if(*reported, [&](const auto& entry) { return !wanted->contains(entry.first); });
  } else {
    for (const auto& key : wanted->changed()) {
      if (const auto& value = wanted->find(key))
        (*reported)[key] = value;
      else
        reported->erase(key);
    }
  }
  wanted->forget_changes();
}

template <typename Map, typename Entries>
void copy(const Entries& entries, Map* to) {
  for (const auto& [key, entry] : entries) to->emplace(key, entry.value);
}

}  // namespace

void DesiredState::touch_pool(const std::string& pool) {
  for (ServiceKey& service : grants_.services_of_pool(pool)) touched_.insert(std::move(service));
}

void DesiredState::touch_node(const std::string& source, const std::string& node) {
  for (auto at = contributions_.lower_bound({source, "", ""});
       at != contributions_.end() && at->first.source == source; ++at) {
    const std::vector<std::string>& nodes = at->second.nodes;
    if (std::binary_search(nodes.begin(), nodes.end(), node)) touched_.insert(at->first);
  }
}

void DesiredState::touch_ledger(const Ledger& ledger, bool rebuilt) {
  for (ServiceKey& service : grants_.update(ledger, rebuilt)) touched_.insert(std::move(service));
}

bool DesiredState::update(const DesiredInputs& inputs, IdAllocator* ids, std::size_t most,
                          std::set<ServiceKey>* concluded) {
  if (touched_.empty() && !all_ && !sweep_ids_) return true;
  if (short_of_room_ || (all_ && !room_is_certain(inputs))) {
    update_whole(inputs, ids, concluded);
    return true;
  }
  if (std::exchange(all_, false)) {
    touched_ = everybody(inputs);
    sweep_ids_ = true;
    ++counters_.full;
  }
  std::set<ServiceKey> services;
  while (services.size() < most && !touched_.empty())
    services.insert(services.end(), touched_.extract(touched_.begin()));
  if (!work_out(services, inputs, false, ids)) {
    update_whole(inputs, ids, concluded);
    return true;
  }
  concluded->merge(services);
  if (!touched_.empty()) return false;
  if (std::exchange(sweep_ids_, false)) release_others(inputs.generation, ids);
  return true;
}

void DesiredState::update_whole(const DesiredInputs& inputs, IdAllocator* ids,
                                std::set<ServiceKey>* concluded) {
  touched_.clear();
  all_ = sweep_ids_ = false;
  ++counters_.full;
  std::set<ServiceKey> services = everybody(inputs);
  short_of_room_ = !work_out(services, inputs, true, ids);
  concluded->merge(services);
}

// For all that may be wanted or held.
bool DesiredState::room_is_certain(const DesiredInputs& inputs) const {
  if (inputs.capacity.vips() == 0) return true;
  std::size_t most = inputs.reported->vips.size();
  for (const auto& [address, record] : *inputs.ledger)
    for (const v1::AddressHolder& holder : record.holders())
      most += static_cast<std::size_t>(holder.ports_size());
  return most <= inputs.capacity.vips();
}

std::set<ServiceKey> DesiredState::everybody(const DesiredInputs& inputs) const {
  std::set<ServiceKey> services;
  for (const auto& [key, plan] : *inputs.plans) services.insert(services.end(), key);
  for (const auto& [key, contribution] : contributions_) services.insert(key);
  for (const auto& [name, vip] : inputs.reported->vips)
    services.insert(service_key(vip->service()));
  return services;
}

bool DesiredState::work_out(const std::set<ServiceKey>& services, const DesiredInputs& inputs,
                            bool whole, IdAllocator* ids) {
  std::size_t elsewhere = 0;
  if (!whole) {
    // More than are counted once where Services offer the same VIP: rather too few places than
    // many.
    elsewhere = vips();
    for (const ServiceKey& key : services) {
      const auto at = contributions_.find(key);
      if (at != contributions_.end()) elsewhere -= std::min(elsewhere, at->second.vips.size());
    }
  }
  ContributionBuilder builder(inputs, grants_, elsewhere, ids);
  for (const ServiceKey& key : services) builder.add(key);
  std::vector<Contribution> contributions = builder.run();
  if (builder.short_of_room() && !whole) return false;
  counters_.services += services.size();
  counters_.vips += builder.vips();
  put(std::move(contributions), inputs.generation, ids);
  if (whole) release_others(inputs.generation, ids);
  return !builder.short_of_room();
}

void DesiredState::put(std::vector<Contribution> contributions, std::uint64_t generation,
                       IdAllocator* ids) {
  std::vector<std::pair<VipName, Shared<v1::Vip>>> vips;
  std::vector<std::pair<std::uint32_t, EncodedBackend>> backends;
  std::vector<std::pair<IpAddress, Shared<v1::ServedAddress>>> addresses;
  for (Contribution& next : contributions) {
    const auto [at, added] = contributions_.try_emplace(next.service);
    Contribution& now = at->second;
    if (added) now.service = next.service;
    const bool empty = next.empty();
    vips_.put(&now, std::move(next.vips), &vips);
    backends_.put(&now, std::move(next.backends), &backends);
    addresses_.put(&now, std::move(next.addresses), &addresses);
    now.nodes = std::move(next.nodes);
    now.outcome = std::move(next.outcome);
    if (empty) contributions_.erase(at);
  }
  // Only now, since what one gave up another may have taken.
  for (const auto& [id, backend] : backends)
    if (!backends_.contains(id)) ids->release_backend(id, generation);
  for (const auto& [name, vip] : vips)
    if (!has_vip_of(name)) ids->release_vip(vip->id(), generation);
}

bool DesiredState::has_vip_of(const VipName& name) const {
  const auto at = vips_.entries().lower_bound({name.address, name.protocol, 0});
  return at != vips_.entries().end() && at->first.address == name.address &&
         at->first.protocol == name.protocol;
}

void DesiredState::release_others(std::uint64_t generation, IdAllocator* ids) const {
  std::set<std::uint32_t> vip_ids;
  for (const auto& [name, entry] : vips_.entries()) vip_ids.insert(entry.value->id());
  ids->release_others([&](std::uint32_t id) { return vip_ids.contains(id); },
                      [&](std::uint32_t id) { return backends_.contains(id); }, generation);
}

DataplaneState DesiredState::state() const {
  DataplaneState state;
  copy(vips_.entries(), &state.vips);
  copy(backends_.entries(), &state.backends);
  copy(addresses_.entries(), &state.addresses);
  return state;
}

const ServiceOutcome* DesiredState::outcome(const ServiceKey& service) const {
  const auto at = contributions_.find(service);
  return at == contributions_.end() || !at->second.outcome ? nullptr : &*at->second.outcome;
}

VipProgress DesiredState::progress(const ServiceKey& service,
                                   const DataplaneState& reported) const {
  VipProgress progress;
  const auto at = contributions_.find(service);
  if (at == contributions_.end()) return progress;
  for (const auto& offer : at->second.vips) {
    const Shared<v1::Vip>& wanted = vips_.find(offer.key);
    if (wanted != offer.value && wanted->service() != service.text()) continue;
    ++progress.wanted;
    progress.proxied = progress.proxied || wanted->proxy_protocol();
    const auto served = reported.vips.find(offer.key);
    if (served != reported.vips.end() &&
        (served->second == wanted || same_bytes(*served->second, *wanted)))
      ++progress.served;
  }
  return progress;
}

Difference DesiredState::difference(DataplaneState* reported) const {
  DifferenceBuilder builder;
  if (compare_all_) {
    compare_everything(addresses_.entries(), &reported->addresses, &builder);
    compare_everything(backends_.entries(), &reported->backends, &builder);
    compare_everything(vips_.entries(), &reported->vips, &builder);
  } else {
    compare_changed(addresses_, &reported->addresses, &builder);
    compare_changed(backends_, &reported->backends, &builder);
    compare_changed(vips_, &reported->vips, &builder);
  }
  return builder.take();
}

void DesiredState::accept(DataplaneState* reported) {
  const bool all = std::exchange(compare_all_, false);
  addresses_.list_holders_of_changes(&touched_);
  backends_.list_holders_of_changes(&touched_);
  vips_.list_holders_of_changes(&touched_);
  take_over(&addresses_, all, &reported->addresses);
  take_over(&backends_, all, &reported->backends);
  take_over(&vips_, all, &reported->vips);
}

}  // namespace sluice
