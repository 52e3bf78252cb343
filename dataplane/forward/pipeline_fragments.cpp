// Fragments: gathered by datagram, so that each is treated as its flow's whole packets are; and
// translated without a transport header of their own.
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"

namespace sluice {
namespace {

// Whether it may be a flow's, as far as can be told without ports. IPv6 may hide the transport
// protocol of a later fragment. ICMP is the kernel's, which puts it together itself.
template <typename Family>
bool may_be_ours(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const ParsedBurst& parsed = pass.parsed();
  if (parsed.not_for_vip[p] != DropReason::none || parsed.group[p]) return false;
  if (parsed.protocol[p] == kProtocolIcmp || parsed.protocol[p] == kProtocolIcmp6) return false;
  // What DNAT backends answer with is known by port alone.
  return pass.state.has_dnat() ||
         pass.state.template find_address<Family>(lane.destination[i]).served ||
         find_nat_source<Family>(pass.nat_sources, lane.destination[i]) != nullptr;
}

template <typename Family>
typename FragmentStore<Family>::Piece piece_of(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const ParsedBurst& parsed = pass.parsed();
  typename FragmentStore<Family>::Piece piece;
  piece.source = lane.source[i];
  piece.destination = lane.destination[i];
  piece.protocol = parsed.protocol[p];
  piece.source_port = parsed.source_port[p];
  piece.destination_port = parsed.destination_port[p];
  piece.handle = pass.burst.handle[p];
  piece.by_software = pass.burst.hint(p).by_software;
  if constexpr (Family::kAddressBytes == 4) {
    const auto& ip = *reinterpret_cast<const Ipv4Header*>(pass.l3(i));
    piece.id = ip.id.host();
    piece.offset = (ip.fragment.host() & kIpv4FragmentOffset) * 8u;
    piece.more = (ip.fragment.host() & kIpv4MoreFragments) != 0;
    piece.length = parsed.end[p] - parsed.l4[p];
  } else {
    const std::uint8_t* header = pass.burst.data[p] + parsed.fragment[p];
    Be16 field;
    std::memcpy(&field, header + 2, sizeof(field));
    piece.id = read32(header + 4);
    piece.offset = field.host() & kIpv6FragmentOffset;
    piece.more = (field.host() & kIpv6MoreFragments) != 0;
    piece.length = parsed.end[p] - parsed.fragment[p] - 8u;
  }
  return piece;
}

// Where nothing spreads packets over workers, all fragments of a datagram go to one of them.
template <typename Family>
bool hand_to_gatherer(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  FragmentHint hint = burst.hint(p);
  if (burst.steered[p] || hint.by_software) return false;
  const Steering* steering = steering_of(pass.worker.config, burst.in_port[p]);
  if (steering == nullptr) return false;
  hint.by_software = true;
  burst.set_hint(p, hint);
  const std::uint16_t worker =
      owner<Family>(*steering, lane.source[i], lane.destination[i], Be16{}, Be16{});
  if (worker == pass.worker.config.worker || worker >= pass.worker.config.workers) return false;
  burst.verdict[p] = Verdict::hand_over;
  burst.out_worker[p] = worker;
  pass.worker.counters.handed_over.add(1);
  lane.path[i] = Path::done;
  return true;
}

template <typename Family>
void gather(Pass<Family>& pass, unsigned i) {
  using Store = FragmentStore<Family>;
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  FragmentHint hint = pass.burst.hint(p);
  if (!hint.known) {
    if (!may_be_ours(pass, i) || hand_to_gatherer(pass, i)) return;
    const typename Store::Seen seen = pass.flows.fragments.see(piece_of(pass, i), pass.now);
    if (seen.fate == Store::Fate::refuse) return pass.drop(i, seen.reason);
    if (seen.fate == Store::Fate::hold) {
      pass.burst.verdict[p] = Verdict::hold;
      lane.path[i] = Path::done;
      return;
    }
    hint = seen.hint;
    pass.burst.set_hint(p, hint);
  }
  ParsedBurst& parsed = pass.parsed();
  parsed.protocol[p] = hint.protocol;
  parsed.source_port[p] = hint.source_port;
  parsed.destination_port[p] = hint.destination_port;
}

// Two senders behind one address of ours may use the same id.
template <typename Family>
void replace_id(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  const std::uint32_t id = pass.burst.hint(p).id;
  if constexpr (Family::kAddressBytes == 4) {
    auto& ip = *reinterpret_cast<Ipv4Header*>(pass.l3(i));
    const Be16 after = Be16::from_host(static_cast<std::uint16_t>(id));
    ChecksumDelta delta;
    delta.replace(ip.id, after);
    ip.id = after;
    ip.checksum = delta.apply(ip.checksum);
  } else {
    write32(pass.burst.data[p] + pass.parsed().fragment[p] + 4, id);
  }
}

}  // namespace

template <typename Family>
void gather_fragments(Pass<Family>& pass) {
  for (unsigned i = 0; i < pass.lane().count; ++i) {
    if (pass.parsed().form[pass.lane().packet[i]] != Form::whole) gather(pass, i);
  }
}

template <typename Family>
bool translate_fragment(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const std::uint8_t protocol = pass.parsed().protocol[p];
  const bool tcp = protocol == kProtocolTcp && pass.parsed().form[p] == Form::first_fragment;
  if (tcp && !has_tcp_header(pass, i)) {
    pass.drop(i, DropReason::split_header);
    return false;
  }
  // The CRC covers the whole packet, and changes by what depends on its length, which only the last
  // fragment tells.
  if (protocol == kProtocolSctp && pass.parsed().form[p] == Form::first_fragment &&
      (lane.new_source[i].port != pass.parsed().source_port[p] ||
       lane.new_destination[i].port != pass.parsed().destination_port[p])) {
    pass.drop(i, DropReason::sctp_fragment);
    return false;
  }
  // There is no room for a PROXY header between fragments; the handshake's ACK brings it.
  if (tcp && lane.action[i] == Action::forward && carries_proxy_header(lane.tcp[i], pass.l4(i))) {
    pass.drop(i, DropReason::proxy_headroom);
    return false;
  }
  if (lane.new_source[i].address != lane.source[i]) replace_id(pass, i);
  if (pass.parsed().form[p] == Form::later_fragment) {
    translate_addresses<Family>(pass.l3(i), lane.new_source[i].address,
                                lane.new_destination[i].address);
    return true;
  }
  translate<Family>(pass.l3(i), pass.l4(i), protocol, lane.new_source[i], lane.new_destination[i]);
  if (!tcp) return true;
  if (lane.action[i] == Action::forward) {
    translate_tcp_to_backend(lane.tcp[i], pass.l4(i));
  } else {
    translate_tcp_to_client(lane.tcp[i], pass.l4(i));
  }
  return true;
}

#define SLUICE_INSTANTIATE(Family)                       \
  template void gather_fragments<Family>(Pass<Family>&); \
  template bool translate_fragment<Family>(Pass<Family>&, unsigned);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
