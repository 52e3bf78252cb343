// replication: which history a Redis is of, by INFO replication.
// Purpose: a Redis that was restarted, restored or failed over has another replication id
// (master_replid) than before; acknowledged writes may be lost then. Ownership: by value. Thread:
// the connection's. Source: redis.io/commands/info, redis.io/docs/management/replication.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <string>

#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

struct Replication {
  bool master = false;
  std::string id;  // master_replid.
};

RedisCommand replication_command();
Result<Replication> parse_replication(const RedisValue& reply);
boost::asio::awaitable<Result<Replication>> read_replication(Redis& redis);

// Value of a field of INFO's reply; empty where there is none.
std::string info_field(const std::string& info, const std::string& field);

}  // namespace sluice::store
