// Coordinator: presence and statuses, its own and the merged ones.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/use_awaitable.hpp>
#include <iterator>
#include <utility>

#include "control/daemon/coordinator.h"
#include "control/daemon/status.h"

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

namespace {

constexpr auto kPresenceInterval = 2s;  // Of a time to live of fifteen.
constexpr auto kCompareInterval = 2s;   // The other gateways' statuses change unannounced.

constexpr auto kPresenceLook = 500ms;
constexpr auto kStatusPatience = 2s;  // With many statuses while the dataplane is being programmed.
constexpr std::size_t kChunk = 256;   // Statuses at a time; others get their turn in between.
constexpr std::size_t kCompared = 1000;  // Services with the other gateways at a time.

store::StatusKey status_key(const ServiceKey& key) {
  return {key.source, key.ns, key.name};
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
  if (now - presence_looked_at_ < kPresenceLook) co_return Ok{};
  presence_looked_at_ = now;
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

v1::ServiceStatus Coordinator::own_status(const ServicePlan& plan) const {
  const ServiceKey& key = plan.key;
  const ServiceOutcome* worked_out = programmer_.tried() ? programmer_.outcome(key) : nullptr;
  std::optional<v1::ServiceStatus> before = own_writer_.last(status_key(key));
  if (before && before->uid() != plan.uid) before.reset();
  // Just started: what the last process said stands until this one knows better.
  if (before && !worked_out) return *before;
  const ServiceOutcome outcome = worked_out ? *worked_out : ServiceOutcome{};
  const ObjectPointer object =
      reconciler_.model().find({key.source, v1::KIND_SERVICE, key.ns, key.name});
  const VipProgress progress = programmer_.progress(key);
  StatusInputs inputs;
  inputs.plan = &plan;
  inputs.outcome = &outcome;
  inputs.before = before ? &*before : nullptr;
  inputs.gateway = options_.gateway;
  inputs.proxied = progress.proxied;
  inputs.observed_generation = object ? object->service().metadata().generation() : 0;
  inputs.now = std::chrono::system_clock::now();
  if (auto allocated = allocated_.find(key); allocated != allocated_.end())
    inputs.further.push_back(allocated->second);
  if (auto warned = allocation_warnings_.find(key); warned != allocation_warnings_.end())
    inputs.further.insert(inputs.further.end(), warned->second.begin(), warned->second.end());
  inputs.further.push_back(programmed_condition(plan, outcome, progress, programmer_.state()));
  v1::ServiceStatus status = make_status(inputs);
  store::stamp(status.mutable_header(), options_.version);
  return status;
}

void Coordinator::gather_changes() {
  Programmer::Changes changes = programmer_.take_changes();
  own_due_.all = own_due_.all || changes.all;
  own_due_.services.merge(changes.services);
  if (own_due_.any() && !statuses_due_since_) statuses_due_since_ = Clock::now();
  std::vector<std::string> alive;
  for (const store::Gateway& gateway : gateways_)
    if (gateway.alive && gateway.name != options_.gateway) alive.push_back(gateway.name);
  if (alive == alive_) return;
  alive_ = std::move(alive);
  merge_due_.all = true;
}

// Many at once wait a while if what they tell is not settled: changes of what is served go first.
Coordinator::Clock::time_point Coordinator::next_statuses() const {
  const auto next = status_at_ + kStatusInterval;
  const bool many = own_due_.all || own_due_.services.size() > kChunk;
  if (!many || !programmer_.busy() || !statuses_due_since_) return next;
  return std::max(next, *statuses_due_since_ + kStatusPatience);
}

// Some at a time: grants, presence and the lead do not wait for all of them.
awaitable<Status> Coordinator::write_statuses() {
  gather_changes();
  const auto now = Clock::now();
  if (!reader_.read_once() || now < next_statuses()) co_return Ok{};
  if (!own_recalled_) {
    // The transition times of the last process, so that a restart does not make conditions look
    // new.
    std::vector<store::StatusKey> services;
    for (const auto& [key, plan] : reconciler_.plans()) services.push_back(status_key(key));
    if (Status s = co_await own_writer_.recall(std::move(services)); !s) co_return s;
    own_recalled_ = true;
  }
  if (Status s = co_await write_own(); !s) co_return s;
  if (lead_.leading()) {
    if (Status s = co_await merge(); !s) co_return s;
  }
  if (own_due_.any()) co_return Ok{};
  statuses_due_since_.reset();
  if (!lead_.leading() || !merge_due_.any()) status_at_ = now;
  co_return Ok{};
}

// What is due when a write fails stays due.
awaitable<Status> Coordinator::write_own() {
  if (std::exchange(own_due_.all, false)) {
    merge_due_.all = true;
    for (const auto& [key, plan] : reconciler_.plans()) own_due_.services.insert(key);
    for (store::StatusKey& key : own_writer_.services())
      own_due_.services.insert({std::move(key.source), std::move(key.ns), std::move(key.name)});
  }
  if (own_due_.services.empty()) co_return Ok{};
  std::vector<v1::ServiceStatus> statuses;
  std::vector<store::StatusKey> gone;
  std::set<ServiceKey> chunk;
  while (!own_due_.services.empty() && chunk.size() < kChunk)
    chunk.insert(own_due_.services.extract(own_due_.services.begin()));
  for (const ServiceKey& key : chunk) {
    const auto plan = reconciler_.plans().find(key);
    // Of a Service that wants externalIPs alone, none of them ours, there is nothing to say.
    if (plan == reconciler_.plans().end() ||
        (!plan->second.request.load_balancer && !allocated_.contains(key))) {
      gone.push_back(status_key(key));
    } else {
      statuses.push_back(own_status(plan->second));
    }
  }
  const Status status = co_await own_writer_.update(std::move(statuses), std::move(gone));
  merge_due_.services.insert(chunk.begin(), chunk.end());
  if (!status) own_due_.services.merge(chunk);
  co_return status;
}

// The next Services in order, all in turn: what the other gateways say of them may have changed.
std::vector<ServiceKey> Coordinator::next_to_compare() {
  std::vector<ServiceKey> services;
  const auto& plans = reconciler_.plans();
  auto at = compared_ ? plans.upper_bound(*compared_) : plans.begin();
  if (at == plans.end()) at = plans.begin();
  for (; at != plans.end() && services.size() < kCompared; ++at) services.push_back(at->first);
  compared_ = services.empty() ? std::nullopt : std::optional(services.back());
  return services;
}

awaitable<Status> Coordinator::merge() {
  const auto now = Clock::now();
  if (!merged_recalled_) {
    if (Status s = co_await merged_writer_.recall(); !s) co_return s;
    merged_recalled_ = true;
    merge_due_.all = true;
  }
  if (!alive_.empty() && now - compare_at_ >= kCompareInterval) {
    compare_at_ = now;
    for (ServiceKey& key : next_to_compare()) merge_due_.services.insert(std::move(key));
  }
  if (std::exchange(merge_due_.all, false)) {
    for (const auto& [key, plan] : reconciler_.plans()) merge_due_.services.insert(key);
    for (store::StatusKey& key : merged_writer_.services())
      merge_due_.services.insert({std::move(key.source), std::move(key.ns), std::move(key.name)});
  }
  // Without an own status there is nothing to merge: it comes first.
  if (own_due_.all || own_due_.services.size() > kChunk) co_return Ok{};
  std::vector<ServiceKey> chunk;
  for (auto at = merge_due_.services.begin();
       at != merge_due_.services.end() && chunk.size() < kChunk;) {
    const auto next = std::next(at);
    if (!own_due_.services.contains(*at))
      chunk.push_back(std::move(merge_due_.services.extract(at).value()));
    at = next;
  }
  if (chunk.empty()) co_return Ok{};
  const Status status = co_await merge_some(chunk);
  if (!status) merge_due_.services.insert(chunk.begin(), chunk.end());
  co_return status;
}

awaitable<Status> Coordinator::merge_some(std::vector<ServiceKey> services) {
  std::vector<store::StatusKey> keys;
  for (const ServiceKey& key : services) keys.push_back(status_key(key));
  std::map<std::string, std::map<store::StatusKey, v1::ServiceStatus>> others;
  for (const std::string& gateway : std::vector<std::string>(alive_)) {
    auto read = co_await store::read_statuses(redis_, gateway, keys);
    if (!read) co_return Error{read.error()};
    others[gateway] = std::move(*read);
  }
  std::vector<v1::ServiceStatus> merged;
  std::vector<store::StatusKey> gone;
  for (std::size_t i = 0; i < services.size(); ++i) {
    const std::optional<v1::ServiceStatus> own = own_writer_.last(keys[i]);
    if (!own || !reconciler_.plans().contains(services[i])) {
      gone.push_back(keys[i]);
      continue;
    }
    std::vector<GatewayStatus> theirs;
    for (const auto& [gateway, statuses] : others) {
      const auto at = statuses.find(keys[i]);
      theirs.push_back({gateway, at == statuses.end() ? nullptr : &at->second});
    }
    const std::optional<v1::ServiceStatus> before = merged_writer_.last(keys[i]);
    merged.push_back(merge_statuses(*own, theirs, before ? &*before : nullptr));
  }
  co_return co_await merged_writer_.update(lead_.leader(), std::move(merged), std::move(gone));
}

}  // namespace sluice
