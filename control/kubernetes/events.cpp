#include "control/kubernetes/events.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstdio>
#include <random>
#include <utility>

#include "control/cli/age.h"
#include "control/daemon/signal.h"
#include "control/kubernetes/status_writer.h"

namespace sluice::kube {

namespace json = boost::json;
namespace asio = boost::asio;

namespace {

constexpr std::size_t kQueue = 1000;
constexpr std::size_t kMaxName = 200;  // Of the Service, in the Event's name of at most 253.

std::string path_of(const std::string& ns) {
  return "/api/v1/namespaces/" + query_escape(ns) + "/events";
}

std::string random_suffix() {
  std::random_device device;
  std::array<char, 17> text{};
  std::snprintf(text.data(), text.size(), "%08x%08x", device(), device());
  return text.data();
}

Request create(const EventSubject& subject, const Announcement& announcement,
               const std::string& name, const std::string& instance, const std::string& now) {
  json::object object, metadata, source, event;
  object["apiVersion"] = "v1";
  object["kind"] = "Service";
  object["namespace"] = subject.ns;
  object["name"] = subject.name;
  object["uid"] = subject.uid;
  metadata["name"] = name;
  metadata["namespace"] = subject.ns;
  source["component"] = kFieldManager;
  event["apiVersion"] = "v1";
  event["kind"] = "Event";
  event["metadata"] = std::move(metadata);
  event["involvedObject"] = std::move(object);
  event["type"] = announcement.warning ? "Warning" : "Normal";
  event["reason"] = announcement.reason;
  event["message"] = announcement.message;
  event["source"] = std::move(source);
  event["reportingComponent"] = kFieldManager;
  event["reportingInstance"] = instance;
  event["firstTimestamp"] = now;
  event["lastTimestamp"] = now;
  event["count"] = 1;
  Request request;
  request.method = "POST";
  request.target = path_of(subject.ns) + "?fieldManager=" + kFieldManager;
  request.content_type = "application/json";
  request.body = json::serialize(event);
  return request;
}

Request count_up(const EventSubject& subject, const std::string& name, std::uint64_t count,
                 const std::string& now) {
  json::object patch;
  patch["count"] = count;
  patch["lastTimestamp"] = now;
  Request request;
  request.method = "PATCH";
  request.target =
      path_of(subject.ns) + "/" + query_escape(name) + "?fieldManager=" + kFieldManager;
  request.content_type = "application/merge-patch+json";
  request.body = json::serialize(patch);
  request.repeatable = true;
  return request;
}

// The least recently used goes when there are too many.
template <typename Map, typename Older>
void bound(Map* map, std::size_t most, Older older) {
  if (map->size() <= most) return;
  map->erase(std::min_element(map->begin(), map->end(), older));
}

}  // namespace

EventLog::EventLog(std::string instance, Limits limits)
    : instance_(std::move(instance)), limits_(limits), all_(limits.burst, limits.per_second) {}

bool EventLog::within_limits(const std::string& uid, Clock::time_point now) {
  auto at = buckets_.find(uid);
  if (at == buckets_.end()) {
    // Forgetting them all lets each Service burst once more; the bucket of all still bounds that.
    if (buckets_.size() >= limits_.remembered) buckets_.clear();
    at =
        buckets_.emplace(uid, TokenBucket(limits_.service_burst, limits_.service_per_second)).first;
  }
  return at->second.take(now) && all_.take(now);
}

std::optional<EventLog::Write> EventLog::admit(const EventSubject& subject,
                                               const Announcement& announcement,
                                               Clock::time_point now,
                                               std::chrono::system_clock::time_point wall) {
  if (!within_limits(subject.uid, now)) return std::nullopt;
  Write write;
  write.key = subject.uid + "\n" + announcement.reason + "\n" + announcement.message;
  auto at = known_.find(write.key);
  if (at != known_.end() && now - at->second.at > limits_.counted_for) {
    known_.erase(at);
    at = known_.end();
  }
  const std::string time = rfc3339_text(wall);
  write.create = at == known_.end();
  if (write.create) {
    Known known;
    known.name = subject.name.substr(0, kMaxName) + "." + random_suffix();
    at = known_.emplace(write.key, std::move(known)).first;
    write.request = create(subject, announcement, at->second.name, instance_, time);
  } else {
    write.request = count_up(subject, at->second.name, at->second.count + 1, time);
  }
  ++at->second.count;
  at->second.at = now;
  bound(&known_, limits_.remembered,
        [](const auto& a, const auto& b) { return a.second.at < b.second.at; });
  return write;
}

struct EventRecorder::Timer {
  explicit Timer(asio::any_io_executor executor) : signal(std::move(executor)) {}
  Signal signal;
};

EventRecorder::EventRecorder(asio::any_io_executor executor, const ApiCall& call,
                             std::string instance, std::function<bool()> may_write)
    : call_(call),
      may_write_(std::move(may_write)),
      log_(std::move(instance)),
      timer_(std::make_unique<Timer>(std::move(executor))) {}

EventRecorder::~EventRecorder() = default;

void EventRecorder::record(EventSubject subject, Announcement announcement) {
  if (queue_.size() >= kQueue) {
    ++counters_.dropped;
    return;
  }
  queue_.push_back({std::move(subject), std::move(announcement)});
  timer_->signal.notify();
}

void EventRecorder::stop() {
  stopping_ = true;
  timer_->signal.notify();
}

asio::awaitable<void> EventRecorder::run() {
  while (!stopping_) {
    if (queue_.empty()) {
      co_await timer_->signal.wait(std::chrono::minutes(1));
      continue;
    }
    Waiting next = std::move(queue_.front());
    queue_.pop_front();
    co_await write(std::move(next));
  }
}

asio::awaitable<void> EventRecorder::write(Waiting waiting) {
  // Twice at most: an Event that expired at the server is made again.
  for (int i = 0; i < 2; ++i) {
    auto write = may_write_() ? log_.admit(waiting.subject, waiting.announcement, PaceClock::now(),
                                           std::chrono::system_clock::now())
                              : std::nullopt;
    if (!write) {
      ++counters_.dropped;
      co_return;
    }
    const Response response = co_await call_(std::move(write->request));
    if (response.ok()) {
      ++counters_.written;
      co_return;
    }
    log_.forget(write->key);
    if (response.status == 404 && !write->create) continue;
    ++counters_.failed;
    // A Service in a namespace that is going away: nobody will read it.
    spdlog::debug("event not written service={}/{} reason={} error=\"{}\"", waiting.subject.ns,
                  waiting.subject.name, waiting.announcement.reason, response.error);
    co_return;
  }
}

}  // namespace sluice::kube
