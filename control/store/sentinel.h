// sentinel: which Redis is the master, as Redis Sentinel says.
// Purpose: the Sentinels are asked in turn for each connection, since a failover ends the old ones.
// Every failover has a larger config-epoch than the one before, so that a Sentinel that was cut off
// is not believed. Ownership: by value. Thread: the executor's. Errors: what each Sentinel
// answered. Source: redis.io/docs/reference/sentinel-clients, `SENTINEL master NAME`.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

struct SentinelMaster {
  std::string address;      // "HOST:PORT" or "[IPv6]:PORT".
  std::uint64_t epoch = 0;  // Of the failover that made it the master.
};

// Asks one of options.sentinel.addresses.
boost::asio::awaitable<Result<SentinelMaster>> ask_sentinel(boost::asio::any_io_executor executor,
                                                            RedisOptions options,
                                                            std::string sentinel);

Result<SentinelMaster> parse_sentinel_master(const RedisValue& reply);

}  // namespace sluice::store
