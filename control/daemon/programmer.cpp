#include "control/daemon/programmer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

Programmer::Programmer(boost::asio::any_io_executor executor, Reconciler& reconciler,
                       IdAllocator& ids, std::string socket, std::string client,
                       ProgrammerHooks hooks)
    : reconciler_(reconciler),
      ids_(ids),
      socket_(std::move(socket)),
      client_(std::move(client)),
      hooks_(std::move(hooks)),
      link_(executor),
      wake_(executor),
      reconnect_(50ms, 400ms),
      retry_(200ms, 30s) {}

void Programmer::stop() {
  stopping_ = true;
  link_.close();
  wake_.notify();
}

void Programmer::wake() {
  dirty_ = true;
  retry_at_ = {};
  wake_.notify();
}

VipProgress Programmer::progress(const ServiceKey& service) const {
  const auto at = progress_.find(service.text());
  return at == progress_.end() ? VipProgress{} : at->second;
}

bool Programmer::withdrawn(const IpAddress& address) const {
  return link_.up() && !link_.reported().addresses.contains(address);
}

awaitable<void> Programmer::run() {
  while (!stopping_) {
    if (link_.up()) {
      co_await step();
    } else if (const auto left = connect_at_ - Clock::now(); left <= Clock::duration::zero()) {
      co_await connect();
    } else {
      if (dirty_) preview();
      co_await wake_.wait(std::chrono::ceil<std::chrono::milliseconds>(left));
    }
  }
  link_.close();
}

awaitable<void> Programmer::connect() {
  const Status status = co_await link_.connect(socket_, client_);
  tried_ = true;
  if (stopping_) co_return;
  if (!status) {
    if (error_ != status.error()) {
      error_ = status.error();
      hooks_.changed();
    }
    if (auto left_out = connect_log_.admit())
      spdlog::warn("dataplane unreachable error=\"{}\" left_out={}", error_, *left_out);
    connect_at_ = Clock::now() + reconnect_.next();
    co_return;
  }
  reconnect_.reset();
  retry_.reset();
  error_.clear();
  const v1::Capacity& capacity = link_.hello().capacity();
  IdAllocator::Limits limits;
  if (capacity.vip_ids() > 0) limits.vips = std::min(limits.vips, capacity.vip_ids());
  if (capacity.backends() > 0) limits.backends = std::min(limits.backends, capacity.backends());
  ids_.set_limits(limits);
  ids_.adopt(link_.reported());
  // One that never was programmed has no flow that could name a retired id.
  ids_.swept(link_.generation() == 0 ? std::numeric_limits<std::uint64_t>::max()
                                     : link_.swept_generation());
  spdlog::info("dataplane connected version={} generation={} vips={} backends={}",
               link_.hello().version(), link_.generation(), link_.reported().vips.size(),
               link_.reported().backends.size());
  polled_ = Clock::now();
  hooks_.connected();
  wake();
  hooks_.changed();
}

awaitable<void> Programmer::step() {
  const auto now = Clock::now();
  if (dirty_ && now >= retry_at_ && hooks_.ready(!link_.reported().vips.empty())) {
    // What belongs together arrives together: let the rest of it come in.
    co_await wake_.sleep(kCoalesce);
    if (stopping_) co_return;
    if (hooks_.maglev_seed() != 0) {
      co_await program();
    } else {
      preview();
    }
  } else if (now - polled_ >= kPoll) {
    co_await poll();
  } else {
    co_await wake_.wait(kPoll);
  }
}

// Without a dataplane, or without the seed, the conditions still tell what would be served; the ids
// are a draft.
void Programmer::preview() {
  dirty_ = false;  // A connection makes it true again, and so does whatever is missing.
  if (!hooks_.ready(link_.up() && !link_.reported().vips.empty())) return;
  reconciler_.refresh();
  IdAllocator draft;
  draft.load(ids_.save());
  Desired desired = reconciler_.desired(
      {&hooks_.ledger(), &link_.reported(), link_.hello().capacity(), last_generation_ + 1},
      &draft);
  progress_ = vip_progress(desired.state, link_.up() ? &link_.reported() : nullptr);
  outcomes_ = std::move(desired.outcomes);
  hooks_.changed();
}

awaitable<void> Programmer::program() {
  dirty_ = false;
  reconciler_.refresh();
  const std::uint64_t generation = std::max(last_generation_, link_.generation()) + 1;
  Desired desired = reconciler_.desired(
      {&hooks_.ledger(), &link_.reported(), link_.hello().capacity(), generation}, &ids_);
  outcomes_ = std::move(desired.outcomes);
  progress_.clear();
  const auto done = co_await link_.program(desired.state, generation, hooks_.maglev_seed());
  polled_ = Clock::now();
  if (done) {
    note_success(*done, generation);
  } else if (link_.up()) {
    note_refusal(done.error(), desired.state);
  } else {
    lost(done.error());
  }
  hooks_.changed();
}

void Programmer::note_success(const DataplaneLink::Programmed& done, std::uint64_t generation) {
  error_.clear();
  retry_.reset();
  // What it serves now is what was wanted: every VIP counts as served.
  for (const auto& [name, vip] : link_.reported().vips) {
    VipProgress& service = progress_[vip.service()];
    ++service.wanted;
    ++service.served;
  }
  if (!done.applied) return;
  last_generation_ = generation;
  spdlog::info(
      "programmed generation={} upserts={} deletes={} reseeded={} tables={} build_us={} vips={}",
      generation, done.upserts, done.deletes, done.reseeded, done.tables_built,
      done.build_microseconds, link_.reported().vips.size());
}

void Programmer::note_refusal(const std::string& error, const DataplaneState& wanted) {
  error_ = error;
  progress_ = vip_progress(wanted, &link_.reported());
  const auto wait = retry_.next();
  dirty_ = true;
  retry_at_ = Clock::now() + wait;
  if (auto left_out = refusal_log_.admit())
    spdlog::error("dataplane refused the change error=\"{}\" retry_ms={} left_out={}", error,
                  wait.count(), *left_out);
}

void Programmer::lost(const std::string& error) {
  error_ = error;
  dirty_ = true;
  spdlog::warn("dataplane connection lost error=\"{}\"", error);
}

awaitable<void> Programmer::poll() {
  polled_ = Clock::now();
  const std::uint64_t swept = link_.swept_generation();
  const Status status = co_await link_.poll();
  if (stopping_) co_return;
  if (!status) {
    lost(status.error());
    hooks_.changed();
  } else if (link_.swept_generation() != swept) {
    ids_.swept(link_.swept_generation());
  }
}

}  // namespace sluice
