// status: presence of gateways and conditions of Services, in Redis for people and for the leader.
// Purpose: written only on change (statuses) or with a time to live (presence).
// Ownership: StatusWriter refers to the Redis, which must outlive it. Thread: the connection's.
// Errors: Redis' own; values that cannot be read are left out of lists.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/store/redis.h"
#include "proto/result.h"
#include "store.pb.h"

namespace sluice::store {

// Gateways whose presence has ended are still listed, with alive = false and nothing but their
// name.
struct Gateway {
  std::string name;
  bool alive = false;
  v1::GatewayPresence presence;
};

boost::asio::awaitable<Status> write_presence(
    Redis& redis, v1::GatewayPresence presence,
    std::chrono::milliseconds ttl = std::chrono::seconds(15));
boost::asio::awaitable<Result<std::vector<Gateway>>> list_gateways(Redis& redis);

struct StatusKey {
  std::string source;
  std::string ns;
  std::string name;
  friend auto operator<=>(const StatusKey&, const StatusKey&) = default;
};
// Statuses by `gateway`; "-" (keys::kMergedStatus) for the merged ones. Absent ones are left out.
boost::asio::awaitable<Result<std::map<StatusKey, v1::ServiceStatus>>> read_statuses(
    Redis& redis, std::string gateway, std::vector<StatusKey> services);

// One gateway's own statuses; those of all together: merged_status.h.
class StatusWriter {
 public:
  StatusWriter(Redis& redis, std::string gateway);
  // What Redis has of these, by the last process of this gateway.
  boost::asio::awaitable<Status> recall(std::vector<StatusKey> services);
  // Writes those that differ from what was written, and deletes those that are gone.
  boost::asio::awaitable<Status> update(std::vector<v1::ServiceStatus> statuses,
                                        std::vector<StatusKey> gone);
  // Redis may have lost them (a new incarnation): the next update() writes also what is the same.
  void forget();
  // As last written or recalled.
  std::optional<v1::ServiceStatus> last(const StatusKey& service) const;
  std::vector<StatusKey> services() const;

 private:
  struct Written {
    std::string bytes;
    bool sure = true;  // That Redis has it.
  };
  Redis& redis_;
  std::string gateway_;
  std::map<StatusKey, Written> written_;
};

}  // namespace sluice::store
