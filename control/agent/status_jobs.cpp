#include "control/agent/status_jobs.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <utility>

#include "control/daemon/signal.h"
#include "control/store/keys.h"

namespace sluice::agent {

namespace asio = boost::asio;
using asio::awaitable;
using kube::Outcome;
using kube::ServiceView;
using namespace std::chrono_literals;
using std::chrono::milliseconds;

namespace {

constexpr std::size_t kInFlight = 4;    // Services written at once.
constexpr std::size_t kMaxJobs = 512;   // Conditions alone, decided, waiting to be written.
constexpr auto kBehindMany = 5s;        // About as long as those take.
constexpr auto kWatchLag = 60s;         // Beyond it what the watch shows counts.
constexpr unsigned kConflictEvent = 2;  // Undone so often in a row: somebody means it.

// Versions are opaque, but those of one server are numbers that grow; where they are not, what the
// watch shows counts.
bool is_newer(const std::string& a, const std::string& b) {
  const auto x = store::keys::parse_number(a), y = store::keys::parse_number(b);
  return x && y && *x > *y;
}

// Of what is wanted, not of what it was decided on.
std::size_t hash_of(const kube::Request& request, const ServiceView& view) {
  std::string body = request.body;
  const std::string version = "\"resourceVersion\":\"" + view.resource_version + "\"";
  if (const auto at = body.find(version); at != std::string::npos) body.erase(at, version.size());
  return std::hash<std::string>()(body);
}

kube::Announcement conflict(const std::string& service) {
  return {true, "StatusConflict",
          "Somebody else keeps changing what sluice-agent writes into this Service's status; it is "
          "written again less and less often. kubectl get service " +
              service + " -o yaml --show-managed-fields tells who."};
}

}  // namespace

StatusJobs::StatusJobs(Parts parts, StatusJobTiming timing)
    : parts_(std::move(parts)), timing_(timing), writes_(timing.burst, timing.per_second) {}

ServiceView StatusJobs::newest(const Key& key, ServiceView watched) {
  const auto at = entries_.find(key);
  if (at == entries_.end() || !at->second.newer) return watched;
  Entry& entry = at->second;
  if (is_newer(entry.newer->resource_version, watched.resource_version) &&
      Clock::now() - entry.newer_at < kWatchLag)
    return *entry.newer;
  entry.newer.reset();
  return watched;
}

bool StatusJobs::busy(const Key& key) {
  const auto at = entries_.find(key);
  if (at == entries_.end() || !at->second.busy) return false;
  at->second.again = true;
  return true;
}

milliseconds StatusJobs::submit(StatusJob job) {
  const auto now = Clock::now();
  Entry& entry = entries_[job.key];
  milliseconds wait = entry.writes.wait(now);
  if (!job.change.ingress && jobs_.size() >= kMaxJobs) wait = kBehindMany;
  if (job.change.ingress) {
    const auto patch = kube::ingress_patch(job.view, *job.change.ingress);
    wait = std::max(wait, entry.ingress.wait(hash_of(patch, job.view), now));
  }
  if (job.change.conditions) {
    const auto patch = kube::conditions_apply(job.view, *job.change.conditions);
    wait = std::max(wait, entry.conditions.wait(hash_of(patch, job.view), now));
  }
  if (wait > 0ms) return wait;
  entry.writes.take(now);
  entry.busy = true;
  if (job.change.ingress)
    jobs_.push_front(std::move(job));
  else
    jobs_.push_back(std::move(job));
  start();
  return 0ms;
}

void StatusJobs::gone(const Key& key) {
  const auto at = entries_.find(key);
  if (at != entries_.end() && !at->second.busy) entries_.erase(at);
}

void StatusJobs::forget_views() {
  for (auto& [key, entry] : entries_) entry.newer.reset();
}

void StatusJobs::drop() {
  for (const StatusJob& job : jobs_) entries_[job.key].busy = false;
  jobs_.clear();
  std::erase_if(entries_, [](const auto& entry) { return !entry.second.busy; });
}

void StatusJobs::stop() {
  stopping_ = true;
  jobs_.clear();
}

void StatusJobs::start() {
  while (!jobs_.empty() && in_flight_ < kInFlight && !stopping_) {
    StatusJob job = std::move(jobs_.front());
    jobs_.pop_front();
    ++in_flight_;
    asio::co_spawn(parts_.executor, execute(std::move(job)), asio::detached);
  }
}

awaitable<void> StatusJobs::execute(StatusJob job) {
  const Key key = job.key;
  const bool done = co_await write(&job);
  if (done)
    for (kube::Announcement& event : job.change.events)
      parts_.events.record({key.first, key.second, job.view.uid}, std::move(event));
  Entry& entry = entries_[key];
  entry.busy = false;
  if (done) entry.failures = 0;
  if (std::exchange(entry.again, false)) parts_.look_again(key, Clock::now());
  --in_flight_;
  start();
  parts_.finished();
}

awaitable<bool> StatusJobs::write(StatusJob* job) {
  if (job->change.ingress) {
    kube::Request patch = kube::ingress_patch(job->view, *job->change.ingress);
    const bool done = co_await send(job, std::move(patch), &Entry::ingress);
    if (!done) co_return false;
    ++counters_.addresses_written;
  }
  if (job->change.conditions) {
    kube::Request patch = kube::conditions_apply(job->view, *job->change.conditions);
    const bool done = co_await send(job, std::move(patch), &Entry::conditions);
    if (!done) co_return false;
    ++counters_.conditions_written;
  }
  co_return true;
}

awaitable<void> StatusJobs::pace() {
  while (!stopping_ && !writes_.take(Clock::now())) {
    Signal timer(parts_.executor);
    co_await timer.sleep(writes_.wait(Clock::now()));
  }
}

// One request; what the server has afterwards is where the next one begins.
awaitable<bool> StatusJobs::send(StatusJob* job, kube::Request request,
                                 kube::Contest Entry::*contest) {
  const std::size_t content = hash_of(request, job->view);
  co_await pace();
  if (stopping_ || !parts_.leading()) co_return false;
  const kube::Response answer = co_await parts_.call(std::move(request));
  if (stopping_) co_return false;
  kube::Written written = kube::read_answer(answer, parts_.served);
  switch (written.outcome) {
    case Outcome::kDone:
      note_written(job, content, &(entries_[job->key].*contest), std::move(written.service));
      co_return true;
    case Outcome::kGone:  // The watch will say so.
      co_return false;
    case Outcome::kStale:
      ++counters_.stale;
      co_await read_again(job->key);
      co_return false;
    case Outcome::kRefused:
      ++counters_.refused;
      break;
    case Outcome::kDenied:
    case Outcome::kFailed:
      ++counters_.failed;
      break;
  }
  if (auto left_out = log_.admit())
    spdlog::warn("status not written service={}/{} error=\"{}\" left_out={}", job->key.first,
                 job->key.second, written.error, *left_out);
  try_later(job->key, written.retry_after);
  co_return false;
}

void StatusJobs::note_written(StatusJob* job, std::size_t content, kube::Contest* contest,
                              ServiceView view) {
  contest->written(content, Clock::now());
  if (contest->undone() > 0) ++counters_.contested;
  if (contest->undone() >= kConflictEvent)
    parts_.events.record({job->key.first, job->key.second, job->view.uid},
                         conflict(job->key.second));
  job->view = std::move(view);
  keep_newer(job->key, job->view);
}

// After a 409: what the API server has now is decided on, at once; from the second time on later.
awaitable<void> StatusJobs::read_again(const Key& key) {
  const kube::Response answer = co_await parts_.call(kube::service_get(key.first, key.second));
  kube::Written read = kube::read_answer(answer, parts_.served);
  if (stopping_ || read.outcome == Outcome::kGone) co_return;
  if (read.outcome == Outcome::kDone && entries_[key].failures == 0) {
    ++entries_[key].failures;
    parts_.look_again(key, Clock::now());
  } else {
    try_later(key, read.retry_after);
  }
  if (read.outcome == Outcome::kDone) keep_newer(key, std::move(read.service));
}

void StatusJobs::keep_newer(const Key& key, ServiceView view) {
  Entry& entry = entries_[key];
  entry.newer = std::move(view);
  entry.newer_at = Clock::now();
}

void StatusJobs::try_later(const Key& key, milliseconds at_least) {
  Entry& entry = entries_[key];
  const unsigned doublings = std::min(entry.failures++, 16u);
  const milliseconds step = std::min(timing_.longest, timing_.retry * (1L << doublings));
  parts_.look_again(key, Clock::now() + std::max(step, at_least));
}

}  // namespace sluice::agent
