// ICMP errors: those that come in go to the flow they are about, translated as its packets are; and
// those that are made here, for packets that are too long or too old.
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/packet/icmp_error.h"

namespace sluice {
namespace {

template <typename Family>
DropReason quote_of(Pass<Family>& pass, unsigned i, Quote<Family>& quote) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  return find_quote<Family>(pass.burst.data[p], pass.burst.length[p], parsed.l4[p], parsed.end[p],
                            quote);
}

// To a VIP: about a packet that it sent to a client.
template <typename Family>
void find_client_error(Pass<Family>& pass, unsigned i, const Quote<Family>& quote) {
  if (!quote.has_ports() && !quote.later_fragment) return;  // About the kernel's own, as a ping.
  if (quote.later_fragment) return pass.drop(i, DropReason::icmp_no_flow);
  const std::uint32_t hash =
      pass.state.template vip_hash<Family>(quote.source, quote.protocol, quote.source_port);
  const VipBlock* vip = pass.state.template find_vip<Family>(
      quote.source, quote.protocol, quote.source_port, hash, pass.state.vip_candidate(hash));
  if (vip == nullptr) return pass.drop(i, DropReason::icmp_no_flow);
  Lane<Family>& lane = pass.lane();
  lane.path[i] = Path::client_error;
  lane.vip[i] = vip;
  lane.key[i] = {quote.destination, quote.destination_port, quote.source_port, vip->id};
}

// About a packet that went to a backend translated: by NAT, from an address of ours; by DNAT, from
// the client's.
template <typename Family>
void find_reply_error(Pass<Family>& pass, unsigned i, const NatSource<Family>* source,
                      const Quote<Family>& quote) {
  if (!quote.has_ports()) return;
  Lane<Family>& lane = pass.lane();
  if (source != nullptr) {
    const std::uint16_t port = quote.source_port.host();
    if (port < pass.nat_sources->first_port || port > pass.nat_sources->last_port) return;
    lane.key[i] = {quote.destination, quote.destination_port, quote.source_port,
                   source->id(quote.protocol)};
  } else if (pass.state.template is_dnat_endpoint<Family>(quote.destination, quote.protocol,
                                                          quote.destination_port)) {
    lane.key[i] = {quote.source, quote.source_port, quote.destination_port,
                   dnat_reply_id<Family>(quote.destination, quote.protocol)};
  } else {
    return;
  }
  lane.path[i] = Path::reply_error;
}

template <typename Family>
void find_error(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const bool served = pass.state.template find_address<Family>(lane.destination[i]).served;
  const NatSource<Family>* source = find_nat_source<Family>(pass.nat_sources, lane.destination[i]);
  const bool tunnel = is_tunnel_source<Family>(pass.tunnel_sources, lane.destination[i]);
  if (!served && source == nullptr && !tunnel && !pass.state.has_dnat()) return;
  if (pass.parsed().group[p] || pass.parsed().not_for_vip[p] != DropReason::none) return;
  Quote<Family> quote;
  DropReason reason = quote_of(pass, i, quote);
  // Whom it tells of a packet must have sent that packet.
  if (reason == DropReason::none && quote.source != lane.destination[i]) {
    reason = DropReason::icmp_quote;
  }
  if (reason != DropReason::none) return pass.drop(i, reason);
  if (!is_single_host<Family>(lane.source[i])) return pass.drop(i, DropReason::martian_source);
  if (served) {
    find_client_error(pass, i, quote);
  } else if (!tunnel || !relay_tunnel_error(pass, i)) {
    find_reply_error(pass, i, source, quote);
  }
  if (is_in_flow(lane.path[i])) pass.parsed().form[p] = Form::icmp_error;
}

// The translation of a flow's other packets, as an error needs it.
template <typename Family>
bool follow_record(Pass<Family>& pass, unsigned i, const NatRecord<Family>& record) {
  Lane<Family>& lane = pass.lane();
  const BackendRecord* backend = pass.state.backend(record.backend_id);
  if (backend == nullptr) return false;
  lane.backend[i] = backend;
  lane.tcp[i] = record.translation;
  if (record.crosses()) {
    if constexpr (Family::kAddressBytes == 16) {
      if (lane.path[i] != Path::client_error) return false;
      lane.action[i] = Action::forward;
      lane.crosses[i] = true;
      lane.other_source[i] = {unmap(record.source.address), record.source.port};
      lane.other_destination[i] = {unmap(record.backend.address), record.backend.port};
      return true;
    }
    return false;
  }
  if (lane.path[i] == Path::client_error) {
    lane.action[i] = Action::forward;
    lane.new_source[i] = record.source;
    lane.new_destination[i] = record.backend;
    // The backend has no way to a router's address but with DNAT.
    if (!record.dnat()) lane.source[i] = record.source.address;
    return true;
  }
  // A DNAT reply's key has only a number for the backend's address.
  Quote<Family> quote;
  if (quote_of(pass, i, quote) != DropReason::none) return false;
  if (record.backend.address != quote.destination) return false;
  lane.action[i] = Action::reply;
  lane.new_source[i] = {record.vip, record.forward.vip_port};
  lane.new_destination[i] = {record.forward.client, record.forward.client_port};
  lane.vip_counter[i] = record.vip_counter;
  lane.source[i] = record.vip;
  return true;
}

// From an IPv4 router about a packet of an IPv6 client's flow.
template <typename Family>
bool follow_across(Pass<Family>& pass, unsigned i) {
  if constexpr (Family::kAddressBytes == 4) {
    Lane<Family>& lane = pass.lane();
    WorkerFlows<Ipv6>& other = worker_flows<Ipv6>(pass.worker);
    const FlowKey<Family>& v4 = lane.key[i];
    if (lane.path[i] != Path::reply_error || is_dnat_reply(v4.vip_id)) return false;
    if (!other.nat.has_crossed()) return false;
    const FlowKey<Ipv6> key{map_to_ipv6(v4.client), v4.client_port, v4.vip_port, v4.vip_id};
    const Slot slot = other.table->find(key, other.table->hash(key));
    if (slot == kNoSlot || other.table->link(slot) == kNatTombstone) return false;
    const NatRecord<Ipv6>& record = other.nat.records()[other.table->link(slot).index()];
    const BackendRecord* backend = pass.state.backend(record.backend_id);
    if (backend == nullptr) return false;
    lane.action[i] = Action::reply;
    lane.crosses[i] = true;
    lane.other_source[i] = {record.vip, record.forward.vip_port};
    lane.other_destination[i] = {record.forward.client, record.forward.client_port};
    lane.tcp[i] = record.translation;
    lane.vip_counter[i] = record.vip_counter;
    lane.backend[i] = backend;
    lane.next_hop[i] = kNoNextHop;
    if (const Fib<Ipv6>* fib = fib_of<Ipv6>(pass.routing))
      fib->lookup(&record.forward.client, &lane.next_hop[i], 1);
    lane.next_hop[i] = pass.routing.pick(lane.next_hop[i], 0);
    return true;
  } else {
    return false;
  }
}

template <typename Family>
bool follow_direct(Pass<Family>& pass, unsigned i, const BackendRecord* backend) {
  if (backend == nullptr) return false;
  Lane<Family>& lane = pass.lane();
  lane.backend[i] = backend;
  lane.action[i] = encapsulates(lane.vip[i]->mode) ? Action::tunnel : Action::direct;
  return true;
}

template <typename Family>
bool follow_flow(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const ConnectionTable<Family>& table = *pass.flows.table;
  const Slot slot = pass.table_changed ? table.find(lane.key[i], lane.hash[i]) : lane.slot[i];
  if (slot != kNoSlot) {
    const FlowLink link = table.link(slot);
    if (link == kNatTombstone) return false;
    if (link.is_nat()) return follow_record(pass, i, pass.flows.nat.records()[link.index()]);
    return lane.vip[i] != nullptr && follow_direct(pass, i, pass.state.backend(link.index()));
  }
  if (follow_across(pass, i)) return true;
  // Direct return needs no memory of the flow.
  if (lane.vip[i] == nullptr || translates(lane.vip[i]->mode)) return false;
  return follow_direct(pass, i, pass.state.choose(*lane.vip[i], lane.choice[i]));
}

// Whether the sender of lane packet i may be told that it was refused.
template <typename Family>
bool may_tell(Pass<Family>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  if (parsed.form[p] == Form::later_fragment || parsed.form[p] == Form::icmp_error) return false;
  if (parsed.group[p] || !is_single_host<Family>(pass.lane().source[i])) return false;
  if (pass.worker.answers.take(pass.now)) return true;
  pass.worker.counters.answers_limited.add(1);
  return false;
}

// A reply's own destination would be a client in whose name nothing is to be said.
template <typename Family>
AnswerFrame answer_frame(Pass<Family>& pass, unsigned i, bool reply) {
  untag(pass, i);
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  const Burst& burst = pass.burst;
  const bool dnat = reply && is_dnat_reply(pass.lane().key[i].vip_id);
  return {burst.data[p],
          burst.length[p],
          burst.length[p] + burst.tailroom(p),
          parsed.l3[p],
          parsed.l4[p],
          parsed.end[p],
          dnat ? pass.lane().new_source[i].address.data() : nullptr};
}

// Where an answer to a DNAT reply comes from. The flow was found, but is not followed.
template <typename Family>
bool find_vip_of_reply(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const ConnectionTable<Family>& table = *pass.flows.table;
  const Slot slot = table.find(lane.key[i], lane.hash[i]);
  if (slot == kNoSlot || table.link(slot) == kNatTombstone) return false;
  const NatRecord<Family>& record = pass.flows.nat.records()[table.link(slot).index()];
  lane.new_source[i] = {record.vip, record.forward.vip_port};
  return true;
}

template <typename Family>
void become_answer(Pass<Family>& pass, unsigned i, std::uint32_t length) {
  if (length == 0) return pass.worker.counters.answers_limited.add(1);
  const unsigned p = pass.lane().packet[i];
  pass.burst.length[p] = pass.burst.total_length[p] = length;
  pass.lane().action[i] = Action::answer;
}

template <typename Family>
void find_way_back(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  lane.next_hop[i] = kNoNextHop;
  if (const Fib<Family>* fib = fib_of<Family>(pass.routing))
    fib->lookup(&lane.source[i], &lane.next_hop[i], 1);
  const std::uint64_t hash =
      flow_hash<Family>(0, lane.source[i], Be16{}, lane.destination[i], Be16{}, 0);
  lane.next_hop[i] = pass.routing.pick(lane.next_hop[i], static_cast<std::uint32_t>(hash));
}

}  // namespace

