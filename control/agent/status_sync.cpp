#include "control/agent/status_sync.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <iterator>
#include <map>
#include <optional>
#include <utility>

#include "config/logging.h"
#include "control/agent/status_queue.h"
#include "control/cli/age.h"
#include "control/daemon/signal.h"
#include "control/store/keys.h"
#include "control/store/status_feed.h"

namespace sluice::agent {

namespace asio = boost::asio;
using asio::awaitable;
using kube::ServiceView;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Key = StatusQueue::Key;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kBatch = 128;  // Services decided on at once.

kube::Pending no_gateway() {
  return {"NoGateway",
          "No gateway has looked at this Service yet. Check that sluice-control runs and uses the "
          "same Redis as sluice-agent: sluice get gateways."};
}

kube::Pending no_redis(const std::string& error) {
  return {"RedisUnreachable", "sluice-agent cannot reach the gateways: " + error};
}

}  // namespace

class StatusSync::Impl : public store::StatusObserver {
 public:
  Impl(StatusSyncParts parts, StatusSyncTiming timing)
      : parts_(std::move(parts)),
        timing_(timing),
        redis_(parts_.executor, parts_.redis),
        feed_(parts_.executor, parts_.redis, parts_.source, *this),
        events_(parts_.executor, parts_.call, parts_.identity, parts_.leading),
        wake_(parts_.executor),
        ended_(parts_.executor),
        jobs_(job_parts(), timing.jobs) {
    served_.classes = parts_.load_balancer_classes;
  }

  awaitable<void> run();
  void stop();
  void on_leading(bool leading);
  void look_at(const Key& key, Clock::time_point at = Clock::now());
  void look_at_all();
  void set_classes(std::vector<std::string> classes);
  void on_status_changed(const store::StatusKey& key) override { look_at({key.ns, key.name}); }
  void on_any_status_changed() override { look_at_all(); }
  WriteBackState state() const;

 private:
  using Statuses = std::map<store::StatusKey, v1::ServiceStatus>;

  StatusJobs::Parts job_parts();
  awaitable<void> child(awaitable<void> work);
  awaitable<void> wait_for_work();
  awaitable<void> handle(std::vector<Key> keys);
  awaitable<Status> decide_on(std::vector<Key> keys);
  awaitable<Result<Statuses>> read_statuses(const std::vector<Key>& keys);
  Status note_redis(const Result<Statuses>& statuses);
  std::optional<ServiceView> view_of(const Key& key);
  void decide(const Key& key, const ServiceView& view, const v1::ServiceStatus* status,
              const kube::LedgerRecords& records);
  std::optional<kube::Pending> pending(const Key& key);

  StatusSyncParts parts_;
  StatusSyncTiming timing_;
  kube::ServedClasses served_;
  store::Redis redis_;
  store::StatusFeed feed_;
  kube::EventRecorder events_;
  Signal wake_, ended_;
  StatusQueue queue_;
  StatusJobs jobs_;
  std::map<Key, Clock::time_point> missing_since_;  // Services of ours without a status.
  std::optional<Clock::time_point> redis_down_since_;
  std::string redis_error_;
  LogLimiter redis_log_{1};
  std::size_t children_ = 0;
  bool stopping_ = false;
};

StatusJobs::Parts StatusSync::Impl::job_parts() {
  return {parts_.executor,
          parts_.call,
          served_,
          events_,
          parts_.leading,
          [this](const Key& key, Clock::time_point at) { look_at(key, at); },
          [this] {
            wake_.notify();
            ended_.notify();
          }};
}

awaitable<void> StatusSync::Impl::child(awaitable<void> work) {
  co_await std::move(work);
  --children_;
  ended_.notify();
}

awaitable<void> StatusSync::Impl::run() {
  children_ += 2;
  asio::co_spawn(parts_.executor, child(feed_.run()), asio::detached);
  asio::co_spawn(parts_.executor, child(events_.run()), asio::detached);
  while (!stopping_) {
    std::vector<Key> due;
    if (parts_.leading()) due = queue_.take(Clock::now(), kBatch);
    if (due.empty()) {
      co_await wait_for_work();
    } else {
      co_await handle(std::move(due));
    }
  }
  while (children_ > 0 || !jobs_.idle()) co_await ended_.wait(1s);
  redis_.close();
}

