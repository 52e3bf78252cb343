#include "dataplane/forward/adjacency.h"

#include <algorithm>

#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tunnel_rules.h"

namespace sluice {
namespace {

template <typename Outer>
void set_tunnel(Adjacency& line, const BackendRecord& backend, const TunnelSources* sources) {
  const TunnelSource<Outer>* source = tunnel_source<Outer>(sources, line.port);
  if (source == nullptr) return;
  line.can |= Outer::kAddressBytes == 4 ? Adjacency::kTunnelIpv4 : Adjacency::kTunnelIpv6;
  std::copy(source->address.begin(), source->address.end(), line.source);
  std::memcpy(&line.varies, source->varies.data() + Outer::kAddressBytes - 4, 4);
  std::memcpy(line.destination, backend.address, Outer::kAddressBytes);
}

}  // namespace

bool Adjacencies::create(std::uint32_t backends, TableMemory memory) {
  memory_ = std::move(memory);
  lines_ = static_cast<Adjacency*>(memory_.allocate(std::size_t{backends} * sizeof(Adjacency)));
  if (lines_ == nullptr) return false;
  count_ = backends;
  return true;
}

Adjacencies::~Adjacencies() {
  if (lines_ != nullptr) memory_.release(lines_, std::size_t{count_} * sizeof(Adjacency));
}

void Adjacencies::work_out(Adjacency& line, std::uint32_t id, const ForwardingState& state,
                           const Routing& routing, Ticks now) const {
  line = Adjacency{};
  line.epoch = epoch_;
  const BackendRecord* backend = state.backend(id);
  if (backend == nullptr || id >= routing.backend_count) return;
  line.can = Adjacency::kIsThere;
  if (backend->overlay != OverlayKind::none) line.can |= Adjacency::kThroughOverlay;
  line.next_hop = routing.backend_next_hop(id);
  if (line.next_hop >= routing.next_hop_count) return;  // Also of several ways.
  const NextHop hop = routing.hop(line.next_hop);
  if (hop.state != NextHopState::reachable || hop.port >= kMaxPorts) return;
  line.can |= Adjacency::kLeave;
  if (hop.on_link != 0) line.can |= Adjacency::kReachByMac;
  line.port = static_cast<std::uint8_t>(hop.port);
  const bool ipv4 = backend->address_bytes == 4;
  EthernetHeader ethernet;
  std::memcpy(ethernet.destination, hop.destination_mac, 6);
  std::memcpy(ethernet.source, hop.source_mac, 6);
  ethernet.type = Be16::from_host(ipv4 ? Ipv4::kEtherType : Ipv6::kEtherType);
  std::memcpy(line.ethernet, &ethernet, sizeof(ethernet));
  line.mtu = static_cast<std::uint16_t>(mtu_towards(routing, hop.port, id, now));
  if (learned_mtu(routing, id, now) != 0) line.epoch = 0;  // It grows old by itself.
  if (ipv4) {
    set_tunnel<Ipv4>(line, *backend, routing.tunnel_sources());
  } else {
    set_tunnel<Ipv6>(line, *backend, routing.tunnel_sources());
  }
}

}  // namespace sluice