template <typename Family>
void find_errors(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    if (lane.path[i] != Path::other || parsed.protocol[p] != icmp_protocol<Family>()) continue;
    if (parsed.form[p] == Form::whole && is_icmp_error<Family>(*pass.l4(i))) find_error(pass, i);
  }
}

template <typename Family>
void decide_error(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  if (!follow_flow(pass, i)) return pass.drop(i, DropReason::icmp_no_flow);
  if (lane.action[i] != Action::direct && time_to_live<Family>(pass.l3(i)) <= 1) {
    return pass.drop(i, DropReason::ttl_expired);
  }
  if (lane.action[i] == Action::reply) return;
  lane.next_hop[i] = backend_next_hop(pass.routing, lane.backend[i]->id, [&] {
    return flow_hash<Family>(pass.state.maglev_seed(), lane.key[i].client, lane.key[i].client_port,
                             lane.destination[i], lane.key[i].vip_port, lane.vip[i]->protocol);
  });
}

// What was quoted went the other way.
template <typename Family>
void translate_error(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Quote<Family> quote;
  if (quote_of(pass, i, quote) != DropReason::none) return;  // It was found before.
  ErrorTranslation<Family> translation;
  translation.quoted_source = lane.new_destination[i];
  translation.quoted_destination = lane.new_source[i];
  translation.source = lane.source[i];
  translation.destination = lane.new_destination[i].address;
  const std::uint32_t added = lane.tcp[i].header_bytes();
  if (lane.action[i] == Action::reply && quote.protocol == kProtocolTcp && added != 0) {
    const std::uint32_t sequence = read32(pass.burst.data[p] + quote.l4 + 4);
    const std::uint32_t from_start = sequence - (lane.tcp[i].client_isn + 1);
    if (from_start >= added && from_start < 0x80000000u) translation.sequence_delta = 0u - added;
  }
  translate_error<Family>(pass.burst.data[p], pass.parsed().l3[p], pass.parsed().l4[p], quote,
                          translation);
}

