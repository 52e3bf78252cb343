// Metrics of the agent, and whether it is ready: texts from what the loops say of themselves.
// Ownership: by value. Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "control/agent/cluster_cache.h"
#include "control/agent/publish_loop.h"
#include "control/health/latency_histogram.h"

namespace sluice::agent {

struct AgentState {
  std::map<v1::Kind, KindState> kinds;
  PublishState publish;
  std::optional<WriteBackState> write_back;  // nullopt: nothing is written to the cluster.
  bool leading = false;
  std::uint64_t token = 0;
  std::string holder;  // Of the Lease.
};

std::string metrics_text(const AgentState& state, const LatencyHistogram& latency,
                         const std::string& version);

// Ready: every kind has been listed once, and the list is being followed.
struct Readiness {
  bool ready = false;
  std::string text;  // One line for each thing, for people.
};
Readiness readiness(const AgentState& state);

}  // namespace sluice::agent
