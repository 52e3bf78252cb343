// Coordinator: presence and statuses, its own and the merged ones.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "control/daemon/coordinator.h"
#include "control/daemon/status.h"

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr auto kPresenceInterval = 2s;  // Of a time to live of fifteen.
constexpr auto kMergeInterval = 2s;     // The other gateways' statuses change unannounced.

std::int64_t unix_ms_now() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::map<store::StatusKey, v1::ServiceStatus> by_service(
    const std::vector<v1::ServiceStatus>& statuses) {
  std::map<store::StatusKey, v1::ServiceStatus> map;
  for (const auto& s : statuses)
    map.emplace(store::StatusKey{s.source(), s.namespace_(), s.name()}, s);
  return map;
}

}  // namespace

v1::GatewayPresence Coordinator::presence() const {
  v1::GatewayPresence presence;
  store::stamp(presence.mutable_header(), options_.version);
  presence.set_name(options_.gateway);
  presence.set_version(options_.version);
  presence.set_started_unix_ms(started_unix_ms_);
  presence.set_dataplane_connected(programmer_.connected());
  presence.set_leading(lead_.leading());
  if (programmer_.connected()) {
    presence.set_generation(programmer_.link().generation());
    presence.set_workers(programmer_.link().hello().workers());
    presence.set_vips(static_cast<std::uint32_t>(programmer_.link().reported().vips.size()));
  }
  for (const auto& view : reader_.sources()) *presence.add_sources() = view.state;
  for (const auto& [address, record] : ledger_.records())
    if (record.holders().empty() && programmer_.withdrawn(address))
      presence.add_withdrawn(address.bytes());
  return presence;
}

awaitable<Status> Coordinator::write_presence() {
  const auto now = Clock::now();
  v1::GatewayPresence next = presence();
  std::string bytes = store::encode(next);
  if (bytes == presence_written_ && now - presence_at_ < kPresenceInterval) co_return Ok{};
  next.set_updated_unix_ms(unix_ms_now());
  const Status status = co_await store::write_presence(redis_, std::move(next));
  if (status) {
    presence_written_ = std::move(bytes);
    presence_at_ = now;
  }
  co_return status;
}

std::vector<v1::ServiceStatus> Coordinator::own_statuses() const {
  std::vector<v1::ServiceStatus> statuses;
  const auto now = std::chrono::system_clock::now();
  for (const auto& [key, plan] : reconciler_.plans()) {
    // Its externalIPs are none of ours.
    if (!plan.request.load_balancer && !allocated_.contains(key)) continue;
    const ServiceOutcome* worked_out = programmer_.tried() ? programmer_.outcome(key) : nullptr;
    const auto found = own_before_.find({key.source, key.ns, key.name});
    const v1::ServiceStatus* before =
        found == own_before_.end() || found->second.uid() != plan.uid ? nullptr : &found->second;
    // Just started: what the last process said stands until this one knows better.
    if (before && !worked_out) {
      statuses.push_back(*before);
      continue;
    }
    const ServiceOutcome outcome = worked_out ? *worked_out : ServiceOutcome{};
    const ObjectPointer object =
        reconciler_.model().find({key.source, v1::KIND_SERVICE, key.ns, key.name});
    const VipProgress progress = programmer_.progress(key);
    StatusInputs inputs;
    inputs.plan = &plan;
    inputs.outcome = &outcome;
    inputs.before = before;
    inputs.gateway = options_.gateway;
    inputs.proxied = progress.proxied;
    inputs.observed_generation = object ? object->service().metadata().generation() : 0;
    inputs.now = now;
    if (auto allocated = allocated_.find(key); allocated != allocated_.end())
      inputs.further.push_back(allocated->second);
    if (auto warned = allocation_warnings_.find(key); warned != allocation_warnings_.end())
      inputs.further.insert(inputs.further.end(), warned->second.begin(), warned->second.end());
    inputs.further.push_back(programmed_condition(plan, outcome, progress, programmer_.state()));
    statuses.push_back(make_status(inputs));
    store::stamp(statuses.back().mutable_header(), options_.version);
  }
  return statuses;
}

// The transition times of the last process, so that a restart does not make conditions look new.
awaitable<Status> Coordinator::recall_own() {
  std::vector<store::StatusKey> services;
  for (const auto& [key, plan] : reconciler_.plans())
    services.push_back({key.source, key.ns, key.name});
  auto own = co_await store::read_statuses(redis_, options_.gateway, std::move(services));
  if (!own) co_return Error{own.error()};
  own_before_ = std::move(*own);
  own_recalled_ = true;
  co_return Ok{};
}

awaitable<Status> Coordinator::write_statuses() {
  const auto now = Clock::now();
  const bool merge_due = lead_.leading() && now - merge_at_ >= kMergeInterval;
  if (!reader_.read_once() || (!status_dirty_ && !merge_due)) co_return Ok{};
  if (!own_recalled_) {
    if (Status s = co_await recall_own(); !s) co_return s;
  }
  status_dirty_ = false;
  std::vector<v1::ServiceStatus> own = own_statuses();
  own_before_ = by_service(own);
  Status status = co_await own_writer_.write(own);
  if (status && lead_.leading()) {
    merge_at_ = now;
    status = co_await merge(std::move(own));
  }
  if (!status) status_dirty_ = true;
  co_return status;
}

awaitable<Status> Coordinator::merge(std::vector<v1::ServiceStatus> own) {
  if (!merged_recalled_) {
    auto recalled = co_await merged_writer_.recall();
    if (!recalled) co_return Error{recalled.error()};
    for (auto& [service, status] : *recalled) merged_before_[service] = std::move(status);
    merged_recalled_ = true;
  }
  std::vector<store::StatusKey> services;
  for (const auto& s : own) services.push_back({s.source(), s.namespace_(), s.name()});
  std::map<std::string, std::map<store::StatusKey, v1::ServiceStatus>> others;
  for (const store::Gateway& gateway : gateways_) {
    if (!gateway.alive || gateway.name == options_.gateway) continue;
    auto read = co_await store::read_statuses(redis_, gateway.name, services);
    if (!read) co_return Error{read.error()};
    others[gateway.name] = std::move(*read);
  }
  std::vector<v1::ServiceStatus> merged;
  for (std::size_t i = 0; i < own.size(); ++i) {
    std::vector<GatewayStatus> theirs;
    for (const auto& [gateway, statuses] : others) {
      const auto at = statuses.find(services[i]);
      theirs.push_back({gateway, at == statuses.end() ? nullptr : &at->second});
    }
    const auto before = merged_before_.find(services[i]);
    merged.push_back(
        merge_statuses(own[i], theirs, before == merged_before_.end() ? nullptr : &before->second));
  }
  merged_before_ = by_service(merged);
  co_return co_await merged_writer_.write(lead_.leader(), std::move(merged));
}

}  // namespace sluice
