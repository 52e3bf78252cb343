// Stages that find out what each packet is: a client's, a backend's reply, another worker's, and
// its flow.
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"

namespace sluice {
namespace {

bool has_ports(std::uint8_t protocol) {
  return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp;
}

// A packet for a VIP's port has been found; refuses it if nobody could have sent it in earnest.
template <typename Family>
void accept_client(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  const ParsedBurst& parsed = pass.parsed();
  if (parsed.group[p]) return pass.drop(i, DropReason::ethernet_group);
  if (!is_single_host<Family>(lane.source[i]) || lane.source[i] == lane.destination[i]) {
    return pass.drop(i, DropReason::martian_source);
  }
  lane.path[i] = Path::client;
  lane.key[i] = {lane.source[i], parsed.source_port[p], parsed.destination_port[p],
                 lane.vip[i]->id};
}

template <typename Family>
const NatSource<Family>* nat_source_of(Pass<Family>& pass, unsigned i) {
  if (pass.nat_sources == nullptr) return nullptr;
  const std::uint16_t port = pass.parsed().destination_port[pass.lane().packet[i]].host();
  if (port < pass.nat_sources->first_port || port > pass.nat_sources->last_port) return nullptr;
  return find_nat_source<Family>(pass.nat_sources, pass.lane().destination[i]);
}

}  // namespace

template <typename Family>
void find_vips(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  const VipBlock* candidate[Burst::kMax];
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    lane.vip_hash[i] = pass.state.template vip_hash<Family>(lane.destination[i], parsed.protocol[p],
                                                            parsed.destination_port[p]);
    pass.state.prefetch_vip(lane.vip_hash[i]);
  }
  for (unsigned i = 0; i < lane.count; ++i) {
    candidate[i] = pass.state.vip_candidate(lane.vip_hash[i]);
  }
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    if (!has_ports(parsed.protocol[p]) || parsed.not_for_vip[p] != DropReason::none) continue;
    if (lane.path[i] == Path::done) continue;
    lane.vip[i] = pass.state.template find_vip<Family>(lane.destination[i], parsed.protocol[p],
                                                       parsed.destination_port[p], lane.vip_hash[i],
                                                       candidate[i]);
    if (lane.vip[i] != nullptr) accept_client(pass, i);
  }
}

// From a backend to a NAT source, or to the client of a DNAT flow.
template <typename Family>
void find_replies(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  const bool dnat = pass.state.has_dnat();
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    if (lane.path[i] != Path::other || !has_ports(parsed.protocol[p])) continue;
    if (parsed.not_for_vip[p] != DropReason::none || parsed.group[p]) continue;
    const NatSource<Family>* source = nat_source_of(pass, i);
    if (source != nullptr) {
      lane.path[i] = Path::reply;
      lane.key[i] = {lane.source[i], parsed.source_port[p], parsed.destination_port[p],
                     source->id(parsed.protocol[p])};
    } else if (dnat && pass.state.template is_dnat_endpoint<Family>(
                           lane.source[i], parsed.protocol[p], parsed.source_port[p])) {
      lane.path[i] = Path::reply;
      lane.key[i] = {lane.destination[i], parsed.destination_port[p], parsed.source_port[p],
                     dnat_reply_id<Family>(lane.source[i], parsed.protocol[p])};
    }
  }
}

namespace {

// The worker that owns the packet's flow. Flows whose two directions meet here must do so in one
// worker; direct return stays with whoever receives it.
template <typename Family>
std::uint16_t owner_of(Pass<Family>& pass, unsigned i) {
  const PipelineConfig& config = pass.worker.config;
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  const unsigned p = lane.packet[i];
  const bool client = lane.path[i] == Path::client || lane.path[i] == Path::client_error;
  if (client ? lane.vip[i]->mode == Mode::dnat : is_dnat_reply(lane.key[i].vip_id)) {
    return dnat_owner<Family>(pass.worker.spreading_key, lane.key[i].client,
                              lane.key[i].client_port, config.workers);
  }
  const bool nat = !client || lane.vip[i]->mode == Mode::nat;
  // NICs hash no ports of fragments and of quoted packets, and few of them those of SCTP; software
  // does, wherever the packet is. Direct return follows the NIC, if that is what spreads the flows.
  const bool whole = parsed.form[p] == Form::whole;
  const bool hashed = pass.burst.steered[p] && !pass.burst.hint(p).by_software;
  if (!nat && (whole || !hashed)) return config.worker;
  if (whole && pass.burst.steered[p] && parsed.protocol[p] != kProtocolSctp) return config.worker;
  const Steering* steering = steering_of(config, pass.burst.in_port[p]);
  if (steering == nullptr) return config.worker;
  const FlowKey<Family>& key = lane.key[i];
  return owner<Family>(*steering, key.client, lane.destination[i], key.client_port, key.vip_port);
}

}  // namespace

template <typename Family>
void hand_over_foreign(Pass<Family>& pass) {
  const PipelineConfig& config = pass.worker.config;
  if (config.workers <= 1) return;
  Lane<Family>& lane = pass.lane();
  for (unsigned i = 0; i < lane.count; ++i) {
    if (!is_in_flow(lane.path[i])) continue;
    const std::uint16_t worker = owner_of(pass, i);
    if (worker == config.worker || worker >= config.workers) continue;
    const unsigned p = lane.packet[i];
    pass.burst.verdict[p] = Verdict::hand_over;
    pass.burst.out_worker[p] = worker;
    pass.worker.counters.handed_over.add(1);
    lane.path[i] = Path::done;
  }
}

namespace {

// A packet in no flow will need a backend: begins to load the Maglev slot that names it.
template <typename Family>
void prepare_choice(Pass<Family>& pass, unsigned i) {
  Lane<Family>& lane = pass.lane();
  const VipBlock& vip = *lane.vip[i];
  lane.choice[i] =
      flow_hash<Family>(pass.state.maglev_seed(), lane.key[i].client, lane.key[i].client_port,
                        lane.destination[i], lane.key[i].vip_port, vip.protocol);
  if (!vip.maglev.empty()) {
    prefetch_line(
        &vip.maglev[maglev_slot(lane.choice[i], static_cast<std::uint32_t>(vip.maglev.size()))]);
  }
}

}  // namespace

template <typename Family>
void find_flows(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  const ConnectionTable<Family>& table = *pass.flows.table;
  const auto wanted = [&lane](unsigned i) {
    return is_in_flow(lane.path[i]);
  };
  lane.look_ups.count = 0;
  for (unsigned i = 0; i < lane.count; ++i) {
    if (wanted(i)) lane.hash[i] = table.add(lane.look_ups, lane.key[i]);
  }
  table.find(lane.look_ups);
  const Slot* found = lane.look_ups.slot;
  for (unsigned i = 0; i < lane.count; ++i) {
    if (!wanted(i)) continue;
    lane.slot[i] = *found++;
    if (lane.slot[i] == kNoSlot) {
      if (lane.vip[i] != nullptr) prepare_choice(pass, i);
      continue;
    }
    const FlowLink link = table.link(lane.slot[i]);
    if (link.is_nat() && link != kNatTombstone) pass.flows.nat.records().prefetch(link.index());
  }
}

#define SLUICE_INSTANTIATE(Family)                        \
  template void find_vips<Family>(Pass<Family>&);         \
  template void find_replies<Family>(Pass<Family>&);      \
  template void hand_over_foreign<Family>(Pass<Family>&); \
  template void find_flows<Family>(Pass<Family>&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
