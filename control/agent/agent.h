// Agent: sluice-agent as a whole. One thread: a reflector for each kind fills the cache, the
// publish loop keeps Redis at what the cache has, the elector says who leads.
// Ownership: refers to the io_context, which must outlive it. Thread: the io_context's.
// Errors: start() refuses what cannot work; afterwards everything is tried again and logged.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "config.pb.h"
#include "config/agent_config.h"
#include "control/agent/write_back.h"
#include "control/kubernetes/credentials.h"
#include "control/kubernetes/lease.h"
#include "control/kubernetes/reflector.h"
#include "proto/result.h"

namespace sluice::agent {

struct AgentOptions {
  v1::AgentConfig config;
  std::string config_file;            // Read again on SIGHUP,
  AgentOverrides overrides;           // and the command line goes over it again.
  MakeWriteBack make_write_back;      // Empty: nothing is written to the cluster.
  kube::ReflectorTiming timing{};     // Tests have shorter ones.
  kube::LeaseOptions lease_timing{};  // Of which only the times are used.
};

class Agent {
 public:
  Agent(boost::asio::io_context& io, AgentOptions options);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  // Finds the API server's credentials, listens, starts the loops and the handling of SIGTERM,
  // SIGINT and SIGHUP. run() of the io_context returns after stop().
  Status start();
  // Releases the Lease and ends the loops. Nothing is withdrawn.
  void stop();

  bool leading() const;
  bool published() const;      // All, in this term.
  std::uint16_t port() const;  // Of health and metrics.

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The access that the configuration names: its kubeconfig, else the pod's service account.
Result<kube::ServerAccess> server_access(const v1::AgentKubernetes& config);

}  // namespace sluice::agent
