// StatusSync: brings what the gateways say of each Service back into the cluster.
// Purpose: follows the merged statuses of this cluster in Redis (store/status_feed.h) and the
// Services as the watch shows them; what differs (kubernetes/status_decision.h) is written by the
// leading agent alone, a few requests at a time, at a bounded rate. A write that the API server
// refuses as stale is decided again on what it has now; who keeps undoing what we write is met with
// longer and longer waits and an Event. Nothing is remembered that a new leader would miss.
// Ownership: refers to ClusterServices and to what the ApiCall refers to. Thread: the executor's.
// Errors: logged and tried again; nothing is taken from a Service because Redis or the API server
// does not answer.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/agent/status_jobs.h"
#include "control/agent/write_back.h"
#include "control/kubernetes/api_call.h"

namespace sluice::agent {

struct StatusSyncTiming {
  std::chrono::milliseconds pending{30'000};  // Without a status: then the user is told why.
  std::chrono::milliseconds redis_retry{1'000};
  StatusJobTiming jobs;
};

struct StatusSyncParts {
  boost::asio::any_io_executor executor;
  kube::ApiCall call;
  store::RedisOptions redis;
  const ClusterServices* services = nullptr;
  std::string source, identity;                    // As WriteBack::Parts.
  std::vector<std::string> load_balancer_classes;  // Served besides Services without a class.
  std::function<bool()> leading;
};

class StatusSync : public WriteBack {
 public:
  explicit StatusSync(StatusSyncParts parts, StatusSyncTiming timing = {});
  ~StatusSync() override;

  boost::asio::awaitable<void> run() override;
  void stop() override;
  void on_leading(bool leading) override;
  void on_service(const ServiceName& name) override;
  void on_services_synced() override;
  void set_load_balancer_classes(std::vector<std::string> classes) override;

  WriteBackState state() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// A MakeWriteBack.
std::unique_ptr<WriteBack> make_status_sync(WriteBack::Parts parts);

}  // namespace sluice::agent
