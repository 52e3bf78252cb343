// The way into tunnels: to backends that answer clients directly, and through the overlay of a
// cluster to the node of a backend that answers through here.
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tunnel_rules.h"
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

// UDP sums up as many bytes as it has, the packet may have more behind it.
bool is_all_summed(const std::uint8_t* l4, std::uint8_t protocol, std::uint32_t bytes) {
  if (protocol == kProtocolTcp) return true;
  if (protocol != kProtocolUdp) return false;
  const auto& udp = *reinterpret_cast<const UdpHeader*>(l4);
  return udp.checksum.raw != 0 && udp.length.host() == bytes;
}

// What the outer UDP checksum over IPv6 needs to know of the packet.
template <typename Inner, typename Family>
void sum_inner(Pass<Family>& pass, unsigned i, InnerPacket& inner) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  const std::uint8_t* l3 = pass.l3(i);
  const std::uint8_t protocol = parsed.protocol[p];
  const bool has_checksum = parsed.form[p] == Form::whole &&
                            is_all_summed(pass.l4(i), protocol, parsed.end[p] - parsed.l4[p]);
  if (has_checksum) {
    const auto l4_offset = static_cast<std::uint32_t>(parsed.l4[p] - parsed.l3[p]);
    inner.sum = sum_by_checksums<Inner>(l3, protocol, l4_offset, inner.l3_bytes - l4_offset);
    inner.summed = true;
  } else if (pass.burst.length[p] >= parsed.end[p]) {
    inner.sum = sum_bytes(l3, inner.l3_bytes);
    inner.summed = true;
  }
}

// `Inner`: of the packet as it is now; NAT64 has made it one of the other family.
template <typename Outer, typename Inner, typename Family>
bool enter(Pass<Family>& pass, unsigned i, const NextHop& hop, const Remote& remote) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  const ParsedBurst& parsed = pass.parsed();
  const std::uint32_t overhead = tunnel_bytes(remote.kind, Outer::kAddressBytes);
  // What goes into an overlay has been measured before it was translated.
  if (lane.action[i] == Action::tunnel && !fits(pass, i, hop.port, overhead)) return false;
  const TunnelSource<Outer>* source = tunnel_source<Outer>(pass.tunnel_sources, hop.port);
  if (source == nullptr) [[unlikely]] {
    pass.drop(i, DropReason::tunnel_no_source);
    return false;
  }
  if (burst.headroom(p) + parsed.l3[p] < overhead + sizeof(EthernetHeader)) [[unlikely]] {
    pass.drop(i, DropReason::tunnel_headroom);
    return false;
  }
  std::uint8_t* l3 = burst.data[p] + parsed.l3[p];
  if (lane.action[i] == Action::tunnel) age_one_hop<Family>(l3);
  InnerPacket inner = inner_packet<Inner>(l3, parsed.end[p] - parsed.l3[p]);
  if (Outer::kAddressBytes == 16 && remote.kind != TunnelKind::ipip)
    sum_inner<Inner>(pass, i, inner);
  OuterHeader<Outer> outer;
  outer.kind = remote.kind;
  outer.entropy =
      tunnel_entropy<Family>(lane.source[i], parsed.source_port[p], parsed.destination_port[p]);
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

template <typename Inner, typename Family>
bool enter_remote(Pass<Family>& pass, unsigned i, const NextHop& hop, const Remote& remote) {
  return remote.address_bytes == 4 ? enter<Ipv4, Inner>(pass, i, hop, remote)
                                   : enter<Ipv6, Inner>(pass, i, hop, remote);
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
  if constexpr (Family::kAddressBytes == 16) {
    if (pass.lane().crosses[i]) return enter_remote<Ipv4>(pass, i, hop, remote);
  }
  return enter_remote<Family>(pass, i, hop, remote);
}

template std::uint32_t tunnel_overhead<Ipv4>(const Pass<Ipv4>&, unsigned);
template std::uint32_t tunnel_overhead<Ipv6>(const Pass<Ipv6>&, unsigned);
template bool enter_tunnel<Ipv4>(Pass<Ipv4>&, unsigned, const NextHop&);
template bool enter_tunnel<Ipv6>(Pass<Ipv6>&, unsigned, const NextHop&);

}  // namespace sluice
