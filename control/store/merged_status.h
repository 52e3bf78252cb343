// MergedStatusWriter: what all gateways together say of each Service, written by the leading one.
// Purpose: written only on change, by a script that compares the lease and leaves an entry in the
// stream of the Service's source, so that a cluster's agent need not read all of them again and
// again (status_feed.h). Numbers of backends alone, which change with every pod, are written but
// not told. Ownership: refers to the Redis, which must outlive it. Thread: the connection's.
// Errors: NOTLEADER when another leads by now; what was written until then stays, and the next
// update() compares with it.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/store/lead.h"
#include "control/store/redis.h"
#include "control/store/status.h"
#include "proto/result.h"
#include "store.pb.h"

namespace sluice::store {

class MergedStatusWriter {
 public:
  explicit MergedStatusWriter(Redis& redis) : redis_(redis) {}

  // What Redis has, by whoever led before: after it update() writes what differs alone. Call on
  // beginning to lead, and when Redis may have lost it.
  boost::asio::awaitable<Status> recall();
  // Writes those that differ from what was written, and deletes those that are gone.
  boost::asio::awaitable<Status> update(const Leader& leader,
                                        std::vector<v1::ServiceStatus> statuses,
                                        std::vector<StatusKey> gone);
  // As last written or recalled.
  std::optional<v1::ServiceStatus> last(const StatusKey& service) const;
  // All of them, also those that earlier leaders left behind.
  std::vector<StatusKey> services() const;

 private:
  struct Written {
    std::string bytes;
    bool sure = true;  // That Redis has it.
  };
  Redis& redis_;
  std::map<StatusKey, Written> written_;
};

// Whether those who follow the statuses of a cluster need to know: anything but numbers of
// backends.
bool worth_telling(const v1::ServiceStatus& before, const v1::ServiceStatus& after);

}  // namespace sluice::store
