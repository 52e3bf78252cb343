// Translation: what NAT and DNAT make of a packet, and with TCP and SCTP more than addresses and
// ports.
#include <algorithm>
#include <cstring>

#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tcp_translation.h"
#include "dataplane/packet/encapsulate.h"
#include "dataplane/packet/icmp_error.h"
#include "dataplane/packet/rewrite.h"
#include "dataplane/packet/sctp.h"

namespace sluice {
namespace {

// What an overlay takes from the MTU towards the backend.
std::uint32_t overlay_bytes(const ForwardingState& state, const BackendRecord& backend) {
  if (backend.overlay == OverlayKind::none) return 0;
  const OverlayRecord* overlay = state.overlay(backend.id);
  if (overlay == nullptr) return 0;
  const TunnelKind kind =
      overlay->kind == OverlayKind::vxlan ? TunnelKind::vxlan : TunnelKind::ipip;
  return tunnel_bytes(kind, overlay->remote_bytes);
}

// What the receiver of this SYN or SYN-ACK may send: it comes back the way this one came, and is
// then what the gateway makes of it.
template <typename Family>
std::uint16_t mss_limit(Pass<Family>& pass, unsigned i) {
  const Lane<Family>& lane = pass.lane();
  const std::uint16_t port = pass.burst.in_port[lane.packet[i]];
  if (lane.action[i] == Action::forward)
    return mss_for<Family>(mtu_towards(pass.routing, port, kNoBackend, pass.now), 0);
  const BackendRecord& backend = *lane.backend[i];
  const std::uint32_t added = overlay_bytes(pass.state, backend) + lane.tcp[i].header_bytes();
  return mss_for<Family>(mtu_towards(pass.routing, port, backend.id, pass.now), added);
}

// False: the packet was dropped.
template <typename Family>
bool put_proxy_header(Pass<Family>& pass, unsigned i) {
  constexpr std::uint32_t kBytes = kProxyHeaderBytes<Family>;
  const Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  ParsedBurst& parsed = pass.parsed();
  const std::uint32_t room = burst.headroom(p) + parsed.vlan_tags[p] * kVlanTagBytes;
  if (room < kBytes) {
    pass.drop(i, DropReason::proxy_headroom);
    return false;
  }
  untag(pass, i);
  std::uint8_t* start = insert_proxy_header<Family>(burst.data[p], parsed.l3[p], parsed.l4[p],
                                                    {lane.source[i], lane.key[i].client_port},
                                                    {lane.destination[i], lane.key[i].vip_port});
  if (start == nullptr) {
    pass.drop(i, DropReason::too_big);
    return false;
  }
  burst.data[p] = start;
  burst.length[p] += kBytes;
  burst.total_length[p] += kBytes;
  parsed.end[p] += kBytes;
  return true;
}

// False: the packet was dropped.
template <typename Family>
bool adapt_tcp(Pass<Family>& pass, unsigned i) {
  const Lane<Family>& lane = pass.lane();
  if (!has_tcp_header(pass, i)) {
    pass.drop(i, DropReason::split_header);
    return false;
  }
  std::uint8_t* tcp = pass.l4(i);
  const TcpTranslation& translation = lane.tcp[i];
  if ((pass.parsed().tcp_flags[lane.packet[i]] & kTcpSyn) != 0)
    clamp_tcp_mss(tcp, mss_limit(pass, i));
  if (!translation.any()) return true;
  if (lane.action[i] == Action::reply) {
    translate_tcp_to_client(translation, tcp);
    return true;
  }
  const bool header = carries_proxy_header(translation, tcp);
  translate_tcp_to_backend(translation, tcp);
  return !header || put_proxy_header(pass, i);
}

// False: the packet was dropped.
template <typename Family>
bool cross_families(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  ParsedBurst& parsed = pass.parsed();
  const std::uint32_t headroom = burst.headroom(p) + parsed.vlan_tags[p] * kVlanTagBytes;
  untag(pass, i);
  CrossingFrame frame{burst.data[p], headroom,      burst.length[p],   parsed.l3[p],
                      parsed.l4[p],  parsed.end[p], parsed.protocol[p]};
  const bool whole = parsed.form[p] == Form::whole;
  const std::uint32_t id = whole ? ++pass.worker.tunnel_id : burst.hint(p).id;
  const DropReason reason =
      cross<Family>(frame, lane.other_source[i], lane.other_destination[i], id);
  if (reason != DropReason::none) {
    pass.drop(i, reason);
    return false;
  }
  burst.total_length[p] += frame.length - burst.length[p];  // Modulo 2^32: it may be less.
  burst.data[p] = frame.frame;
  burst.length[p] = frame.length;
  parsed.l3[p] = static_cast<std::uint16_t>(frame.l3);
  parsed.l4[p] = static_cast<std::uint16_t>(frame.l4);
  parsed.end[p] = frame.end;
  return true;
}

// An ICMP error becomes one of the other family. What it quotes went the other way. False: the
// packet was dropped.
template <typename Family>
bool cross_error(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  ParsedBurst& parsed = pass.parsed();
  Burst& burst = pass.burst;
  const std::uint32_t headroom = burst.headroom(p) + parsed.vlan_tags[p] * kVlanTagBytes;
  untag(pass, i);
  // Its checksum is made anew: a wrong one must not become right by that.
  Quote<Family> quote;
  if (parsed.end[p] > burst.length[p] ||
      find_quote<Family>(burst.data[p], burst.length[p], parsed.l4[p], parsed.end[p], quote) !=
          DropReason::none ||
      !icmp_checksum_right<Family>(pass.l3(i), pass.l4(i), parsed.end[p] - parsed.l4[p])) {
    pass.drop(i, DropReason::icmp_quote);
    return false;
  }
  ErrorTranslation<Other<Family>> translation;
  translation.quoted_source = lane.other_destination[i];
  translation.quoted_destination = lane.other_source[i];
  translation.source = lane.other_source[i].address;
  translation.destination = lane.other_destination[i].address;
  CrossingFrame error;
  error.frame = burst.data[p];
  error.length = burst.length[p];
  error.l3 = parsed.l3[p];
  error.l4 = parsed.l4[p];
  error.end = parsed.end[p];
  error.protocol = parsed.protocol[p];
  std::uint8_t made[kMostErrorBytes];
  const std::uint32_t room = headroom + burst.length[p] - parsed.l3[p];
  const std::uint32_t bytes = cross_error<Family>(
      error, quote, translation, ++pass.worker.tunnel_id, made, std::min(room, kMostErrorBytes));
  if (bytes == 0) {
    pass.drop(i, DropReason::icmp_no_flow);  // It means nothing there.
    return false;
  }
  const std::uint32_t length = parsed.l3[p] + bytes;
  if (length > burst.length[p]) burst.data[p] -= length - burst.length[p];
  burst.length[p] = burst.total_length[p] = length;
  std::uint8_t* l3 = pass.l3(i);
  const Be16 ether_type = Be16::from_host(Other<Family>::kEtherType);
  std::memcpy(l3 - sizeof(ether_type), &ether_type, sizeof(ether_type));
  std::memcpy(l3, made, bytes);
  parsed.l4[p] = static_cast<std::uint16_t>(parsed.l3[p] + sizeof(IpHeader<Other<Family>>));
  parsed.end[p] = length;
  return true;
}

}  // namespace

template <typename Family>
bool has_tcp_header(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(pass.l4(i));
  return pass.parsed().l4[p] + tcp.header_bytes() <= pass.burst.length[p];
}

template <typename Family>
std::uint32_t translation_growth(Pass<Family>& pass, unsigned i) {
  const Lane<Family>& lane = pass.lane();
  if (lane.crosses[i]) [[unlikely]] {
    const unsigned p = lane.packet[i];
    return static_cast<std::uint32_t>(
        crossing_growth<Family>(pass.l3(i), pass.parsed().l4[p] - pass.parsed().l3[p]));
  }
  if (lane.action[i] != Action::forward || lane.tcp[i].header_bytes() == 0) [[likely]]
    return 0;
  if (pass.parsed().form[lane.packet[i]] != Form::whole) return 0;
  return carries_proxy_header(lane.tcp[i], pass.l4(i)) ? lane.tcp[i].header_bytes() : 0;
}

template <typename Family>
bool translate_packet(Pass<Family>& pass, unsigned i) {
  const Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  const unsigned p = lane.packet[i];
  const std::uint8_t protocol = parsed.protocol[p];
  if (protocol == kProtocolTcp && parsed.form[p] != Form::later_fragment) {
    const bool more = lane.tcp[i].any() || (parsed.tcp_flags[p] & kTcpSyn) != 0;
    if (more && !adapt_tcp(pass, i)) return false;
  } else if (protocol == kProtocolSctp) {
    translate_sctp_ports(pass.l4(i), parsed.end[p] - parsed.l4[p], lane.new_source[i].port,
                         lane.new_destination[i].port);
  }
  if (lane.crosses[i]) [[unlikely]]
    return parsed.form[p] == Form::icmp_error ? cross_error(pass, i) : cross_families(pass, i);
  translate<Family>(pass.l3(i), pass.l4(i), protocol, lane.new_source[i], lane.new_destination[i]);
  return true;
}

#define SLUICE_INSTANTIATE(Family)                                            \
  template bool has_tcp_header<Family>(Pass<Family>&, unsigned);              \
  template std::uint32_t translation_growth<Family>(Pass<Family>&, unsigned); \
  template bool translate_packet<Family>(Pass<Family>&, unsigned);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
