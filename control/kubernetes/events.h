// Events about Services (core/v1), for `kubectl describe` and `kubectl get events`.
// Purpose: the same Event about the same Service is counted up, not made again; a token bucket for
// each Service and one for all bound how many are written, and the queue is bounded: Events inform,
// they never hold anything up. Ownership: EventRecorder refers to the ApiCall, which must outlive
// run(). Thread: the executor's. Errors: logged and counted; an Event that cannot be written is
// dropped. Source: Kubernetes API reference, Event v1 core; client-go's tools/record.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "control/kubernetes/api_call.h"
#include "control/kubernetes/pace.h"
#include "control/kubernetes/status_decision.h"

namespace sluice::kube {

struct EventSubject {
  std::string ns, name, uid;  // Of the Service.
};

// Which Events to write: pure but for random names.
class EventLog {
 public:
  using Clock = PaceClock;
  struct Limits {
    std::size_t remembered = 4096;           // Events, and Services' buckets.
    std::chrono::seconds counted_for{3600};  // A later one is made anew.
    double service_burst = 10, service_per_second = 1.0 / 60;
    double burst = 100, per_second = 10;
  };

  explicit EventLog(std::string instance) : EventLog(std::move(instance), Limits{}) {}
  EventLog(std::string instance, Limits limits);

  // A request that creates or counts up; nullopt: too many.
  struct Write {
    Request request;
    std::string key;  // For forget().
    bool create = true;
  };
  std::optional<Write> admit(const EventSubject& subject, const Announcement& announcement,
                             Clock::time_point now, std::chrono::system_clock::time_point wall);
  // The API server has it no more: the next one is created.
  void forget(const std::string& key) { known_.erase(key); }

 private:
  struct Known {
    std::string name;
    std::uint64_t count = 0;
    Clock::time_point at;
  };
  bool within_limits(const std::string& uid, Clock::time_point now);

  std::string instance_;
  Limits limits_;
  std::map<std::string, Known> known_;          // By uid, reason and message.
  std::map<std::string, TokenBucket> buckets_;  // By uid.
  TokenBucket all_;
};

class EventRecorder {
 public:
  // `instance` names this process; `may_write` is asked before each request.
  EventRecorder(boost::asio::any_io_executor executor, const ApiCall& call, std::string instance,
                std::function<bool()> may_write);
  ~EventRecorder();

  void record(EventSubject subject, Announcement announcement);
  boost::asio::awaitable<void> run();  // Until stop().
  void stop();

  struct Counters {
    std::uint64_t written = 0, dropped = 0, failed = 0;
  };
  const Counters& counters() const { return counters_; }

 private:
  struct Waiting {
    EventSubject subject;
    Announcement announcement;
  };
  boost::asio::awaitable<void> write(Waiting waiting);

  struct Timer;
  const ApiCall& call_;
  std::function<bool()> may_write_;
  EventLog log_;
  std::deque<Waiting> queue_;
  std::unique_ptr<Timer> timer_;
  Counters counters_;
  bool stopping_ = false;
};

}  // namespace sluice::kube
