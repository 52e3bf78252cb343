#include "control/daemon/programmer.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <limits>
#include <utility>

namespace sluice {

using boost::asio::awaitable;
using namespace std::chrono_literals;

Programmer::Programmer(boost::asio::any_io_executor executor, boost::asio::any_io_executor beside,
                       Reconciler& reconciler, IdAllocator& ids, std::string socket,
                       std::string client, ProgrammerHooks hooks)
    : reconciler_(reconciler),
      ids_(ids),
      socket_(std::move(socket)),
      client_(std::move(client)),
      hooks_(std::move(hooks)),
      link_(executor, std::move(beside)),
      wake_(executor),
      reconnect_(50ms, 400ms),
      retry_(200ms, 30s),
      pace_(executor) {}

void Programmer::stop() {
  stopping_ = true;
  link_.close();
  wake_.notify();
}

void Programmer::begin() {
  begun_ = true;
  wake();
}

void Programmer::wake() {
  dirty_ = true;
  retry_at_ = {};
  wake_.notify();
}

VipProgress Programmer::progress(const ServiceKey& service) const {
  static const DataplaneState nothing;
  return reconciler_.desired().progress(service, link_.up() ? link_.reported() : nothing);
}

Programmer::Changes Programmer::take_changes() {
  note_concluded();
  return std::exchange(changes_, {});
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
      if (dirty_) co_await preview();
      co_await wake_.wait(std::chrono::ceil<std::chrono::milliseconds>(left));
    }
  }
  link_.close();
}

awaitable<void> Programmer::connect() {
  IdAllocator fresh;
  const bool afresh = !ids_.in_use();
  const Status status = co_await link_.connect(socket_, client_, afresh ? &fresh : nullptr);
  tried_ = true;
  if (stopping_) co_return;
  if (!status) {
    failed_at_ = std::chrono::system_clock::now();
    if (error_ != status.error()) {
      error_ = status.error();
      changes_.all = true;
      hooks_.changed();
    }
    if (auto left_out = connect_log_.admit())
      spdlog::warn("dataplane unreachable error=\"{}\" left_out={}", error_, *left_out);
    connect_at_ = Clock::now() + reconnect_.next();
    co_return;
  }
  while (!begun_ && !stopping_) co_await wake_.wait(kPoll);
  if (stopping_) co_return;
  reconnect_.reset();
  retry_.reset();
  error_.clear();
  programmed_ = false;
  const v1::Capacity& capacity = link_.hello().capacity();
  IdAllocator::Limits limits;
  if (capacity.vip_ids() > 0) limits.vips = std::min(limits.vips, capacity.vip_ids());
  if (capacity.backends() > 0) limits.backends = std::min(limits.backends, capacity.backends());
  ids_.set_limits(limits);
  if (afresh && !ids_.in_use()) {
    ids_.adopt(std::move(fresh));
  } else {
    ids_.adopt(link_.reported());
  }
  for (const v1::UnsweptId& unswept : link_.unswept()) ids_.adopt_unswept(unswept);
  reconciler_.dataplane_changed();
  changes_.all = true;
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
    if (const auto next = paced_ + kPace; now < next) {
      boost::system::error_code ignored;
      pace_.expires_at(next);
      co_await pace_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
      if (stopping_) co_return;
    }
    paced_ = Clock::now();
    if (hooks_.maglev_seed() != 0) {
      co_await program();
    } else {
      co_await preview();
    }
  } else if (now - polled_ >= kPoll) {
    co_await poll();
  } else {
    co_await wake_.wait(kPoll);
  }
}

// Without a dataplane, or without the seed, the conditions still tell what would be served. Ids
// given meanwhile give way to those a dataplane reports.
awaitable<void> Programmer::preview() {
  dirty_ = false;  // A connection makes it true again, and so does whatever is missing.
  if (!hooks_.ready(link_.up() && !link_.reported().vips.empty())) co_return;
  co_await update(last_generation_ + 1);
  hooks_.changed();
}

// Much at once is done piece by piece, and other loops go on between.
awaitable<void> Programmer::update(std::uint64_t generation) {
  reconciler_.refresh();
  const Reconciler::Serving serving{&link_.reported(), link_.hello().capacity(), generation};
  while (!reconciler_.update(serving, &ids_)) {
    co_await boost::asio::post(boost::asio::use_awaitable);
    if (stopping_) co_return;
    reconciler_.refresh();
  }
  note_concluded();
}

// Asked for in the middle of an update too: what was worked out so far still awaits the dataplane.
void Programmer::note_concluded() {
  std::set<ServiceKey> concluded = reconciler_.take_concluded();
  awaiting_.insert(concluded.begin(), concluded.end());
  changes_.services.merge(concluded);
}

awaitable<void> Programmer::program() {
  dirty_ = false;
  programming_ = true;
  latency_.begin();
  const std::uint64_t generation = std::max(last_generation_, link_.generation()) + 1;
  co_await update(generation);
  if (stopping_) co_return;
  const auto done = co_await link_.program(reconciler_.desired(), generation, hooks_.maglev_seed());
  polled_ = Clock::now();
  programming_ = false;
  if (done) {
    note_success(*done, generation);
  } else if (link_.up()) {
    note_refusal(done.error());
  } else {
    lost(done.error());
  }
  hooks_.changed();
}

void Programmer::note_success(const DataplaneLink::Programmed& done, std::uint64_t generation) {
  if (!error_.empty()) changes_.all = true;
  error_.clear();
  retry_.reset();
  programmed_ = true;
  changes_.services.merge(awaiting_);
  awaiting_.clear();
  const auto sent = done.applied ? std::optional(done.sent) : std::nullopt;
  latency_.done(sent, Clock::now());
  if (!done.applied) return;
  last_generation_ = generation;
  ++counters_.generations;
  counters_.vips += done.vips;
  counters_.deletes += done.deletes;
  counters_.tables += done.tables_built;
  counters_.bytes += done.bytes;
  const auto left_out = programmed_log_.admit();
  if (!left_out) return;
  // Sums since the last line, which may stand for many generations.
  const DesiredState::Counters& worked = reconciler_.desired().counters();
  spdlog::info(
      "programmed generation={} upserts={} deletes={} reseeded={} build_us={} vips={} left_out={} "
      "since_last: generations={} planned={} services={} full={} vips_sent={} tables={} bytes={}",
      generation, done.upserts, done.deletes, done.reseeded, done.build_microseconds,
      link_.reported().vips.size(), *left_out, counters_.generations - logged_.generations,
      reconciler_.planned() - logged_planned_, worked.services - logged_desired_.services,
      worked.full - logged_desired_.full, counters_.vips - logged_.vips,
      counters_.tables - logged_.tables, counters_.bytes - logged_.bytes);
  logged_ = counters_;
  logged_planned_ = reconciler_.planned();
  logged_desired_ = worked;
}

void Programmer::note_refusal(const std::string& error) {
  error_ = error;
  failed_at_ = std::chrono::system_clock::now();
  latency_.failed();
  ++counters_.refusals;
  changes_.all = true;
  const auto wait = retry_.next();
  dirty_ = true;
  retry_at_ = Clock::now() + wait;
  if (auto left_out = refusal_log_.admit())
    spdlog::error("dataplane refused the change error=\"{}\" retry_ms={} left_out={}", error,
                  wait.count(), *left_out);
}

void Programmer::lost(const std::string& error) {
  error_ = error;
  failed_at_ = std::chrono::system_clock::now();
  latency_.failed();
  dirty_ = true;
  changes_.all = true;
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
