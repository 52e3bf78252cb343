// TunnelSourceTable: where tunnels start, by port and family: the prefix configured for the family,
// else the gateway's own address on the port. Thread: one. Ownership: by value. Pure.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/forward/routing.h"
#include "dataplane/kernel/own_addresses.h"

namespace sluice {

class TunnelSourceTable {
 public:
  // Of a prefix' host bits so many vary at most, the lowest ones: far more than a backend has
  // queues.
  static constexpr unsigned kVaryIpv4 = 16, kVaryIpv6 = 32;

  // `prefixes`: one of each family at most; further ones are ignored.
  TunnelSourceTable(std::span<const MirrorPort> ports, std::span<const IpPrefix> prefixes);

  // What is to be published, if it differs from what was last returned.
  std::unique_ptr<const TunnelSources> update(const OwnAddresses::Choice& own);

 private:
  template <typename Family>
  TunnelSource<Family> source(std::uint16_t port, const OwnAddresses::Choice& own) const;

  std::vector<MirrorPort> ports_;
  TunnelSource<Ipv4> prefix_ipv4_;  // present: configured.
  TunnelSource<Ipv6> prefix_ipv6_;
  OwnAddresses::Choice published_;
  bool first_ = true;
};

}  // namespace sluice
