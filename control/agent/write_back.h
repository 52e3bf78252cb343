// WriteBack: the part of the agent that writes to the cluster: addresses and conditions into the
// status of Services, and Events. The agent owns it, and tells it what it needs to know.
// Thread: the executor's, one. Ownership: whatever Parts refers to outlives the WriteBack.
// Errors: its own to retry and report; none of them stops the agent.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/kubernetes/api_client.h"
#include "control/store/redis.h"
#include "kubernetes.pb.h"

namespace sluice::agent {

struct ServiceName {
  std::string ns;
  std::string name;
};

// A Service as the watch last showed it.
struct SeenService {
  std::string resource_version;
  v1::Service service;  // Whole: uid, labels, annotations, spec, status with its conditions.
};

// The cluster's Services as last seen.
class ClusterServices {
 public:
  virtual ~ClusterServices() = default;
  // Whether the whole list has been seen; before, what find() does not find may exist.
  virtual bool services_synced() const = 0;
  // Decodes it anew: keep nothing of it beyond the next wait. nullopt: none, or never usable.
  virtual std::optional<SeenService> find_service(const std::string& ns,
                                                  const std::string& name) const = 0;
  virtual std::vector<ServiceName> service_names() const = 0;
};

// What was written to the cluster since the start, and what waits.
struct WriteBackState {
  std::uint64_t addresses_written = 0, conditions_written = 0;  // Statuses of Services.
  std::uint64_t conflicts = 0;                                  // Refused as stale: decided again.
  std::uint64_t refused = 0;    // By the API server, for another reason.
  std::uint64_t failed = 0;     // Not allowed, or no usable answer.
  std::uint64_t contested = 0;  // Written again because somebody had undone them.
  std::size_t waiting = 0;      // Services to look at or to write.
  std::uint64_t events_written = 0, events_dropped = 0, events_failed = 0;
};

class WriteBack {
 public:
  struct Parts {
    boost::asio::any_io_executor executor;
    kube::ApiClient& api;
    store::RedisOptions redis;  // For connections of its own.
    const ClusterServices& services;
    std::string source;    // The cluster's name.
    std::string identity;  // Of this agent, unique: as in the Lease's holderIdentity.
    std::vector<std::string> load_balancer_classes;  // Served besides Services without a class.
    // Whether this agent leads, by its own clock, right now: ask before every write.
    std::function<bool()> leading;
  };
  virtual ~WriteBack() = default;

  // Until stop().
  virtual boost::asio::awaitable<void> run() = 0;
  virtual void stop() = 0;
  // Leading began (true) or ended. One who does not lead writes nothing.
  virtual void on_leading(bool leading) = 0;
  // The Service was seen anew, changed, or is gone. Also called for each one of a whole list that
  // differs from what was seen before.
  virtual void on_service(const ServiceName& name) = 0;
  // The whole list has been seen, for the first time or again.
  virtual void on_services_synced() = 0;
  virtual void set_load_balancer_classes(std::vector<std::string> classes) = 0;
  virtual WriteBackState state() const = 0;
};

using MakeWriteBack = std::function<std::unique_ptr<WriteBack>(WriteBack::Parts)>;

}  // namespace sluice::agent
