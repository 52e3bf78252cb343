// The decisions of the packet path that need no packet: shared by the pipeline's stages and by
// trace, so that what people are told is what happens.
//
// Thread: any, pure. Ownership: none. Errors: a DropReason, none when all is well.
#pragma once

#include <cstdint>

#include "dataplane/forward/pipeline.h"
#include "dataplane/packet/flow_hash.h"
#include "dataplane/packet/headers.h"

namespace sluice {

// A SYN that asks for a new connection.
inline bool opens(std::uint8_t tcp_flags) {
  return (tcp_flags & (kTcpSyn | kTcpAck | kTcpRst)) == kTcpSyn;
}

// Whether a packet that belongs to no flow may begin one. Full NAT cannot guess where an unknown
// connection went; the others can, by Maglev, so their flows survive a restart of the gateway.
inline bool may_start(Mode mode, std::uint8_t protocol, std::uint8_t tcp_flags) {
  if (protocol != kProtocolTcp || !translates(mode)) return true;
  return mode == Mode::nat ? opens(tcp_flags) : (tcp_flags & kTcpRst) == 0;
}

// The state of a direct-return flow after a packet from the client, the only side that is seen.
struct DirectStep {
  FlowState state;
  bool refresh;  // The entry's age becomes now. Weak entries keep that of their first packet.
};
inline DirectStep step_direct(FlowState state, std::uint16_t idle, bool tcp,
                              std::uint8_t tcp_flags) {
  const bool ends = tcp && (tcp_flags & (kTcpFin | kTcpRst)) != 0;
  if (!counts_as_weak(state)) return {ends ? FlowState::closing : state, true};
  // Nobody can verify an end here, and a flood of them must not make verified entries.
  if (ends) return {state, false};
  const bool acknowledges = !tcp || (tcp_flags & (kTcpAck | kTcpSyn)) == kTcpAck;
  if (acknowledges && idle >= kTicksPerSecond) return {FlowState::established, true};
  return {state, false};
}

// nullptr: there is one worker, or the port spreads nothing.
inline const Steering* steering_of(const PipelineConfig& config, std::uint16_t port) {
  if (config.workers <= 1 || port >= config.steering.size()) return nullptr;
  return config.steering[port].get();
}

// The worker that owns both directions of a full-NAT flow, by a packet that came in by this port.
template <typename Family>
std::uint16_t owner(const Steering& steering, const typename Family::Address& source,
                    const typename Family::Address& destination, Be16 source_port,
                    Be16 destination_port) {
  return steering.owner(
      steering.toeplitz().hash<Family>(source, destination, source_port, destination_port));
}

// The worker that owns both directions of a DNAT flow: those have the client's address and port in
// common, and no NIC hashes by that alone.
template <typename Family>
std::uint16_t dnat_owner(std::uint64_t key, const typename Family::Address& client,
                         Be16 client_port, std::uint16_t workers) {
  const std::uint64_t hash =
      flow_hash<Family>(key, client, client_port, typename Family::Address{}, Be16{}, 0);
  return static_cast<std::uint16_t>((hash >> 32) * workers >> 32);
}

template <typename Family>
const std::vector<NatSource<Family>>& nat_sources_of(const NatSources& sources) {
  if constexpr (Family::kAddressBytes == 4) {
    return sources.ipv4;
  } else {
    return sources.ipv6;
  }
}

// nullptr: the address is none of ours to translate to.
template <typename Family>
const NatSource<Family>* find_nat_source(const NatSources* sources,
                                         const typename Family::Address& address) {
  if (sources == nullptr) return nullptr;
  for (const NatSource<Family>& source : nat_sources_of<Family>(*sources)) {
    if (source.address == address) return &source;
  }
  return nullptr;
}

// Whether tunnels of any port may start at the address.
template <typename Family>
bool is_tunnel_source(const TunnelSources* sources, const typename Family::Address& address) {
  if (sources == nullptr) return false;
  for (const TunnelSources::Port& port : sources->ports) {
    const TunnelSource<Family>* source;
    if constexpr (Family::kAddressBytes == 4) {
      source = &port.ipv4;
    } else {
      source = &port.ipv6;
    }
    bool same = source->present;
    for (std::size_t n = 0; same && n < Family::kAddressBytes; ++n)
      same = ((address[n] ^ source->address[n]) & ~source->varies[n]) == 0;
    if (same) return true;
  }
  return false;
}

// `flow_hash_of()` is called only where the route has several ways: elsewhere a packet costs no
// hash.
template <typename FlowHashOf>
NextHopIndex backend_next_hop(const Routing& routing, std::uint32_t backend,
                              FlowHashOf flow_hash_of) {
  if (backend >= routing.backend_count) return kNoNextHop;
  const NextHopIndex index = routing.backend_next_hop(backend);
  if ((index & kMultipath) == 0) [[likely]]
    return index;
  return routing.pick(index, static_cast<std::uint32_t>(flow_hash_of()));
}

inline NextHop read_hop(const Routing& routing, NextHopIndex index) {
  return index < routing.next_hop_count ? routing.hop(index) : NextHop{};
}

// Why a packet cannot leave by this next hop. `by_mac`: to a backend that is to get it unchanged,
// so its own MAC is needed, and asking for that of the packet's destination would not find it.
inline DropReason next_hop_refusal(const NextHop& hop, bool by_mac) {
  if (hop.state == NextHopState::reachable && (!by_mac || hop.on_link != 0)) [[likely]]
    return DropReason::none;
  switch (hop.state) {
    case NextHopState::none:
      return DropReason::no_route;
    case NextHopState::local:
      return DropReason::route_local;
    case NextHopState::blackhole:
      return DropReason::route_blackhole;
    case NextHopState::resolve:
      if (by_mac) return DropReason::dsr_backend_unresolved;
      break;
    case NextHopState::reachable:
      if (by_mac && hop.on_link == 0) return DropReason::dsr_backend_not_on_link;
      break;
  }
  return DropReason::none;
}

inline constexpr std::uint32_t kNoBackend = ~std::uint32_t{0};  // For mtu_towards(): a client.

// What ICMP said of the way to the backend; it holds for ten minutes (RFC 1191, 8201). 0: nothing.
inline std::uint32_t learned_mtu(const Routing& routing, std::uint32_t backend, Ticks now) {
  constexpr std::uint16_t kHolds = 10 * 60 * kTicksPerSecond / 16;
  if (backend >= routing.backend_count) return 0;
  const std::uint32_t learned = routing.backend_path_mtu(backend);
  if (learned == 0) [[likely]]
    return 0;
  const auto age = static_cast<std::uint16_t>(now / 16 - (learned >> 16));
  return age <= kHolds ? learned & 0xffff : 0;
}

// The longest packet that reaches the backend by this port, in bytes of layer 3.
inline std::uint32_t mtu_towards(const Routing& routing, std::uint16_t port, std::uint32_t backend,
                                 Ticks now) {
  std::uint32_t mtu = port < kMaxPorts ? routing.port_mtu(port) : kDefaultMtu;
  const std::uint32_t learned = learned_mtu(routing, backend, now);
  if (learned != 0 && learned < mtu) [[unlikely]]
    mtu = learned;
  return mtu;
}

// The FIB of the family; nullptr: none yet.
template <typename Family>
inline const Fib<Family>* fib_of(const Routing& routing) {
  if constexpr (Family::kAddressBytes == 4) {
    return routing.fib_ipv4.get();
  } else {
    return routing.fib_ipv6.get();
  }
}

// What becomes of a TCP, UDP, SCTP, ICMP or other packet to a VIP's address that no VIP takes.
enum class UnservedFate : std::uint8_t { punt, refuse_port, refuse_protocol };
inline UnservedFate unserved_fate(std::uint8_t protocol) {
  if (protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp)
    return UnservedFate::refuse_port;
  if (protocol == kProtocolIcmp || protocol == kProtocolIcmp6) return UnservedFate::punt;
  return UnservedFate::refuse_protocol;
}

}  // namespace sluice
