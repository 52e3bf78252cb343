// The way into tunnels: to backends that answer clients directly, and through the overlay of a
// cluster to the node of a backend that answers through here.
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/packet/encapsulate.h"

namespace sluice {
namespace {

// Where a tunnel leads.
struct Remote {
  TunnelKind kind = TunnelKind::none;
  std::uint8_t address_bytes = 4;
  const std::uint8_t* address = nullptr;
  const OverlayRecord* overlay = nullptr;  // For an overlay.
};

template <typename Family>
Remote remote_of(const Pass<Family>& pass, unsigned i) {
  const Lane<Family>& lane = pass.flows.lane;
  const BackendRecord& backend = *lane.backend[i];
  if (lane.action[i] == Action::tunnel) {
    const TunnelKind kind = lane.vip[i]->mode == Mode::gue ? TunnelKind::gue : TunnelKind::ipip;
    return {kind, backend.address_bytes, backend.address, nullptr};
  }
  if (lane.action[i] != Action::forward || backend.overlay == OverlayKind::none) return {};
  const OverlayRecord* overlay = pass.state.overlay(backend.id);
  if (overlay == nullptr) return {};
  const TunnelKind kind =
      overlay->kind == OverlayKind::vxlan ? TunnelKind::vxlan : TunnelKind::ipip;
  return {kind, overlay->remote_bytes, overlay->remote, overlay};
}

// Differs from flow to flow, and tells nothing of the keyed hashes.
template <typename Family>
std::uint32_t entropy_of(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  std::uint64_t h =
      std::uint64_t{pass.parsed().source_port[p].raw} << 16 | pass.parsed().destination_port[p].raw;
  for (std::size_t at = 0; at < Family::kAddressBytes; at += 4) {
    std::uint32_t word;
    std::memcpy(&word, pass.lane().source[i].data() + at, sizeof(word));
    h = (h << 32 | h >> 32) ^ word;
    h *= 0x9e3779b97f4a7c15u;
    h ^= h >> 32;  // A product's lower bits know nothing of its factors' upper ones.
  }
  h *= 0xff51afd7ed558ccdu;
  return static_cast<std::uint32_t>(h >> 32);
}

template <typename Outer>
const TunnelSource<Outer>* source_of(const TunnelSources* sources, std::uint16_t port) {
  if (sources == nullptr || port >= sources->ports.size()) return nullptr;
  if constexpr (Outer::kAddressBytes == 4) {
    return sources->ports[port].ipv4.present ? &sources->ports[port].ipv4 : nullptr;
  } else {
    return sources->ports[port].ipv6.present ? &sources->ports[port].ipv6 : nullptr;
  }
}

template <typename Outer>
typename Outer::Address vary(const TunnelSource<Outer>& source, std::uint32_t entropy) {
  typename Outer::Address address = source.address;
  std::uint32_t low, varies;
  std::memcpy(&low, address.data() + Outer::kAddressBytes - 4, sizeof(low));
  std::memcpy(&varies, source.varies.data() + Outer::kAddressBytes - 4, sizeof(varies));
  low = (low & ~varies) | (entropy & varies);
  std::memcpy(address.data() + Outer::kAddressBytes - 4, &low, sizeof(low));
  return address;
}

template <typename Family>
InnerPacket inner_of(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  const std::uint8_t* l3 = pass.l3(i);
  InnerPacket inner;
  inner.l3_bytes = parsed.end[p] - parsed.l3[p];
  inner.traffic_class = traffic_class<Family>(l3);
  if constexpr (Family::kAddressBytes == 4) {
    inner.protocol = kProtocolIpv4;
    const Be16 fragment = reinterpret_cast<const Ipv4Header*>(l3)->fragment;
    inner.may_fragment = (fragment.host() & kIpv4DontFragment) == 0;
  } else {
    inner.protocol = kProtocolIpv6;
  }
  return inner;
}

// What the outer UDP checksum over IPv6 needs to know of the packet.
template <typename Family>
void sum_inner(Pass<Family>& pass, unsigned i, InnerPacket& inner) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  const std::uint8_t* l3 = pass.l3(i);
  const std::uint8_t protocol = parsed.protocol[p];
  const bool has_checksum = parsed.form[p] == Form::whole &&
                            (protocol == kProtocolTcp ||
                             (protocol == kProtocolUdp &&
                              reinterpret_cast<const UdpHeader*>(pass.l4(i))->checksum.raw != 0));
  if (has_checksum) {
    const auto l4_offset = static_cast<std::uint32_t>(parsed.l4[p] - parsed.l3[p]);
    inner.sum = sum_by_checksums<Family>(l3, protocol, l4_offset, inner.l3_bytes - l4_offset);
    inner.summed = true;
  } else if (pass.burst.length[p] >= parsed.end[p]) {
    inner.sum = sum_bytes(l3, inner.l3_bytes);
    inner.summed = true;
  }
}

template <typename Family, typename Outer>
bool enter(Pass<Family>& pass, unsigned i, const NextHop& hop, const Remote& remote) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  const ParsedBurst& parsed = pass.parsed();
  const std::uint32_t overhead = tunnel_bytes(remote.kind, Outer::kAddressBytes);
  if (!fits(pass, i, hop.port, overhead)) return false;
  const TunnelSource<Outer>* source = source_of<Outer>(pass.tunnel_sources, hop.port);
  if (source == nullptr) [[unlikely]] {
    pass.drop(i, DropReason::tunnel_no_source);
    return false;
  }
  if (burst.headroom[p] + parsed.l3[p] < overhead + sizeof(EthernetHeader)) [[unlikely]] {
    pass.drop(i, DropReason::tunnel_headroom);
    return false;
  }
  std::uint8_t* l3 = burst.data[p] + parsed.l3[p];
  if (lane.action[i] == Action::tunnel) age_one_hop<Family>(l3);
  InnerPacket inner = inner_of(pass, i);
  if (Outer::kAddressBytes == 16 && remote.kind != TunnelKind::ipip) sum_inner(pass, i, inner);
  OuterHeader<Outer> outer;
  outer.kind = remote.kind;
  outer.entropy = entropy_of(pass, i);
  outer.source = vary(*source, outer.entropy);
  std::memcpy(outer.destination.data(), remote.address, Outer::kAddressBytes);
  outer.port = Be16::from_host(kGuePort);
  if (remote.overlay != nullptr) {
    outer.port = remote.overlay->port;
    outer.vni = remote.overlay->vni;
    outer.inner_mac = remote.overlay->mac;
    outer.inner_from = hop.source_mac;
  }
  if (inner.may_fragment) outer.id = ++pass.worker.tunnel_id;
  // Ethernet padding goes: behind an outer header nothing would tell it from the packet.
  if (burst.length[p] == burst.total_length[p]) [[likely]]
    burst.length[p] = burst.total_length[p] = parsed.end[p];
  std::uint8_t* start = encapsulate<Outer>(l3, outer, inner);
  const auto grown = static_cast<std::uint32_t>(burst.data[p] - start);  // Less than 0 with tags.
  burst.data[p] = start;
  burst.length[p] += grown;
  burst.total_length[p] += grown;
  return true;
}

}  // namespace

template <typename Family>
std::uint32_t tunnel_overhead(const Pass<Family>& pass, unsigned i) {
  const Remote remote = remote_of(pass, i);
  return tunnel_bytes(remote.kind, remote.address_bytes);
}

template <typename Family>
bool enter_tunnel(Pass<Family>& pass, unsigned i, const NextHop& hop) {
  const Remote remote = remote_of(pass, i);
  return remote.address_bytes == 4 ? enter<Family, Ipv4>(pass, i, hop, remote)
                                   : enter<Family, Ipv6>(pass, i, hop, remote);
}

template std::uint32_t tunnel_overhead<Ipv4>(const Pass<Ipv4>&, unsigned);
template std::uint32_t tunnel_overhead<Ipv6>(const Pass<Ipv6>&, unsigned);
template bool enter_tunnel<Ipv4>(Pass<Ipv4>&, unsigned, const NextHop&);
template bool enter_tunnel<Ipv6>(Pass<Ipv6>&, unsigned, const NextHop&);

}  // namespace sluice