awaitable<void> StatusSync::Impl::wait_for_work() {
  milliseconds wait = 1000ms;
  if (const auto next = queue_.next(); next && parts_.leading())
    wait = std::clamp(std::chrono::ceil<milliseconds>(*next - Clock::now()), 1ms, wait);
  co_await wake_.wait(wait);
}

awaitable<void> StatusSync::Impl::handle(std::vector<Key> keys) {
  const Status decided = co_await decide_on(keys);
  if (decided || stopping_) co_return;
  if (auto left_out = redis_log_.admit())
    spdlog::warn("statuses of gateways cannot be read source={} error=\"{}\" left_out={}",
                 parts_.source, decided.error(), *left_out);
  for (const Key& key : keys) look_at(key);
  co_await wake_.sleep(timing_.redis_retry);
}

void StatusSync::Impl::stop() {
  stopping_ = true;
  feed_.stop();
  events_.stop();
  jobs_.stop();
  redis_.close();
  wake_.notify();
}

// Another may have written since: what the watch shows is where it begins.
void StatusSync::Impl::on_leading(bool leading) {
  jobs_.drop();
  queue_.clear();
  missing_since_.clear();
  if (leading) look_at_all();
}

void StatusSync::Impl::look_at(const Key& key, Clock::time_point at) {
  if (!parts_.leading()) return;
  queue_.add(key, at);
  wake_.notify();
}

void StatusSync::Impl::look_at_all() {
  if (!parts_.leading()) return;
  const auto now = Clock::now();
  for (ServiceName& name : parts_.services->service_names())
    queue_.add({std::move(name.ns), std::move(name.name)}, now);
  wake_.notify();
}

void StatusSync::Impl::set_classes(std::vector<std::string> classes) {
  served_.classes = std::move(classes);
  jobs_.forget_views();
  look_at_all();
}

awaitable<Result<StatusSync::Impl::Statuses>> StatusSync::Impl::read_statuses(
    const std::vector<Key>& keys) {
  if (!redis_.connected()) {
    const Status connected = co_await redis_.connect();
    if (!connected) co_return Error{connected.error()};
  }
  std::vector<store::StatusKey> names;
  for (const Key& key : keys) names.push_back({parts_.source, key.first, key.second});
  co_return co_await store::read_statuses(redis_, std::string(store::keys::kMergedStatus),
                                          std::move(names));
}

// An Error while Redis has not been away for long: nothing is to be said of it yet.
Status StatusSync::Impl::note_redis(const Result<Statuses>& statuses) {
  if (statuses) {
    redis_down_since_.reset();
    return Ok{};
  }
  if (!redis_down_since_) redis_down_since_ = Clock::now();
  redis_error_ = statuses.error();
  if (Clock::now() - *redis_down_since_ < timing_.pending) return Error{redis_error_};
  return Ok{};
}

awaitable<Status> StatusSync::Impl::decide_on(std::vector<Key> keys) {
  const Result<Statuses> statuses = co_await read_statuses(keys);
  if (stopping_) co_return Ok{};
  if (Status s = note_redis(statuses); !s) co_return s;
  const auto status_of = [&](const Key& key) -> const v1::ServiceStatus* {
    if (!statuses) return nullptr;
    const auto at = statuses->find({parts_.source, key.first, key.second});
    return at == statuses->end() ? nullptr : &at->second;
  };

  std::vector<std::pair<Key, ServiceView>> views;
  std::vector<IpAddress> asked;
  for (const Key& key : keys) {
    auto view = view_of(key);
    if (!view) continue;
    std::ranges::move(kube::unexplained(*view, status_of(key)), std::back_inserter(asked));
    views.emplace_back(key, std::move(*view));
  }
  kube::LedgerRecords records;
  if (!asked.empty()) {
    auto read = co_await store::read_addresses(redis_, std::move(asked));
    if (!read) co_return Error{read.error()};
    records = std::move(*read);
  }
  for (const auto& [key, view] : views) decide(key, view, status_of(key), records);
  if (!statuses) co_return Error{redis_error_};
  co_return Ok{};
}

