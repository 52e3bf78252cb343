// Metrics of the agent, and whether it is ready: texts from what the loops say of themselves.
// Ownership: by value; `LatencyHistogram` counts. Thread: one. Source: prometheus.io, text format.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "control/agent/cluster_cache.h"
#include "control/agent/publish_loop.h"

namespace sluice::agent {

class LatencyHistogram {
 public:
  // Seconds; the last bucket is everything.
  static constexpr std::array kBounds = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                         0.05,   0.1,   0.25,   0.5,   1.0,  5.0};
  void add(std::chrono::nanoseconds latency);
  const std::array<std::uint64_t, kBounds.size() + 1>& counts() const { return counts_; }
  double sum() const { return sum_; }

 private:
  std::array<std::uint64_t, kBounds.size() + 1> counts_{};
  double sum_ = 0;
};

struct AgentState {
  std::map<v1::Kind, KindState> kinds;
  PublishState publish;
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
