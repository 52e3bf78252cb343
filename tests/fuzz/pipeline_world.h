// The gateway pipeline_fuzz runs: two workers with tables small enough to fill, and VIPs of every
// mode in both families (overlays, PROXY protocol, QUIC, NAT64, draining, without a backend), with
// next hops of every state behind them. Built once; reset() empties the tables. Thread: one.
#pragma once

#include <memory>

#include "dataplane/forward/pipeline.h"
#include "tests/unit/forward_pipeline/gateway.h"

namespace sluice::fuzz {

class World {
 public:
  static constexpr std::uint8_t kMac[6] = {2, 0, 0, 0, 0, 1};  // Of both ports.

  static constexpr std::uint32_t kNatFlows = 24;  // Of each family and worker.
  static constexpr std::uint16_t kMtuToBackends = 1400, kVxlanPort = 8472;

  // Sources of tunnels are this and the 15 addresses behind it.
  template <typename Family>
  static const char* tunnel_prefix() {
    return Family::kAddressBytes == 4 ? "10.0.1.0" : "fd00:1::";
  }

  World();
  void reset();
  std::uint64_t drops() const;

  test::Gateway gateway;

 private:
  PipelineConfig config_[2];
};

// Second address of a family: its VIPs are served by direct return, and the rest of it is silent.
template <typename Family>
const char* direct_vip() {
  return Family::kAddressBytes == 4 ? "198.51.100.2" : "2001:db8:100::2";
}

}  // namespace sluice::fuzz
