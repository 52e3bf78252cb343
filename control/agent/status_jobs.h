// StatusJobs: carries out what was decided about Services' statuses, a few at a time.
// Purpose: one Service is written by one job at a time; requests that write have a rate, a Service
// has one of its own, and what somebody keeps undoing waits longer and longer. What the API server
// answers is the newest view of the Service until the watch has caught up.
// Ownership: refers to its parts, which outlive it; keep it alive until idle(). Thread: the
// executor's. Errors: logged, counted, and the Service is looked at again later.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>

#include "config/logging.h"
#include "control/agent/status_queue.h"
#include "control/kubernetes/api_call.h"
#include "control/kubernetes/events.h"
#include "control/kubernetes/pace.h"
#include "control/kubernetes/status_decision.h"
#include "control/kubernetes/status_writer.h"

namespace sluice::agent {

struct StatusJob {
  StatusQueue::Key key;
  kube::ServiceView view;
  kube::StatusChange change;
};

struct StatusJobTiming {
  std::chrono::milliseconds retry{1'000};  // After a failed request; doubles to `longest`.
  std::chrono::milliseconds longest{300'000};
  double burst = 400, per_second = 100;  // Requests that write.
};

class StatusJobs {
 public:
  using Key = StatusQueue::Key;
  using Clock = std::chrono::steady_clock;
  struct Parts {
    boost::asio::any_io_executor executor;
    const kube::ApiCall& call;
    const kube::ServedClasses& served;
    kube::EventRecorder& events;
    std::function<bool()> leading;  // Asked before every request.
    std::function<void(const Key&, Clock::time_point)> look_again;
    std::function<void()> finished;  // A job ended.
  };
  struct Counters {
    std::uint64_t addresses_written = 0, conditions_written = 0;
    std::uint64_t stale = 0, refused = 0, failed = 0;  // Answers.
    std::uint64_t contested = 0;                       // Writes of what somebody had undone.
  };

  StatusJobs(Parts parts, StatusJobTiming timing);

  // The view to decide on: what the watch shows, or a newer answer.
  kube::ServiceView newest(const Key& key, kube::ServiceView watched);
  // Whether it is being written: then it will be looked at again afterwards.
  bool busy(const Key& key);
  // 0: taken. Else how long this write has to wait; it was not taken.
  // Addresses go before conditions alone, which wait while very many are to be written.
  std::chrono::milliseconds submit(StatusJob job);

  void gone(const Key& key);  // The Service.
  void forget_views();        // Other classes are served.
  void drop();                // What has not begun; and all that is remembered.
  void stop();                // No further request.
  bool idle() const { return in_flight_ == 0; }
  std::size_t waiting() const { return jobs_.size() + in_flight_; }
  const Counters& counters() const { return counters_; }

 private:
  struct Entry {
    std::optional<kube::ServiceView> newer;  // Than the watch: an answer of the API server,
    Clock::time_point newer_at{};            // which the watch should show soon.
    kube::Contest ingress, conditions;
    kube::TokenBucket writes{10, 1};
    unsigned failures = 0;
    bool busy = false, again = false;
  };

  void start();
  boost::asio::awaitable<void> execute(StatusJob job);
  boost::asio::awaitable<bool> write(StatusJob* job);
  boost::asio::awaitable<bool> send(StatusJob* job, kube::Request request,
                                    kube::Contest Entry::*contest);
  boost::asio::awaitable<void> read_again(const Key& key);
  boost::asio::awaitable<void> pace();
  void note_written(StatusJob* job, std::size_t content, kube::Contest* contest,
                    kube::ServiceView view);
  void keep_newer(const Key& key, kube::ServiceView view);
  void try_later(const Key& key, std::chrono::milliseconds at_least);

  Parts parts_;
  StatusJobTiming timing_;
  kube::TokenBucket writes_;
  std::map<Key, Entry> entries_;
  std::deque<StatusJob> jobs_;
  std::size_t in_flight_ = 0;
  bool stopping_ = false;
  LogLimiter log_{1};
  Counters counters_;
};

}  // namespace sluice::agent
