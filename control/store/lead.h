// Lead: which control leads: allocates addresses, merges status, re-seeds manual.
// Purpose: a lease in Redis, renewed while held. Every write of a leader goes through a script that
// compares the lease's holder, so that one who only believes to lead is refused.
// Ownership: refers to the Redis, which must outlive it. Thread: the connection's.
// Errors: without Redis nobody leads: leading() turns false when the lease would have ended.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <string>

#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

// Who leads, as scripts compare it.
struct Leader {
  std::string name;         // The gateway's.
  std::string instance;     // Random, made at the process' start.
  std::uint64_t token = 0;  // Larger than every token given before.
};

class Lead {
 public:
  Lead(Redis& redis, std::string gateway, std::chrono::milliseconds ttl = std::chrono::seconds(6));

  // Takes the lease if it is free, renews it if it is ours. Call about every ttl / 3.
  // True: leading. False: somebody else does (holder() says who).
  boost::asio::awaitable<Result<bool>> hold();
  // Gives the lease back, so that another need not wait for its end.
  boost::asio::awaitable<Status> resign();

  bool leading() const;  // By the local clock: ends with the lease, whether or not Redis answers.
  const Leader& leader() const { return leader_; }  // Of use while leading().
  const std::string& holder() const { return holder_; }

 private:
  Redis& redis_;
  std::chrono::milliseconds ttl_;
  Leader leader_;
  std::string holder_;
  std::chrono::steady_clock::time_point until_{};
};

}  // namespace sluice::store
