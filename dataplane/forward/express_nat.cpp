// The short way of packets of flows that are translated, both directions: established, nothing
// ending, no PROXY header in the stream, one family, no overlay.
#include <bit>

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

// To a NAT source of ours, or from a backend to the client of a DNAT flow.
template <typename Family>
bool Express<Family>::is_reply(const ExpressContext& context, unsigned p, FlowWords<Family>& key) {
  const std::uint8_t* frame = context.burst.data[p];
  const std::uint8_t protocol = protocol_in<Family>(frame);
  const auto ports = load<std::uint32_t>(frame + kL4<Family>);
  const std::uint32_t port = host16(ports >> 16);
  const NatSources* sources = context.routing.nat_sources.load(std::memory_order_acquire);
  if (sources != nullptr && port >= sources->first_port && port <= sources->last_port) {
    const NatSource<Family>* source =
        find_nat_source<Family>(sources, destination_in<Family>(frame));
    if (source != nullptr) {
      set_words<Family>(key, frame + kSource<Family>, ports, source->id(protocol));
      return context.config.workers == 1 || context.burst.steered[p];
    }
  }
  if (!context.state.has_dnat()) return false;
  const typename Family::Address backend = source_in<Family>(frame);
  const Be16 backend_port{static_cast<std::uint16_t>(ports)};
  if (!context.state.template is_dnat_endpoint<Family>(backend, protocol, backend_port))
    return false;
  set_words<Family>(key, frame + kSource<Family> + Family::kAddressBytes, std::rotl(ports, 16),
                    dnat_reply_id<Family>(backend, protocol));
  const PipelineConfig& config = context.config;
  return config.workers == 1 ||
         dnat_owner<Family>(context.spreading_key, destination_in<Family>(frame),
                            Be16{static_cast<std::uint16_t>(ports >> 16)},
                            config.workers) == config.worker;
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
[[gnu::always_inline]] inline bool Express<Family>::send_translated(const ExpressContext& context,
                                                                    unsigned k) {
  const unsigned i = translated_[k];
  const Record& record = *record_[k];
  const Adjacency& way =
      context.adjacencies.get(record.backend_id, context.state, context.routing, context.now);
  constexpr std::uint8_t kWhat = Adjacency::kIsThere | Adjacency::kThroughOverlay;
  if ((way.can & kWhat) != Adjacency::kIsThere || !is_simple(record)) [[unlikely]]
    return false;
  return vip_[i] != nullptr ? send_to_backend(context, k, way) : send_to_client(context, k);
}

template <typename Family>
[[gnu::always_inline]] inline bool Express<Family>::send_to_backend(const ExpressContext& context,
                                                                    unsigned k,
                                                                    const Adjacency& way) {
  Burst& burst = context.burst;
  const unsigned i = translated_[k], p = packet_[i];
  Record& record = *record_[k];
  std::uint8_t* frame = burst.data[p];
  if (!way.leaves() || end_of<Family>(frame) - kL3 > way.mtu) [[unlikely]]
    return false;
  std::uint8_t* l4 = frame + kL4<Family>;
  const std::uint8_t protocol = record.protocol;
  if (record.translation.any()) {  // Of TCP.
    const std::uint32_t header = reinterpret_cast<const TcpHeader*>(l4)->header_bytes();
    if (kL4<Family> + header > burst.length[p]) return false;
    translate_tcp_to_backend(record.translation, l4);
  }
  if (record.seen != context.now) record.seen = context.now;
  const std::uint64_t bytes = burst.total_length[p];
  VipCounterSet& of_vip = context.counters.vips[vip_[i]->counter];
  BackendCounterSet& of_backend = context.counters.backends[record.backend_id];
  const std::uint64_t ethernet[2] = {way.ethernet[0], way.ethernet[1]};
  burst.out_port[p] = way.port;
  burst.next_hop[p] = way.next_hop;
  const Endpoint<Family> source = record.source, destination = record.backend;
  translate<Family>(frame + kL3, l4, protocol, source, destination);
  std::memcpy(frame, ethernet, sizeof(EthernetHeader) - sizeof(Be16));
  count_in(of_vip, of_backend, bytes);
  return true;
}

template <typename Family>
[[gnu::always_inline]] inline bool Express<Family>::send_to_client(const ExpressContext& context,
                                                                   unsigned k) {
  Burst& burst = context.burst;
  const Routing& routing = context.routing;
  const unsigned p = packet_[translated_[k]];
  Record& record = *record_[k];
  const NextHopIndex index = way_[k];
  if (index >= routing.next_hop_count) return false;  // Also of several ways.
  const NextHop hop = routing.hop(index);
  std::uint8_t* frame = burst.data[p];
  // The key of DNAT's replies has only a number for the backend's address.
  if (record.dnat() && record.backend.address != source_in<Family>(frame)) return false;
  const std::uint32_t mtu = mtu_towards(routing, hop.port, kNoBackend, context.now);
  if (hop.state != NextHopState::reachable || end_of<Family>(frame) - kL3 > mtu) [[unlikely]]
    return false;
  std::uint8_t* l4 = frame + kL4<Family>;
  const std::uint8_t protocol = record.protocol;
  if (record.translation.any()) {
    const std::uint32_t header = reinterpret_cast<const TcpHeader*>(l4)->header_bytes();
    if (kL4<Family> + header > burst.length[p]) return false;
    translate_tcp_to_client(record.translation, l4);
  }
  if (record.seen != context.now) record.seen = context.now;
  const std::uint64_t bytes = burst.total_length[p];
  VipCounterSet& of_vip = context.counters.vips[record.vip_counter];
  BackendCounterSet& of_backend = context.counters.backends[record.backend_id];
  burst.out_port[p] = hop.port;
  burst.next_hop[p] = index;
  const Endpoint<Family> source{record.vip, record.forward.vip_port},
      destination{record.forward.client, record.forward.client_port};
  translate<Family>(frame + kL3, l4, protocol, source, destination);
  write_macs(frame, hop.destination_mac, hop.source_mac);
  of_vip.packets_out.add(1);
  of_vip.bytes_out.add(bytes);
  of_backend.packets_out.add(1);
  of_backend.bytes_out.add(bytes);
  return true;
}

template <typename Family>
void Express<Family>::send_translated(const ExpressContext& context, std::uint64_t& rest) {
  for (unsigned k = 0; k < translated_count_; ++k) {
    const std::uint32_t id = record_[k]->backend_id;  // Below the adjacencies' count: config's.
    context.adjacencies.prefetch(id);
    prefetch_line(&context.counters.backends[id]);
  }
  find_ways_to_clients(context.routing);
  std::uint64_t left = rest;
  for (unsigned k = 0; k < translated_count_; ++k) {
    if (!send_translated(context, k)) [[unlikely]]
      left |= std::uint64_t{1} << packet_[translated_[k]];
  }
  rest = left;
}

#define SLUICE_INSTANTIATE(Family)                                                              \
  template bool Express<Family>::is_reply(const ExpressContext&, unsigned, FlowWords<Family>&); \
  template void Express<Family>::send_translated(const ExpressContext&, std::uint64_t&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
