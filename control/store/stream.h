// stream: entries of sluice:1:stream, which say what changed but carry no values.
// Ownership: by value. Thread: the connection's. Errors: an entry that does not parse has an empty
// source: somebody else's, to be skipped.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/key.h"
#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

inline constexpr std::size_t kStreamBatch = 512;
inline constexpr const char* kStreamStart = "0-0";

// What a writer says of when a change happened: of each object's oldest change in the entry.
struct ChangeTimes {
  using Time = std::chrono::sys_time<std::chrono::microseconds>;  // By the writer's clock.
  Time arrived;  // The event's bytes, at the writer.
  Time sent;     // To Redis.
};

struct StreamEntry {
  enum class Op { kPut, kDelete, kMarker, kRenew, kOther };
  std::string id;      // "MS-N", Redis' own.
  std::string source;  // keys::kLedgerSource: a change of the ledger.
  Op op = Op::kOther;
  std::optional<ObjectKey> key;  // Of a put or delete.
  std::uint64_t sequence = 0;    // Dense per source and incarnation.
  std::string incarnation;
  std::optional<ChangeTimes> times;  // Not of what no event brought, nor of older writers.
};

// The reply of XRANGE, or one stream's part of XREAD's.
std::vector<StreamEntry> parse_entries(const RedisValue& reply);
// XRANGE from just after `after`, at most kStreamBatch.
RedisCommand range_command(const std::string& after, const std::string& to);
// Entries after `after` up to `to`, at most `limit`.
boost::asio::awaitable<Result<std::vector<StreamEntry>>> read_range(Redis& redis, std::string after,
                                                                    std::string to,
                                                                    std::size_t limit);
// New entries after `after`; waits up to `wait` for the first; at most kStreamBatch.
boost::asio::awaitable<Result<std::vector<StreamEntry>>> read_new(Redis& redis, std::string after,
                                                                  std::chrono::milliseconds wait);
// Id of the last entry; kStreamStart for an empty stream.
boost::asio::awaitable<Result<std::string>> last_entry(Redis& redis);
// -1, 0 or 1, as the server orders ids.
int compare_ids(const std::string& a, const std::string& b);

}  // namespace sluice::store
