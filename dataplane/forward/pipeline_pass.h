// Pass: one burst's packets of one family on their way through the stages, and what a worker keeps
// from burst to burst. Private to the pipeline.
//
// Thread: one worker. Ownership: references, for the time of one process() call. Shapes: structure
// of arrays over the lane, whose packet[] gives the place in the burst.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/forward/fragments.h"
#include "dataplane/forward/nat.h"
#include "dataplane/forward/pipeline.h"
#include "dataplane/forward/reply.h"
#include "dataplane/packet/parse.h"

namespace sluice {

// What a packet is to us.
enum class Path : std::uint8_t {
  other,   // Neither of the following: the slow path's, unless it is for a VIP's address.
  client,  // From a client to a VIP.
  reply,   // From a backend to a NAT source, or to a client of a DNAT flow.
  client_error,  // An ICMP error to a VIP, about a packet that went to a client.
  reply_error,   // An ICMP error about a packet that went to a backend translated.
  done,    // Decided.
};
// Whether it belongs to a flow, if there is one.
constexpr bool is_in_flow(Path path) {
  return path != Path::other && path != Path::done;
}

// What is to be done to a packet that leaves.
enum class Action : std::uint8_t {
  none,
  direct,   // To the backend, MACs alone.
  tunnel,   // To the backend, whole in another packet.
  forward,  // To the backend, translated; perhaps through an overlay.
  reply,    // To the client, translated.
  answer,   // It is a RST or an ICMP error by now.
};

template <typename Family>
struct Lane {
  using Address = typename Family::Address;
  static constexpr unsigned kMax = Burst::kMax;

  unsigned count = 0;
  std::uint8_t packet[kMax];
  Path path[kMax];
  Address source[kMax], destination[kMax];
  std::uint32_t bytes[kMax];  // As received.
  std::uint32_t vip_hash[kMax];
  const VipBlock* vip[kMax];  // client, client_error.
  FlowKey<Family> key[kMax];  // If in a flow; an error has that of the packet it is about, the other way.
  typename ConnectionTable<Family>::Hash hash[kMax];
  typename ConnectionTable<Family>::Batch look_ups;  // Of what is in a flow, in the lane's order.
  static_assert(ConnectionTable<Family>::Batch::kMax >= kMax);
  Slot slot[kMax];
  std::uint64_t choice[kMax];  // flow_hash() of a client's packet that is in no flow.

  Action action[kMax];
  NextHopIndex next_hop[kMax];
  std::uint32_t vip_counter[kMax];
  const BackendRecord* backend[kMax];
  Endpoint<Family> new_source[kMax], new_destination[kMax];  // forward, reply.
  bool crosses[kMax];  // forward, reply: NAT64; then these hold instead.
  Endpoint<Other<Family>> other_source[kMax], other_destination[kMax];
  TcpTranslation tcp[kMax];  // forward, reply: the flow's, as it was with this packet.
};

template <typename Family>
struct WorkerFlows {
  std::unique_ptr<ConnectionTable<Family>> table;
  NatFlows<Family> nat;
  FragmentStore<Family> fragments;
  Lane<Family> lane;
};

struct WorkerContext {
  WorkerFlows<Ipv4>* ipv4 = nullptr;
  WorkerFlows<Ipv6>* ipv6 = nullptr;
  PipelineConfig config;
  WorkerCounters& counters;
  AnswerBudget answers;
  std::uint64_t spreading_key = 0;   // Of the software spreading of DNAT flows over workers.
  std::uint32_t new_flows_left = 0;  // In this burst.
  std::uint16_t tunnel_id = 0;       // Last IPv4 id of a tunnel's packet.
  ParsedBurst parsed{};
};

// Of the other family too: a tunnel's packet carries either.
template <typename Family>
WorkerFlows<Family>& worker_flows(WorkerContext& worker) {
  if constexpr (Family::kAddressBytes == 4) {
    return *worker.ipv4;
  } else {
    return *worker.ipv6;
  }
}

template <typename Family>
struct Pass {
  Burst& burst;
  WorkerContext& worker;
  WorkerFlows<Family>& flows;
  const ForwardingState& state;
  const Routing& routing;
  const NatSources* nat_sources;
  const TunnelSources* tunnel_sources;
  Ticks now;
  bool table_changed = false;  // Since find_flows(): slots found there may be stale.

