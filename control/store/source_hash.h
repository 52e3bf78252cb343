// SourceHash: the hash sluice:1:source:SOURCE, read: where a source's sequence stands and what its
// marker promises.
// Ownership: by value. Thread: the connection's. Errors: a hash of another type, or fields that do
// not parse, are a problem of that source alone.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/store/redis.h"
#include "proto/result.h"
#include "store.pb.h"

namespace sluice::store {

struct SourceHash {
  std::string incarnation;  // Empty: Redis has nothing of this source.
  std::uint64_t sequence = 0;
  std::string entry;  // Stream id of the last change.
  std::uint64_t token = 0;
  std::map<v1::Kind, std::uint64_t> counts;  // Kinds that were never written are not in it.
  std::optional<v1::SourceMarker> marker;
  std::string marker_bytes;
  std::string problem;  // Not empty: why the rest cannot be trusted.

  std::uint64_t count(v1::Kind kind) const;
  bool complete(v1::Kind kind) const;  // The marker says so.
};

RedisCommand source_hash_command(const std::string& source);
SourceHash parse_source_hash(const std::string& source, const RedisValue& reply);
boost::asio::awaitable<Result<SourceHash>> read_source_hash(Redis& redis, std::string source);

// Every kind there is, without KIND_UNSPECIFIED.
const std::vector<v1::Kind>& all_kinds();

}  // namespace sluice::store
