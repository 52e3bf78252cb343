// A gateway of plain memory for the packet cases: the real pipeline, one per worker, over a
// forwarding state made from the messages control sends, with routes, next hops and NAT sources set
// by hand.
//
// Thread: one. Ownership: packets are copied into heap memory of exactly the bytes the pipeline may
// touch, so that the address sanitizer sees every byte too many. Units: Ticks; ports are DPDK's
// numbers. Errors: a sentence; nothing has changed then.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/forward/pipeline.h"
#include "dataplane/forward/state_builder.h"
#include "dataplane/kernel/plain_fib.h"
#include "proto/result.h"

namespace sluice::cases {

using Bytes = std::vector<std::uint8_t>;

struct Settings {
  std::uint16_t workers = 1;
  std::uint32_t flows = 60000, nat_flows = 30000;
  std::uint32_t answers_per_second = 1000, new_flows_per_burst = 48;
  std::uint32_t waiting_fragments = FragmentLimits{}.waiting;
  std::vector<std::array<std::uint8_t, 6>> macs;  // By port; empty: not checked.
};

struct Arrival {
  Bytes bytes;
  std::uint16_t port = 0;
  bool steered = false;
  std::uint32_t contiguous = 0;  // Bytes in the first buffer; 0: all.
  std::uint32_t headroom = 0, tailroom = 0;
  FragmentHint fragment;
};

struct Departure {
  Verdict verdict = Verdict::pending;
  DropReason reason = DropReason::none;
  std::uint16_t port = 0, worker = 0;
  Bytes bytes;            // Of all buffers.
  std::uint32_t mtu = 0;  // For split and resolve.
};

class Gateway {
 public:
  static constexpr unsigned kPorts = 2;
  static constexpr std::uint32_t kCapacity = 64;  // VIPs, backends.
  static constexpr std::uint32_t kHops = 64;
  static constexpr unsigned kMaxWorkers = 8;

  static Result<std::unique_ptr<Gateway>> create(const Settings& settings);

  // `json`: an ApplyPart, which changes the state.
  Status apply(const std::string& json);
  Status set_hop(NextHopIndex index, const NextHop& hop);
  Status set_group(std::uint32_t index, const std::vector<NextHopIndex>& hops);
  Status add_route(const IpAddress& network, unsigned prefix_length, NextHopIndex hop);
  Status set_backend_hop(std::uint32_t backend, NextHopIndex hop);
  Status set_mtu(std::uint16_t port, std::uint16_t bytes);
  // `varies`: bits of the address that come from the flow's hash; unspecified: none.
  Status set_tunnel_source(std::uint16_t port, const IpAddress& address, const IpAddress& varies);
  void set_nat_ports(std::uint16_t first, std::uint16_t last);
  void add_nat_source(const IpAddress& address, std::uint16_t port, std::uint32_t number);

  // One burst, at most Burst::kMax; then what was held until a packet of it came.
  Result<std::vector<Departure>> process(unsigned worker, const std::vector<Arrival>& burst);
  void pass(Ticks ticks) { now_ += ticks; }
  // At least a whole round over the tables of every worker; takes as long as it does in life.
  Status sweep();

  std::uint64_t drops(DropReason reason) const;
  std::uint64_t sum(Counter WorkerCounters::*counter) const;

 private:
  Gateway();
  Result<std::vector<Departure>> process_once(unsigned worker, const std::vector<Arrival>& burst);
  void forget_expired();

  // By handle; and the hints that go with what is handed over, by its bytes.
  std::map<const void*, Arrival> held_;
  std::map<Bytes, FragmentHint> hints_;
  std::uintptr_t last_handle_ = 0;
  Ticks now_ = 1000;
  std::uint64_t generation_ = 0;
  std::vector<std::unique_ptr<WorkerCounters>> counters_;
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  std::shared_ptr<const ForwardingState> state_;
  CounterIndexes indexes_{kCapacity};
  Routing routing_{kHops, 4, kCapacity};
  PlainFib<Ipv4>* fib_ipv4_;
  PlainFib<Ipv6>* fib_ipv6_;
  std::unique_ptr<NatSources> sources_ = std::make_unique<NatSources>();
  std::unique_ptr<TunnelSources> tunnel_sources_ = std::make_unique<TunnelSources>();
};

}  // namespace sluice::cases
