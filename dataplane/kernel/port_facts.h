// PortFacts: what the pipeline must know of the ports and learns from the kernel: the sources of
// NAT and of tunnels, and each port's MTU. Follows addresses and links, and publishes into Routing.
// Thread: one. Ownership: borrows Routing and the GraceQueue; keeps what is published alive.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "dataplane/kernel/grace_queue.h"
#include "dataplane/kernel/nat_source_table.h"
#include "dataplane/kernel/own_addresses.h"
#include "dataplane/kernel/slow_path_settings.h"
#include "dataplane/kernel/tunnel_source_table.h"

namespace sluice {

class PortFacts {
 public:
  // `links` and `ports` are of the same ports in the same order.
  PortFacts(std::span<const MirrorPort> links, std::span<const PortInfo> ports,
            const SlowPathSettings& settings, Routing& routing, GraceQueue& grace);

  void apply(const KernelEvent& event);
  void begin_dump() { own_.begin_dump(); }
  void end_dump(bool complete) { own_.end_dump(complete); }
  void set_served(const std::vector<IpAddress>& addresses) { own_.set_served(addresses); }
  void publish();

 private:
  struct Mtu {
    int link;
    std::uint16_t port;
    std::uint32_t most;  // The port's own: a larger one of its TAP is of no use.
  };
  void set_mtu(const Mtu& port, std::uint32_t mtu);

  Routing& routing_;
  GraceQueue& grace_;
  OwnAddresses own_;
  NatSourceTable nat_;
  TunnelSourceTable tunnels_;
  std::vector<Mtu> mtus_;
  std::unique_ptr<const NatSources> nat_sources_;  // As published.
  std::unique_ptr<const TunnelSources> tunnel_sources_;
};

}  // namespace sluice