  Lane<Family>& lane() { return flows.lane; }
  ParsedBurst& parsed() { return worker.parsed; }
  std::uint8_t* l3(unsigned i) {
    const unsigned p = flows.lane.packet[i];
    return burst.data[p] + worker.parsed.l3[p];
  }
  std::uint8_t* l4(unsigned i) {
    const unsigned p = flows.lane.packet[i];
    return burst.data[p] + worker.parsed.l4[p];
  }
  void drop(unsigned i, DropReason reason) {
    const unsigned p = flows.lane.packet[i];
    burst.verdict[p] = Verdict::drop;
    burst.reason[p] = reason;
    worker.counters.drops[static_cast<unsigned>(reason)].add(1);
    flows.lane.path[i] = Path::done;
    flows.lane.action[i] = Action::none;
  }
};

// The stages, in their order. Each is instantiated for both families in its own source file.
// Fragments alone.
template <typename Family>
void gather_fragments(Pass<Family>& pass);
template <typename Family>
void find_vips(Pass<Family>& pass);
template <typename Family>
void find_replies(Pass<Family>& pass);
// ICMP errors alone.
template <typename Family>
void find_errors(Pass<Family>& pass);
template <typename Family>
void hand_over_foreign(Pass<Family>& pass);
template <typename Family>
void find_flows(Pass<Family>& pass);
template <typename Family>
void decide_flows(Pass<Family>& pass);
template <typename Family>
void settle_others(Pass<Family>& pass);
template <typename Family>
void find_next_hops(Pass<Family>& pass);
template <typename Family>
void send(Pass<Family>& pass);

// Puts lane packet i into its tunnel, or its backend's overlay. False: the packet was dropped.
template <typename Family>
bool enter_tunnel(Pass<Family>& pass, unsigned i, const NextHop& hop);
// Bytes of layer 3 that headers of a tunnel add to lane packet i; 0: it goes through none.
template <typename Family>
std::uint32_t tunnel_overhead(const Pass<Family>& pass, unsigned i);
// Whether lane packet i, with `overhead` bytes more, is no longer than the way by this port lets
// through. False: the packet was dropped.
template <typename Family>
bool fits(Pass<Family>& pass, unsigned i, std::uint16_t port, std::uint32_t overhead);
// Makes lane packet i (forward, reply) what its receiver is to get, layer 3 and up. False: the
// packet was dropped.
template <typename Family>
bool translate_packet(Pass<Family>& pass, unsigned i);
// By how much that makes it longer; NAT64 may make it shorter: modulo 2^32.
template <typename Family>
std::uint32_t translation_growth(Pass<Family>& pass, unsigned i);
// Whether the whole header of a TCP packet, options and all, lies in one piece.
template <typename Family>
bool has_tcp_header(Pass<Family>& pass, unsigned i);
// Refuses lane packet i: counts it, and answers it if the address's policy says so.
template <typename Family>
void refuse(Pass<Family>& pass, unsigned i, DropReason reason);
// The same because its TTL or hop limit ends here; its sender is told.
template <typename Family>
void refuse_expired(Pass<Family>& pass, unsigned i);
// The same because it is longer than `mtu`, as its sender counts; who may be told is told, and the way
// of the answer is looked up.
template <typename Family>
void refuse_too_big(Pass<Family>& pass, unsigned i, std::uint32_t mtu);
// What becomes of an ICMP error in a flow.
template <typename Family>
void decide_error(Pass<Family>& pass, unsigned i);
// Action forward or reply of an ICMP error, and of a fragment. False: the packet was dropped.
template <typename Family>
void translate_error(Pass<Family>& pass, unsigned i);
template <typename Family>
bool translate_fragment(Pass<Family>& pass, unsigned i);
// An ICMP error about a packet that left here in a tunnel: what it says is learned, and its inner
// packet's sender is told. False: it is about no such packet.
template <typename Family>
bool relay_tunnel_error(Pass<Family>& pass, unsigned i);
// Takes the VLAN tags out: the frame begins later, so that its Ethernet header ends at layer 3 (as
// far as the EtherType goes, which is right then; MACs are to be written).
template <typename Family>
void untag(Pass<Family>& pass, unsigned i);
}  // namespace sluice
