// reseed: brings the source `manual` back into a Redis that lost it, from the last good state.
// Purpose: nobody else can: a cluster's agent reads the API server again, manual has no such
// origin. Done by the leading control when SourceView.reseed says so. Idempotent; a crash midway
// leaves only true objects and no complete marker, so that the next leader does it again. Thread:
// the connection's. Errors: not leading any more, or Redis refuses.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "control/store/lead.h"
#include "control/store/publisher.h"
#include "control/store/reader.h"
#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

// kFill: writes what Redis lacks; what is there was written since and is newer.
// kReplace: takes a new incarnation and writes all that differs; deletes nothing.
// Either ends with a complete marker that names the copy's incarnation and sequence.
boost::asio::awaitable<Result<PublishReport>> reseed(Redis& redis, const Leader& leader,
                                                     const v1::DiskState& disk, Reseed mode,
                                                     std::string writer);

}  // namespace sluice::store
