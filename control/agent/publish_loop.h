// PublishLoop: keeps Redis at what the cluster has, while this agent leads.
// Purpose: the whole set by a differ at start, on every connection, when Redis is not as it was
// left, when a term begins, and every `resync`; in between each change as it comes, many of one
// object once. Nothing is written before all kinds were listed, nor by one who does not lead.
// Ownership: refers to cache and leadership, which must outlive it. Thread: the executor's, one.
// Bounds: changes that wait are one per object, and beyond kMaxPending of them (Redis is slow or
// away) only the differ brings them. Errors: logged, counted, tried again with back-off.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/agent/cluster_cache.h"
#include "control/store/redis.h"

namespace sluice::agent {

// Who may write, and with which token.
class Leadership {
 public:
  virtual ~Leadership() = default;
  virtual bool leading() const = 0;
  virtual std::uint64_t token() const = 0;
  virtual void require_token_above(std::uint64_t token) = 0;
  virtual void step_down(std::chrono::milliseconds pause) = 0;
};

struct PublishOptions {
  using Ms = std::chrono::milliseconds;
  store::RedisOptions redis;
  std::string source;
  std::string writer;  // "program version".
  Ms resync{600'000};
  Ms check{1'000};  // Redis is looked at for what it lost.
  Ms first_wait{100};
  Ms longest_wait{5'000};
  Ms fenced_pause{30'000};  // Before leading again, after another has taken over.
};

struct PublishState {
  using Time = std::chrono::steady_clock::time_point;
  bool connected = false;              // Redis answers.
  bool published = false;              // In this term everything has been published at least once.
  std::string problem;                 // Why nothing is published now; empty: nothing is wrong.
  std::optional<Time> last_sync;       // Last differ run that ended well.
  std::int64_t last_sync_unix_ms = 0;  // The same, for people.
  std::size_t pending = 0;
  std::uint64_t syncs = 0, changes = 0, errors = 0, fenced = 0, refused_objects = 0;
};

class PublishLoop {
 public:
  static constexpr std::size_t kMaxPending = 100'000;
  // Called for each change published, with the time from its bytes to Redis' answer.
  using OnLatency = std::function<void(std::chrono::nanoseconds)>;

  PublishLoop(boost::asio::any_io_executor executor, const ClusterCache& cache,
              Leadership& leadership, PublishOptions options, OnLatency on_latency = {});
  ~PublishLoop();
  PublishLoop(const PublishLoop&) = delete;
  PublishLoop& operator=(const PublishLoop&) = delete;

  boost::asio::awaitable<void> run();  // Until stop().
  void stop();
  // An object may differ from what Redis has.
  void changed(const ObjectKey& key, std::chrono::steady_clock::time_point arrived);
  void wake();  // Lists or leadership are others now.
  void set_resync(std::chrono::milliseconds resync);
  PublishState state() const;

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::agent
