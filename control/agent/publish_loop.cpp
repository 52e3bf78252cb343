#include "control/agent/publish_loop.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <deque>
#include <unordered_map>
#include <utility>

#include "config/logging.h"
#include "control/agent/source_writer.h"
#include "control/daemon/backoff.h"
#include "control/daemon/signal.h"

namespace sluice::agent {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Ms = std::chrono::milliseconds;

namespace {

constexpr std::size_t kBatch = 256;  // Changes of one round trip; while it runs, others coalesce.

std::int64_t unix_ms() {
  using std::chrono::duration_cast;
  return duration_cast<Ms>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

class PublishLoop::Impl {
 public:
  Impl(asio::any_io_executor executor, const ClusterCache& cache, Leadership& leadership,
       PublishOptions options, OnLatency on_latency)
      : cache_(cache),
        leadership_(leadership),
        options_(std::move(options)),
        on_latency_(std::move(on_latency)),
        redis_(executor, options_.redis),
        wake_(executor),
        backoff_(options_.first_wait, options_.longest_wait) {}

  asio::awaitable<void> run();
  void stop() {
    stopping_ = true;
    redis_.close();
    wake_.notify();
  }
  void changed(const ObjectKey& key, Clock::time_point arrived);
  void wake() { wake_.notify(); }

  PublishOptions& options() { return options_; }
  PublishState state() const {
    PublishState now = state_;
    now.connected = redis_.connected();
    now.pending = pending_.size();
    return now;
  }

 private:
  asio::awaitable<bool> step();
  asio::awaitable<bool> look();
  asio::awaitable<bool> connect();
  asio::awaitable<bool> begin_term();
  asio::awaitable<bool> publish_all();
  asio::awaitable<bool> publish_changes();
  bool fail(const std::string& what, const std::string& error);
  void forget_changes();
  Ms until_due() const;

  const ClusterCache& cache_;
  Leadership& leadership_;
  PublishOptions options_;
  const OnLatency on_latency_;
  store::Redis redis_;
  Signal wake_;
  Backoff backoff_;
  PublishState state_;
  bool stopping_ = false;
  bool all_due_ = true;                 // Redis may differ in anything.
  std::string why_ = "start";           // And why, for the log.
  std::optional<SourceWriter> writer_;  // Of this term.
  bool claimed_ = false;
  // Changes since the differ began, one of each object, the earliest first.
  std::unordered_map<ObjectKey, Clock::time_point> pending_;
  std::deque<ObjectKey> order_;
  Clock::time_point next_check_{}, next_all_{};
  LogLimiter log_;
};

void PublishLoop::Impl::changed(const ObjectKey& key, Clock::time_point arrived) {
  if (all_due_) return;  // The differ will see it.
  if (pending_.size() >= kMaxPending) {
    all_due_ = true;
    why_ = "too many changes wait";
    forget_changes();
    return;
  }
  if (pending_.emplace(key, arrived).second) order_.push_back(key);
  wake_.notify();
}

void PublishLoop::Impl::forget_changes() {
  pending_.clear();
  order_.clear();
}

// Always false: the caller gives up for now. What was being written may or may not be in Redis.
bool PublishLoop::Impl::fail(const std::string& what, const std::string& error) {
  ++state_.errors;
  state_.problem = what + ": " + error;
  all_due_ = true;
  why_ = "after a failure";
  forget_changes();
  if (fenced(error)) {
    ++state_.fenced;
    spdlog::error(
        "leading ends: another agent publishes this cluster reason=\"{}\" pause_s={} hint=\"all "
        "agents of a cluster must use the same Lease\"",
        error, options_.fenced_pause.count() / 1000);
    leadership_.step_down(options_.fenced_pause);
    return false;
  }
  if (const auto left_out = log_.admit())
    spdlog::error("{} error=\"{}\" left_out={}", what, error, *left_out);
  return false;
}

Ms PublishLoop::Impl::until_due() const {
  if (!writer_) return options_.check;
  const auto due = std::min(next_check_, next_all_) - Clock::now();
  return std::clamp(std::chrono::duration_cast<Ms>(due) + Ms(1), Ms(1), options_.check);
}

asio::awaitable<void> PublishLoop::Impl::run() {
  while (!stopping_) {
    const bool may = leadership_.leading() && cache_.synced();
    if (!leadership_.leading() && writer_) {
      spdlog::info("publishing ends: this agent does not lead any more");
      writer_.reset();
      state_.published = false;
      forget_changes();
    }
    bool done = false;
    if (may) {
      done = co_await step();
    } else {
      done = co_await look();
    }
    if (stopping_) break;
    if (!done) {
      co_await wake_.sleep(backoff_.next());
    } else {
      backoff_.reset();
      if (!may) state_.problem.clear();
      if (!may || (!all_due_ && pending_.empty())) co_await wake_.wait(until_due());
    }
  }
}

// One who does not lead keeps a connection, so as to know whether Redis answers.
asio::awaitable<bool> PublishLoop::Impl::look() {
  if (redis_.connected()) {
    store::RedisCommand ping;
    ping.push_back("PING");
    const auto pong = co_await redis_.command(std::move(ping));
    if (pong) co_return true;
    co_return fail("redis does not answer", pong.error());
  }
  co_return co_await connect();
}

asio::awaitable<bool> PublishLoop::Impl::connect() {
  all_due_ = true;
  why_ = "connected anew";
  forget_changes();
  const Status connected = co_await redis_.connect();
  if (connected) spdlog::info("redis answers address=\"{}\"", store::target_text(options_.redis));
  co_return connected ? true : fail("redis does not answer", connected.error());
}

asio::awaitable<bool> PublishLoop::Impl::step() {
  if (!redis_.connected()) {
    const bool connected = co_await connect();
    if (!connected) co_return false;
  }
  if (!writer_ || writer_->token() != leadership_.token()) {
    writer_.emplace(redis_, cache_, options_.source, leadership_.token(), options_.writer);
    claimed_ = false;
    all_due_ = true;
    why_ = "a term begins";
    forget_changes();
  }
  if (!claimed_) {
    const bool begun = co_await begin_term();
    if (!begun) co_return false;
  }
  if (!leadership_.leading()) co_return true;
  const auto now = Clock::now();
  if (!all_due_ && now >= next_all_) {
    all_due_ = true;
    why_ = "periodic";
  }
  if (all_due_) co_return co_await publish_all();
  if (!pending_.empty()) co_return co_await publish_changes();
  if (now < next_check_) co_return true;
  auto found = co_await writer_->check();
  if (!found) co_return fail("redis cannot be checked", found.error());
  next_check_ = Clock::now() + options_.check;
  if (!found->empty()) {
    all_due_ = true;
    why_ = *found;
    forget_changes();
  }
  co_return true;
}

// The first of a term: from here on, whoever led before is refused, even if there is nothing to
// write now.
asio::awaitable<bool> PublishLoop::Impl::begin_term() {
  auto in_the_way = co_await writer_->claim();
  if (!in_the_way) co_return fail("the term cannot begin", in_the_way.error());
  if (*in_the_way != 0) {
    spdlog::warn("token in use token={} used={} raising the Lease's transitions", writer_->token(),
                 *in_the_way);
    leadership_.require_token_above(*in_the_way);
    co_return false;
  }
  claimed_ = true;
  spdlog::info("publishing begins source={} token={}", options_.source, writer_->token());
  co_return true;
}

asio::awaitable<bool> PublishLoop::Impl::publish_all() {
  forget_changes();
  all_due_ = false;  // What changes from now on is pending.
  const std::string why = std::exchange(why_, "");
  const auto began = Clock::now();
  auto report = co_await writer_->publish_all();
  if (!report) co_return fail("the cluster cannot be published", report.error());
  const auto now = Clock::now();
  next_check_ = now + options_.check;
  next_all_ = now + options_.resync;
  ++state_.syncs;
  state_.refused_objects = report->refused.size();
  for (const std::string& refused : report->refused) {
    if (const auto left_out = log_.admit())
      spdlog::error("object not published reason=\"{}\" left_out={}", refused, *left_out);
  }
  state_.changes += report->created + report->configured + report->deleted;
  state_.published = true;
  state_.problem.clear();
  state_.last_sync = now;
  state_.last_sync_unix_ms = unix_ms();
  spdlog::info(
      "published all reason=\"{}\" created={} configured={} deleted={} unchanged={} marker={} "
      "ms={}",
      why, report->created, report->configured, report->deleted, report->unchanged,
      report->renewed          ? "renewed"
      : report->marker_written ? "raised"
                               : "stands",
      std::chrono::duration_cast<Ms>(now - began).count());
  co_return true;
}

asio::awaitable<bool> PublishLoop::Impl::publish_changes() {
  std::vector<PendingChange> changes;
  while (!order_.empty() && changes.size() < kBatch) {
    const auto found = pending_.find(order_.front());
    changes.push_back({found->first, found->second});
    pending_.erase(found);
    order_.pop_front();
  }
  auto count = co_await writer_->publish(changes);
  if (!count) co_return fail("changes cannot be published", count.error());
  state_.changes += *count;
  state_.problem.clear();
  const auto now = Clock::now();
  if (on_latency_) {
    for (const PendingChange& change : changes) on_latency_(now - change.arrived);
  }
  co_return true;
}

PublishLoop::PublishLoop(asio::any_io_executor executor, const ClusterCache& cache,
                         Leadership& leadership, PublishOptions options, OnLatency on_latency)
    : impl_(std::make_shared<Impl>(std::move(executor), cache, leadership, std::move(options),
                                   std::move(on_latency))) {}

PublishLoop::~PublishLoop() = default;

asio::awaitable<void> PublishLoop::run() {
  const std::shared_ptr<Impl> impl = impl_;
  co_await impl->run();
}

void PublishLoop::stop() {
  impl_->stop();
}

void PublishLoop::changed(const ObjectKey& key, Clock::time_point arrived) {
  impl_->changed(key, arrived);
}

void PublishLoop::wake() {
  impl_->wake();
}

void PublishLoop::set_resync(Ms resync) {
  impl_->options().resync = resync;
  impl_->wake();
}

PublishState PublishLoop::state() const {
  return impl_->state();
}

}  // namespace sluice::agent
