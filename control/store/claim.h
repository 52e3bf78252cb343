// claim: how the publisher of a source begins its term.
// Thread: the connection's. Errors: a Redis that does not answer, or a hash that is not ours.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <string>

#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

// From now on writes with a smaller token than `token` are refused. Returns 0, or the token in the
// way: one as large or larger has been used already, and nothing has changed. A token is claimed
// once; two publishers that were given the same one cannot both claim it.
boost::asio::awaitable<Result<std::uint64_t>> claim_source(Redis& redis, std::string source,
                                                           std::uint64_t token);

}  // namespace sluice::store