template <typename Family>
void refuse_expired(Pass<Family>& pass, unsigned i) {
  const bool reply = pass.lane().path[i] == Path::reply;
  pass.drop(i, DropReason::ttl_expired);
  if (reply && is_dnat_reply(pass.lane().key[i].vip_id) && !find_vip_of_reply(pass, i)) return;
  if (!may_tell(pass, i)) return;
  become_answer(pass, i, answer_time_exceeded<Family>(answer_frame(pass, i, reply)));
}

template <typename Family>
void refuse_too_big(Pass<Family>& pass, unsigned i, std::uint32_t mtu) {
  const bool reply = pass.lane().path[i] == Path::reply;
  pass.drop(i, DropReason::too_big);
  if (!may_tell(pass, i)) return;
  become_answer(pass, i, answer_too_big<Family>(answer_frame(pass, i, reply), mtu));
  Lane<Family>& lane = pass.lane();
  if (reply && lane.backend[i]->overlay == OverlayKind::none) {
    lane.next_hop[i] = backend_next_hop(pass.routing, lane.backend[i]->id, [] { return 0u; });
  } else {
    find_way_back(pass, i);
  }
}

#define SLUICE_INSTANTIATE(Family)                                \
  template void find_errors<Family>(Pass<Family>&);               \
  template void decide_error<Family>(Pass<Family>&, unsigned);    \
  template void translate_error<Family>(Pass<Family>&, unsigned); \
  template void refuse_expired<Family>(Pass<Family>&, unsigned);  \
  template void refuse_too_big<Family>(Pass<Family>&, unsigned, std::uint32_t);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
