// SourceWriter: what a term of leading writes to Redis: the whole cluster at once, and changes.
// Purpose: joins ClusterCache and store::Publisher. Ownership: refers to connection and cache,
// which must outlive it. Thread: the connection's, one call at a time. Errors: as of
// store::Publisher; fenced() tells that of a publisher with a larger token.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "control/agent/cluster_cache.h"
#include "control/store/publisher.h"
#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::agent {

// A change to publish. What the object is now, the cache knows.
struct PendingChange {
  ObjectKey key;
  std::chrono::steady_clock::time_point arrived;
};

class SourceWriter {
 public:
  SourceWriter(store::Redis& redis, const ClusterCache& cache, std::string source,
               std::uint64_t token, std::string writer);

  std::uint64_t token() const { return token_; }
  // Begins the term. 0: it has begun; else the token that is in the way.
  boost::asio::awaitable<Result<std::uint64_t>> claim();
  // All that Redis has becomes what the cache has; what cannot be used stays as Redis has it.
  boost::asio::awaitable<Result<store::PublishReport>> publish_all();
  // Objects the cache has are written, others deleted. Number of changes made.
  boost::asio::awaitable<Result<std::size_t>> publish(const std::vector<PendingChange>& changes);
  // Empty: Redis is as this writer left it; else why not, and publish_all() is due.
  boost::asio::awaitable<Result<std::string>> check();

 private:
  boost::asio::awaitable<Status> keep_unusable(store::PutList* objects);

  store::Redis& redis_;
  const ClusterCache& cache_;
  const std::string source_;
  const std::uint64_t token_;
  store::Publisher publisher_;
};

// Whether an error says that another publisher has taken over.
bool fenced(const std::string& error);

}  // namespace sluice::agent
