// The stages at the end: what is refused or left to the kernel, the way out, and the rewrite.
#include <algorithm>

#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/rewrite.h"

namespace sluice {
namespace {

// Turns the packet into its answer. False: it gets none.
template <typename Family>
bool answer(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const ParsedBurst& parsed = pass.parsed();
  Burst& burst = pass.burst;
  if (parsed.group[p] || !is_single_host<Family>(lane.source[i])) return false;
  if ((parsed.tcp_flags[p] & kTcpRst) != 0) return false;
  if (parsed.protocol[p] != kProtocolTcp && parsed.protocol[p] != kProtocolUdp) return false;
  const bool fragment = parsed.form[p] != Form::whole;
  if (parsed.form[p] == Form::later_fragment || (fragment && parsed.protocol[p] == kProtocolTcp))
    return false;
  if (!pass.worker.answers.take(pass.now)) {
    pass.worker.counters.answers_limited.add(1);
    return false;
  }
  untag(pass, i);
  const std::uint32_t length = burst.length[p];
  const AnswerFrame frame{burst.data[p], length,       length + burst.tailroom(p),
                          parsed.l3[p],  parsed.l4[p], parsed.end[p]};
  const std::uint32_t made =
      parsed.protocol[p] == kProtocolTcp ? answer_tcp<Family>(frame) : answer_udp<Family>(frame);
  if (made == 0) {
    pass.worker.counters.answers_limited.add(1);
    return false;
  }
  burst.length[p] = burst.total_length[p] = made;
  return true;
}

// To a VIP's address only what is not TCP or UDP, and no more than ICMP of it, reaches the kernel.
template <typename Family>
void settle_served(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  if (parsed.not_for_vip[p] != DropReason::none) return pass.drop(i, parsed.not_for_vip[p]);
  switch (unserved_fate(parsed.protocol[p])) {
    case UnservedFate::refuse_port:
      if (parsed.group[p]) return pass.drop(i, DropReason::ethernet_group);
      return refuse(pass, i, DropReason::unserved_port);
    case UnservedFate::refuse_protocol:
      return pass.drop(i, DropReason::unserved_protocol);
    case UnservedFate::punt:
      break;
  }
}

// Routers split packets of IPv4 alone, and those whose sender lets them (RFC 791 3.2, 8200 5).
template <typename Family>
bool may_be_split(const std::uint8_t* l3) {
  if constexpr (Family::kAddressBytes == 4) {
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(l3);
    return (ip.fragment.host() & kIpv4DontFragment) == 0;
  } else {
    return false;
  }
}

// Makes the packet what is to leave, but for its MACs. False: it was dropped.
template <typename Family>
bool rewrite(Pass<Family>& pass, unsigned i, const NextHop& hop) {
  Lane<Family>& lane = pass.lane();
  const Action action = lane.action[i];
  if (action == Action::tunnel) return enter_tunnel(pass, i, hop);
  const bool overlay = action == Action::forward && lane.backend[i]->overlay != OverlayKind::none;
  // What goes into an overlay is measured before it is changed: it may have to be answered.
  const std::uint32_t overhead = overlay ? tunnel_overhead(pass, i) : 0;
  if (action != Action::answer && !fits(pass, i, hop.port, overhead)) return false;
  if (action == Action::forward || action == Action::reply) {
    const Form form = pass.parsed().form[lane.packet[i]];
    if (form == Form::whole || lane.crosses[i]) [[likely]] {
      if (!translate_packet(pass, i)) return false;
    } else if (form == Form::icmp_error) {
      translate_error(pass, i);
    } else if (!translate_fragment(pass, i)) {
      return false;
    }
  }
  if (overlay) return enter_tunnel(pass, i, hop);
  untag(pass, i);
  return true;
}

template <typename Family>
void count_sent(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  WorkerCounters& counters = pass.worker.counters;
  const std::uint64_t bytes = lane.bytes[i];
  switch (lane.action[i]) {
    case Action::direct:
    case Action::tunnel:
    case Action::forward:
      counters.backends[lane.backend[i]->id].packets_in.add(1);
      counters.backends[lane.backend[i]->id].bytes_in.add(bytes);
      break;
    case Action::reply:
      counters.backends[lane.backend[i]->id].packets_out.add(1);
      counters.backends[lane.backend[i]->id].bytes_out.add(bytes);
      counters.vips[lane.vip_counter[i]].packets_out.add(1);
      counters.vips[lane.vip_counter[i]].bytes_out.add(bytes);
      break;
    case Action::answer:
      counters.answers.add(1);
      break;
    case Action::none:
      break;
  }
}

}  // namespace

template <typename Family>
void untag(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  ParsedBurst& parsed = pass.parsed();
  if (parsed.vlan_tags[p] == 0) [[likely]]
    return;
  const std::uint32_t bytes = parsed.vlan_tags[p] * kVlanTagBytes;
  pass.burst.data[p] += bytes;
  pass.burst.length[p] -= bytes;
  pass.burst.total_length[p] -= bytes;
  parsed.l3[p] = static_cast<std::uint16_t>(parsed.l3[p] - bytes);
  parsed.l4[p] = static_cast<std::uint16_t>(parsed.l4[p] - bytes);
  parsed.end[p] -= bytes;
  parsed.vlan_tags[p] = 0;
}

template <typename Family>
void refuse(Pass<Family>& pass, unsigned i, DropReason reason) {
  Lane<Family>& lane = pass.lane();
  const auto address = pass.state.template find_address<Family>(lane.destination[i]);
  pass.drop(i, reason);
  if (address.served && address.unserved == Unserved::reject && answer(pass, i)) {
    lane.action[i] = Action::answer;
  }
}

template <typename Family>
bool fits(Pass<Family>& pass, unsigned i, std::uint16_t port, std::uint32_t overhead) {
  const Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const std::uint32_t backend =
      lane.action[i] == Action::reply ? ~std::uint32_t{0} : lane.backend[i]->id;
  const std::uint32_t bytes = pass.parsed().end[p] - pass.parsed().l3[p];
  const std::uint32_t mtu = mtu_towards(pass.routing, port, backend, pass.now);
  const std::int64_t most =
      std::int64_t{mtu} - overhead - static_cast<std::int32_t>(translation_growth(pass, i));
  if (bytes <= most) [[likely]]
    return true;
  if (may_be_split<Family>(pass.l3(i))) {
    pass.burst.mtu[p] = mtu;
    return true;
  }
  refuse_too_big(pass, i, static_cast<std::uint32_t>(std::max<std::int64_t>(most, 0)));
  return false;
}

template <typename Family>
void settle_others(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  for (unsigned i = 0; i < lane.count; ++i) {
    if (lane.path[i] != Path::other) continue;
    if (pass.state.template find_address<Family>(lane.destination[i]).served)
      settle_served(pass, i);
    if (lane.path[i] != Path::other) continue;
    // The kernel would take it for its own, or log a martian.
    if (pass.state.template find_address<Family>(lane.source[i]).served ||
        find_nat_source<Family>(pass.nat_sources, lane.source[i]) != nullptr) {
      pass.drop(i, DropReason::martian_source);
      continue;
    }
    pass.burst.verdict[lane.packet[i]] = Verdict::punt;
    lane.path[i] = Path::done;
  }
}

// Towards clients, by one longest-prefix match for the whole lane; backends have theirs beforehand.
template <typename Family>
void find_next_hops(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  typename Family::Address clients[Burst::kMax];
  NextHopIndex hops[Burst::kMax];
  std::uint8_t places[Burst::kMax];
  unsigned count = 0;
  for (unsigned i = 0; i < lane.count; ++i) {
    if (lane.action[i] != Action::reply && lane.action[i] != Action::answer) continue;
    if (lane.crosses[i] && lane.action[i] == Action::reply) continue;  // In the other's FIB.
    clients[count] =
        lane.action[i] == Action::answer ? lane.source[i] : lane.new_destination[i].address;
    hops[count] = kNoNextHop;
    places[count++] = static_cast<std::uint8_t>(i);
  }
  const Fib<Family>* fib = fib_of<Family>(pass.routing);
  if (count == 0) return;
  if (fib != nullptr) fib->lookup(clients, hops, count);
  for (unsigned n = 0; n < count; ++n) {
    if ((hops[n] & kMultipath) != 0) {
      const unsigned p = lane.packet[places[n]];
      const std::uint64_t hash = flow_hash<Family>(
          0, lane.source[places[n]], pass.parsed().source_port[p], lane.destination[places[n]],
          pass.parsed().destination_port[p], pass.parsed().protocol[p]);
      hops[n] = pass.routing.pick(hops[n], static_cast<std::uint32_t>(hash));
    }
    lane.next_hop[places[n]] = hops[n];
  }
}

namespace {

// The id that all fragments of a packet that is to be split will have. A fragment keeps the one it
// has, and so does what still comes from its sender's address.
template <typename Family>
void name_datagram(Pass<Family>& pass, unsigned i) {
  const Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  std::uint8_t* frame = burst.data[p];
  const auto& ethernet = *reinterpret_cast<const EthernetHeader*>(frame);
  if (ethernet.type != Be16::from_host(Ipv4::kEtherType)) {
    burst.fragment_id[p] = worker_flows<Ipv6>(pass.worker).fragments.next_id();
    return;
  }
  auto& ip = *reinterpret_cast<Ipv4Header*>(frame + sizeof(EthernetHeader));
  if ((ip.fragment.host() & (kIpv4FragmentOffset | kIpv4MoreFragments)) != 0) return;
  bool kept = false;
  if constexpr (Family::kAddressBytes == 4)
    kept = ip.id.raw != 0 && read_address<Ipv4>(ip.source) == lane.source[i];
  if (kept) return;
  const Be16 id = Be16::from_host(
      static_cast<std::uint16_t>(worker_flows<Ipv4>(pass.worker).fragments.next_id()));
  ChecksumDelta delta;
  delta.replace(ip.id, id);
  ip.id = id;
  ip.checksum = delta.apply(ip.checksum);
}

template <typename Family>
void send_one(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  Burst& burst = pass.burst;
  const Action action = lane.action[i];
  const NextHop hop = read_hop(pass.routing, lane.next_hop[i]);
  const DropReason reason = next_hop_refusal(hop, action == Action::direct);
  if (reason != DropReason::none) [[unlikely]] {
    // A refused packet whose answer finds no way has been counted already.
    if (action != Action::answer) pass.drop(i, reason);
    return;
  }
  if (!rewrite(pass, i, hop)) [[unlikely]] {
    // What was too long is an answer by now, which goes another way; no answer is refused again.
    if (action != Action::answer && lane.action[i] == Action::answer) send_one(pass, i);
    return;
  }
  const unsigned p = lane.packet[i];
  write_macs(burst.data[p], hop.destination_mac, hop.source_mac);
  burst.out_port[p] = hop.port;
  burst.next_hop[p] = lane.next_hop[i];
  if (burst.mtu[p] != 0) [[unlikely]]
    name_datagram(pass, i);
  burst.verdict[p] = hop.state == NextHopState::resolve ? Verdict::resolve
                     : burst.mtu[p] != 0                ? Verdict::split
                                                        : Verdict::transmit;
  count_sent(pass, i);
}

}  // namespace

template <typename Family>
void send(Pass<Family>& pass) {
  for (unsigned i = 0; i < pass.lane().count; ++i) {
    if (pass.lane().action[i] != Action::none) send_one(pass, i);
  }
}

#define SLUICE_INSTANTIATE(Family)                                                   \
  template void untag<Family>(Pass<Family>&, unsigned);                              \
  template bool fits<Family>(Pass<Family>&, unsigned, std::uint16_t, std::uint32_t); \
  template void refuse<Family>(Pass<Family>&, unsigned, DropReason);                 \
  template void settle_others<Family>(Pass<Family>&);                                \
  template void find_next_hops<Family>(Pass<Family>&);                               \
  template void send<Family>(Pass<Family>&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
