// The short way of packets of flows that are translated, both directions: established, nothing
// ending, no PROXY header in the stream, one family, no overlay.
#include "dataplane/forward/express.h"
#include "dataplane/forward/express_rules.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tcp_translation.h"
#include "dataplane/packet/rewrite.h"

namespace sluice {

using namespace express_rules;

namespace {

// Whether all there is to do to the flow's packets is done here.
template <typename Family>
bool is_simple(const NatRecord<Family>& record) {
  return record.state == FlowState::established && !record.closed() && !record.crosses() &&
         (record.flags & NatRecord<Family>::kEnding) == 0 && record.translation.header_bytes() == 0;
}

}  // namespace

// To a NAT source of ours; `source_id`: of its entries.
template <typename Family>
bool Express<Family>::is_reply(const ExpressContext& context, unsigned p,
                               std::uint32_t& source_id) {
  const NatSources* sources = context.routing.nat_sources.load(std::memory_order_acquire);
  if (sources == nullptr || (context.config.workers != 1 && !context.burst.steered[p]))
    return false;
  const std::uint8_t* frame = context.burst.data[p];
  const std::uint32_t port = host16(load<std::uint16_t>(frame + kL4<Family> + 2));
  if (port < sources->first_port || port > sources->last_port) return false;
  const NatSource<Family>* source = find_nat_source<Family>(sources, destination_in<Family>(frame));
  if (source == nullptr) return false;
  source_id = source->id(protocol_in<Family>(frame));
  return true;
}

template <typename Family>
void Express<Family>::send_translated(const ExpressContext& context, std::uint64_t& rest) {
  find_ways_to_clients(context.routing);
  std::uint64_t left = rest;
  for (unsigned i = 0; i < translated_count_; ++i) {
    if (!send_translated(context, i)) [[unlikely]]
      left |= std::uint64_t{1} << packet_[translated_[i]];
  }
  rest = left;
  translated_count_ = 0;
}

// By one longest-prefix match for all of them.
template <typename Family>
void Express<Family>::find_ways_to_clients(const Routing& routing) {
  typename Family::Address clients[kMax];
  NextHopIndex ways[kMax];
  std::uint8_t places[kMax];
  unsigned count = 0;
  for (unsigned i = 0; i < translated_count_; ++i) {
    way_[i] = kNoNextHop;
    if (vip_[translated_[i]] != nullptr) continue;
    clients[count] = record_[i]->forward.client;
    ways[count] = kNoNextHop;
    places[count++] = static_cast<std::uint8_t>(i);
  }
  const Fib<Family>* fib = fib_of<Family>(routing);
  if (count == 0 || fib == nullptr) return;
  fib->lookup(clients, ways, count);
  for (unsigned n = 0; n < count; ++n) way_[places[n]] = ways[n];
}

// False: not here; nothing has changed.
template <typename Family>
bool Express<Family>::send_translated(const ExpressContext& context, unsigned i) {
  Burst& burst = context.burst;
  const Routing& routing = context.routing;
  const unsigned p = packet_[translated_[i]];
  const VipBlock* vip = vip_[translated_[i]];
  Record& record = *record_[i];
  const BackendRecord* backend = context.state.backend(record.backend_id);
  if (!is_simple(record) || backend == nullptr || backend->overlay != OverlayKind::none)
    return false;
  const std::uint32_t id = record.backend_id;
  if (id >= routing.backend_count) return false;
  const NextHopIndex index = vip == nullptr ? way_[i] : routing.backend_next_hop(id);
  if (index >= routing.next_hop_count) return false;  // Also of several ways.
  const NextHop hop = routing.hop(index);
  std::uint8_t* frame = burst.data[p];
  const std::uint32_t mtu =
      mtu_towards(routing, hop.port, vip == nullptr ? kNoBackend : id, context.now);
  if (hop.state != NextHopState::reachable || end_of<Family>(frame) - kL3 > mtu) return false;
  std::uint8_t* l4 = frame + kL4<Family>;
  const bool tcp = record.protocol == kProtocolTcp;
  if (tcp && record.translation.any()) {
    const std::uint32_t header = reinterpret_cast<const TcpHeader*>(l4)->header_bytes();
    if (kL4<Family> + header > burst.length[p]) return false;
    if (vip != nullptr) {
      translate_tcp_to_backend(record.translation, l4);
    } else {
      translate_tcp_to_client(record.translation, l4);
    }
  }
  if (record.seen != context.now) record.seen = context.now;
  const std::uint64_t bytes = burst.total_length[p];
  WorkerCounters& counters = context.counters;
  if (vip != nullptr) {
    translate<Family>(frame + kL3, l4, record.protocol, record.source, record.backend);
    counters.vips[vip->counter].packets_in.add(1);
    counters.vips[vip->counter].bytes_in.add(bytes);
    counters.backends[id].packets_in.add(1);
    counters.backends[id].bytes_in.add(bytes);
  } else {
    translate<Family>(frame + kL3, l4, record.protocol, {record.vip, record.forward.vip_port},
                      {record.forward.client, record.forward.client_port});
    counters.vips[record.vip_counter].packets_out.add(1);
    counters.vips[record.vip_counter].bytes_out.add(bytes);
    counters.backends[id].packets_out.add(1);
    counters.backends[id].bytes_out.add(bytes);
  }
  write_macs(frame, hop.destination_mac, hop.source_mac);
  burst.out_port[p] = hop.port;
  burst.next_hop[p] = index;
  return true;
}

#define SLUICE_INSTANTIATE(Family)                                                          \
  template bool Express<Family>::is_reply(const ExpressContext&, unsigned, std::uint32_t&); \
  template void Express<Family>::send_translated(const ExpressContext&, std::uint64_t&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
