// The short way of flows of NAT and DNAT that begin: TCP by a SYN, and UDP; one family, no overlay,
// no PROXY header. Ports are proposed for the whole burst first, so that what their entries lie
// among is loaded by the time they are made.
#include "dataplane/forward/express.h"
#include "dataplane/forward/express_rules.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tcp_translation.h"
#include "dataplane/packet/rewrite.h"

namespace sluice {

using namespace express_rules;

namespace {

template <typename Family>
FlowKey<Family> key_of(const std::uint8_t* frame, std::uint32_t vip_id) {
  const auto ports = load<std::uint32_t>(frame + kL4<Family>);
  return {source_in<Family>(frame), Be16{static_cast<std::uint16_t>(ports)},
          Be16{static_cast<std::uint16_t>(ports >> 16)}, vip_id};
}

}  // namespace

template <typename Family>
void Express<Family>::send_opening(const ExpressContext& context, Table& table,
                                   NatFlows<Family>& nat, std::uint64_t& rest) {
  choose_backends(context, opening_, opening_count_);
  propose_ways_back(context, table, nat);
  std::uint64_t left = rest;
  Met begun, waiting;
  for (unsigned k = 0; k < opening_count_; ++k) {
    const unsigned i = opening_[k];
    // Nor does a flow begin before a packet of it that came earlier and is left.
    if (waiting.perhaps(buckets_[i]) || begun_before(table, i, begun) ||
        !send_opening(context, k, nat)) [[unlikely]] {
      left |= std::uint64_t{1} << packet_[i];
      waiting.add(buckets_[i]);
      continue;
    }
    begun.add(buckets_[i]);
  }
  rest = left;
}

template <typename Family>
NatFlowRequest<Family> Express<Family>::request_for(const ExpressContext& context, unsigned i,
                                                    const FlowKey<Family>& key,
                                                    const BackendRecord& backend,
                                                    const Adjacency& way) const {
  return {key,
          buckets_[i],
          *vip_[i],
          backend,
          way.port,
          steering_of(context.config, way.port),
          context.routing.nat_sources.load(std::memory_order_acquire),
          true};
}

// For those that can go this way as far as that can be told beforehand; the others have no id.
template <typename Family>
void Express<Family>::propose_ways_back(const ExpressContext& context, const Table& table,
                                        NatFlows<Family>& nat) {
  const Burst& burst = context.burst;
  for (unsigned k = 0; k < opening_count_; ++k) {
    const unsigned i = opening_[k];
    const std::uint8_t* frame = burst.data[packet_[i]];
    const VipBlock& vip = *vip_[i];
    way_back_[k].id = 0;
    const auto& tcp = *reinterpret_cast<const TcpHeader*>(frame + kL4<Family>);
    if (vip.protocol == kProtocolTcp && !opens(tcp.flags)) continue;
    const std::uint32_t id = backend_[i];
    if (id >= context.adjacencies.count()) continue;
    const Adjacency& way = context.adjacencies.get(id, context.state, context.routing, context.now);
    if (!way.leaves() || (way.can & Adjacency::kThroughOverlay) != 0) continue;
    const BackendRecord* backend = context.state.backend(id);
    if (backend == nullptr || backend->address_bytes != Family::kAddressBytes) continue;
    const FlowKey<Family> key = key_of<Family>(frame, vip.id);
    if (!nat.propose(request_for(context, i, key, *backend, way), way_back_[k])) {
      way_back_[k].id = 0;
      continue;
    }
    table.prefetch(way_back_[k].hash);
    nat.records().prefetch_free(k);
  }
  for (unsigned k = 0; k < opening_count_; ++k) {
    if (way_back_[k].id == 0) continue;
    table.prefetch_room(buckets_[opening_[k]]);
    table.prefetch_room(way_back_[k].hash);
  }
}

// False: not here; but for the order of ports nothing has changed. What can begin no flow is
// dropped here.
template <typename Family>
bool Express<Family>::send_opening(const ExpressContext& context, unsigned k,
                                   NatFlows<Family>& nat) {
  if (way_back_[k].id == 0) return false;
  Burst& burst = context.burst;
  const unsigned i = opening_[k], p = packet_[i];
  const VipBlock& vip = *vip_[i];
  const std::uint32_t id = backend_[i];
  const Adjacency& way = context.adjacencies.get(id, context.state, context.routing, context.now);
  const BackendRecord& backend = *context.state.backend_record(id);
  std::uint8_t* frame = burst.data[p];
  std::uint8_t* l4 = frame + kL4<Family>;
  const bool tcp = vip.protocol == kProtocolTcp;
  const std::uint32_t header = tcp ? reinterpret_cast<const TcpHeader*>(l4)->header_bytes() : 0;
  const std::uint64_t bytes = burst.total_length[p];
  VipCounterSet& of_vip = context.counters.vips[vip.counter];
  if (kL4<Family> + header > burst.length[p]) [[unlikely]]
    return false;
  const auto refuse = [&](DropReason reason) {  // In a flood this is what many come to.
    of_vip.packets_in.add(1);
    of_vip.bytes_in.add(bytes);
    burst.verdict[p] = Verdict::drop;
    burst.reason[p] = reason;
    context.counters.drops[static_cast<unsigned>(reason)].add(1);
    return true;
  };
  if (context.new_flows_left == 0) return refuse(DropReason::new_flow_budget);
  if (end_of<Family>(frame) - kL3 > way.mtu) [[unlikely]]
    return false;
  const FlowKey<Family> key = key_of<Family>(frame, vip.id);
  const auto started =
      nat.begin(request_for(context, i, key, backend, way), way_back_[k], context.now);
  --context.new_flows_left;
  if (started.reason != DropReason::none) [[unlikely]]
    return refuse(started.reason);
  Record& record = nat.records()[started.record];
  if (tcp) {
    if (!record.dnat())
      record.translation = begin_tcp_translation<Family>(l4, false, burst.milliseconds);
    const std::uint16_t in_port = burst.in_port[p];
    clamp_tcp_mss(
        l4, mss_for<Family>(mtu_towards(context.routing, in_port, kNoBackend, context.now), 0));
    if (record.translation.any()) translate_tcp_to_backend(record.translation, l4);
  }
  translate<Family>(frame + kL3, l4, vip.protocol, record.source, record.backend);
  std::memcpy(frame, way.ethernet, sizeof(EthernetHeader) - sizeof(Be16));
  burst.out_port[p] = way.port;
  burst.next_hop[p] = way.next_hop;
  BackendCounterSet& of_backend = context.counters.backends[id];
  count_in(of_vip, of_backend, bytes);
  of_vip.new_flows.add(1);
  of_backend.new_flows.add(1);
  return true;
}

#define SLUICE_INSTANTIATE(Family)                                                              \
  template void Express<Family>::send_opening(const ExpressContext&, Table&, NatFlows<Family>&, \
                                              std::uint64_t&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
