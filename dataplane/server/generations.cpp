#include "dataplane/server/generations.h"

#include <chrono>
#include <utility>

namespace sluice {
namespace {

// Each holds a state in memory; so many only wait when a worker stands still.
constexpr std::size_t kMaxWaiting = 64;

std::string what_is(const ForwardingState& state, std::uint32_t backend) {
  const BackendRecord& record = *state.backend(backend);
  return address_port_text(address_of(record), record.port.host());
}

std::string what_is(const VipIdentity& identity) {
  return identity.address.text() + "/" + protocol_name(identity.protocol);
}

}  // namespace

Generations::Generations(Host& host, const StateLimits& limits)
    : host_(host),
      limits_(limits),
      counters_(limits.vips),
      serving_(std::make_shared<const ForwardingState>()) {}

Result<Generations::Committed> Generations::commit(StateBuilder& builder,
                                                   std::uint64_t generation) {
  if (waiting_.size() >= kMaxWaiting) {
    return Error{"workers still use " + std::to_string(waiting_.size()) +
                 " earlier generations; a worker stands still, or try again in a moment"};
  }
  const auto begin = std::chrono::steady_clock::now();
  Result<StateBuilder::Built> built = builder.build(generation, counters_);
  if (!built) return Error{built.error()};
  if (Status status = check_ids(*built); !status) {
    for (const std::uint32_t index : built->new_counters) counters_.give_back(index);
    return Error{status.error()};
  }
  start_counting(*built);
  host_.publish(built->state);
  note_ids(*built, generation);
  waiting_.push_back({generation, host_.grace_start(), std::exchange(serving_, built->state),
                      std::move(built->retired_counters)});
  const auto took = std::chrono::steady_clock::now() - begin;
  return Committed{static_cast<std::uint64_t>(
                       std::chrono::duration_cast<std::chrono::microseconds>(took).count()),
                   built->tables_built};
}

Status Generations::check_ids(const StateBuilder::Built& built) const {
  for (const std::uint32_t id : built.new_backends) {
    Status status = check_id(retired_backends_, "backend", id, what_is(*built.state, id));
    if (!status) return status;
  }
  for (const std::uint32_t id : built.new_vip_ids) {
    Status status = check_id(retired_vips_, "VIP", id, what_is(*built.state->identity(id)));
    if (!status) return status;
  }
  return Ok{};
}

// An entry of a connection table says nothing but the id: under another meaning its packets would
// go to the wrong place.
std::vector<Generations::Unswept> Generations::unswept() const {
  std::vector<Unswept> ids;
  ids.reserve(retired_vips_.size() + retired_backends_.size());
  for (const auto& [id, retired] : retired_vips_) ids.push_back({false, id, retired.generation});
  for (const auto& [id, retired] : retired_backends_) ids.push_back({true, id, retired.generation});
  return ids;
}

Status Generations::check_id(const RetiredIds& retired, const std::string& kind, std::uint32_t id,
                             const std::string& what) const {
  const auto it = retired.find(id);
  if (it == retired.end() || it->second.what == what) return Ok{};
  return Error{kind + " id " + std::to_string(id) + " was " + it->second.what +
               " before generation " + std::to_string(it->second.generation) +
               ", and workers may still have flows of it (swept: " + std::to_string(swept_) +
               "); give " + what + " another id, or wait"};
}

void Generations::note_ids(const StateBuilder::Built& built, std::uint64_t generation) {
  for (const std::uint32_t id : built.new_backends) retired_backends_.erase(id);
  for (const std::uint32_t id : built.new_vip_ids) retired_vips_.erase(id);
  for (const std::uint32_t id : built.retired_backends) {
    retired_backends_[id] = {what_is(*serving_, id), generation};
    backend_origin_.erase(id);
  }
  for (const std::uint32_t id : built.retired_vip_ids) {
    retired_vips_[id] = {what_is(*serving_->identity(id)), generation};
  }
}

void Generations::start_counting(const StateBuilder::Built& built) {
  for (const auto* indexes : {&built.new_counters, &built.inherited_counters}) {
    for (const std::uint32_t index : *indexes) vip_origin_[index] = sum_vip(host_.workers(), index);
  }
  for (const std::uint32_t id : built.new_backends)
    backend_origin_[id] = sum_backend(host_.workers(), id);
}

void Generations::poll() {
  while (!waiting_.empty() && host_.grace_passed(waiting_.front().token)) {
    for (const std::uint32_t index : waiting_.front().counters) {
      counters_.give_back(index);
      vip_origin_.erase(index);
    }
    graced_ = waiting_.front().generation;
    waiting_.pop_front();
  }
  if (sweeping_ != 0 && swept_since_begin()) {
    swept_ = std::exchange(sweeping_, 0);
    const auto swept = [this](const auto& entry) { return entry.second.generation <= swept_; };
    std::erase_if(retired_backends_, swept);
    std::erase_if(retired_vips_, swept);
  }
  if (sweeping_ == 0 && graced_ > swept_) begin_sweep();
}

void Generations::begin_sweep() {
  sweeping_ = graced_;
  rounds_.clear();
  for (const WorkerView& worker : host_.workers()) {
    rounds_.push_back(worker.sweep_rounds->load(std::memory_order_acquire));
  }
}

bool Generations::swept_since_begin() const {
  const std::span<const WorkerView> workers = host_.workers();
  for (std::size_t i = 0; i < workers.size(); ++i) {
    // The round under way at the beginning may have passed an entry already; the next one has not.
    if (workers[i].sweep_rounds->load(std::memory_order_acquire) < rounds_[i] + 2) return false;
  }
  return true;
}

int Generations::poll_interval_ms() const {
  if (!waiting_.empty()) return 1;
  return sweeping_ != 0 ? 50 : -1;
}

VipTotals Generations::vip_totals(const VipBlock& vip) const {
  const auto origin = vip_origin_.find(vip.counter);
  return sum_vip(host_.workers(), vip.counter) -
         (origin == vip_origin_.end() ? VipTotals{} : origin->second);
}

BackendTotals Generations::backend_totals(std::uint32_t id) const {
  const auto origin = backend_origin_.find(id);
  return sum_backend(host_.workers(), id) -
         (origin == backend_origin_.end() ? BackendTotals{} : origin->second);
}

}  // namespace sluice
