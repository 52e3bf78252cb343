// Trace and flows: what the pipeline would do with a packet, and which flows it tracks, for people.
// The decisions are those of the pipeline's own functions; nothing is sent, counted or changed.
//
// Thread: the server's, while workers run: entries are read one at a time and may be a moment old,
//   a single one may be torn, never out of bounds. `state` must be held by the caller.
// Ownership: plain values. Units: host order for ports.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/forward/pipeline.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"
#include "proto/address.h"

namespace sluice {

// A packet as a client would send it.
struct TraceInput {
  IpAddress source, destination;  // Of one family.
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t protocol = kProtocolTcp;
  std::uint8_t tcp_flags = 0x02;  // As in the header; SYN.
  std::uint16_t in_port = 0;      // DPDK port it arrives on.
  Ticks now = 0;                  // What is known of a path holds for a time.
};

struct TraceStep {
  std::string stage;  // "packet", "vip", "worker", "flow", "backend", "mode", "overlay", "route",
                      // "mtu".
  std::string text;   // What was found, and why.
};

struct TraceResult {
  std::vector<TraceStep> steps;
  std::string verdict;                   // "transmit", "drop", "slow-path", "reject".
  DropReason reason = DropReason::none;  // For drop and reject.
  const VipBlock* vip = nullptr;         // Owned by the state.
  bool flow_exists = false;
  const BackendRecord* backend = nullptr;  // Owned by the state; nullptr: none chosen.
  Mode mode = Mode::nat;                   // When a backend was chosen.
  NextHop next_hop{};                      // state none: none was reached.
  NextHopIndex next_hop_index = kNoNextHop;
  IpAddress towards;  // Of the backend, or of the node its overlay leads to; size() 0: no backend.
  std::uint16_t worker = 0;  // That owns, or would own, the flow.
};

// `workers`: all pipelines, by worker number.
TraceResult trace(const TraceInput& input, const ForwardingState& state, const Routing& routing,
                  std::span<const Pipeline* const> workers);

struct FlowView {
  std::uint8_t protocol = 0;
  IpAddress client;
  std::uint16_t client_port = 0;
  IpAddress vip;
  std::uint16_t vip_port = 0;
  std::uint32_t backend_id = 0;
  IpAddress backend;  // size() 0: the backend is gone.
  std::uint16_t backend_port = 0;
  bool nat = false;
  IpAddress nat_source;  // NAT only, as is the port.
  std::uint16_t nat_port = 0;
  FlowState state = FlowState::empty;
  std::uint32_t idle_seconds = 0;
  std::uint16_t worker = 0;
};
const char* name(FlowState state);

// Calls `show` for each flow of one worker, IPv4 before IPv6, until it returns false.
void for_each_flow(const Pipeline& worker, const ForwardingState& state, Ticks now,
                   const std::function<bool(const FlowView&)>& show);

}  // namespace sluice