// The Service as last seen; nullopt if it is not there.
std::optional<ServiceView> StatusSync::Impl::view_of(const Key& key) {
  const auto seen = parts_.services->find_service(key.first, key.second);
  if (!seen) {
    jobs_.gone(key);
    missing_since_.erase(key);
    return std::nullopt;
  }
  ServiceView view = kube::see(seen->service, served_);
  view.resource_version = seen->resource_version;
  return jobs_.newest(key, std::move(view));
}

std::optional<kube::Pending> StatusSync::Impl::pending(const Key& key) {
  if (redis_down_since_) return no_redis(redis_error_);
  const auto now = Clock::now();
  const auto told_at = missing_since_.try_emplace(key, now).first->second + timing_.pending;
  if (now >= told_at) return no_gateway();
  queue_.add(key, told_at);
  return std::nullopt;
}

void StatusSync::Impl::decide(const Key& key, const ServiceView& view,
                              const v1::ServiceStatus* status, const kube::LedgerRecords& records) {
  if (jobs_.busy(key)) return;
  kube::DecisionInputs inputs;
  inputs.service = &view;
  inputs.status = status;
  inputs.records = &records;
  inputs.source = parts_.source;
  inputs.now = rfc3339_text(std::chrono::system_clock::now());
  if (status && status->uid() == view.uid) {
    missing_since_.erase(key);
  } else if (view.served) {
    inputs.pending = pending(key);
  }
  StatusJob job{key, view, kube::decide(inputs)};
  if (!job.change.ingress && !job.change.conditions) return;
  const milliseconds wait = jobs_.submit(std::move(job));
  if (wait > 0ms) queue_.add(key, Clock::now() + wait);
}

WriteBackState StatusSync::Impl::state() const {
  const StatusJobs::Counters& jobs = jobs_.counters();
  const kube::EventRecorder::Counters& events = events_.counters();
  WriteBackState state;
  state.addresses_written = jobs.addresses_written;
  state.conditions_written = jobs.conditions_written;
  state.conflicts = jobs.stale;
  state.refused = jobs.refused;
  state.failed = jobs.failed;
  state.contested = jobs.contested;
  state.waiting = queue_.size() + jobs_.waiting();
  state.events_written = events.written;
  state.events_dropped = events.dropped;
  state.events_failed = events.failed;
  return state;
}

StatusSync::StatusSync(StatusSyncParts parts, StatusSyncTiming timing)
    : impl_(std::make_unique<Impl>(std::move(parts), timing)) {}
StatusSync::~StatusSync() = default;

awaitable<void> StatusSync::run() {
  return impl_->run();
}
void StatusSync::stop() {
  impl_->stop();
}
void StatusSync::on_leading(bool leading) {
  impl_->on_leading(leading);
}
void StatusSync::on_service(const ServiceName& name) {
  impl_->look_at({name.ns, name.name});
}
void StatusSync::on_services_synced() {
  impl_->look_at_all();
}
void StatusSync::set_load_balancer_classes(std::vector<std::string> classes) {
  impl_->set_classes(std::move(classes));
}
WriteBackState StatusSync::state() const {
  return impl_->state();
}

std::unique_ptr<WriteBack> make_status_sync(WriteBack::Parts parts) {
  StatusSyncParts own;
  own.executor = std::move(parts.executor);
  own.call = [&api = parts.api](kube::Request request) { return api.request(std::move(request)); };
  own.redis = std::move(parts.redis);
  own.services = &parts.services;
  own.source = std::move(parts.source);
  own.identity = std::move(parts.identity);
  own.load_balancer_classes = std::move(parts.load_balancer_classes);
  own.leading = std::move(parts.leading);
  return std::make_unique<StatusSync>(std::move(own));
}

}  // namespace sluice::agent
