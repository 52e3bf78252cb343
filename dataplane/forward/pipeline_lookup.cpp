// Stages that find out what each packet is: a client's, a backend's reply, another worker's, and
// its flow.
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"

namespace sluice {
namespace {

bool has_ports(std::uint8_t protocol) {
  return protocol == kProtocolTcp || protocol == kProtocolUdp;
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

}  // namespace

template <typename Family>
void find_vips(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    lane.vip_hash[i] = pass.state.template vip_hash<Family>(lane.destination[i], parsed.protocol[p],
                                                            parsed.destination_port[p]);
    pass.state.prefetch_vip(lane.vip_hash[i]);
  }
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    if (!has_ports(parsed.protocol[p]) || parsed.not_for_vip[p] != DropReason::none) continue;
    lane.vip[i] = pass.state.template find_vip<Family>(
        lane.destination[i], parsed.protocol[p], parsed.destination_port[p], lane.vip_hash[i]);
    if (lane.vip[i] != nullptr) accept_client(pass, i);
  }
}

template <typename Family>
void find_nat_replies(Pass<Family>& pass) {
  if (pass.nat_sources == nullptr) return;
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    if (lane.path[i] != Path::other || !has_ports(parsed.protocol[p])) continue;
    if (parsed.not_for_vip[p] != DropReason::none || parsed.group[p]) continue;
    const std::uint16_t port = parsed.destination_port[p].host();
    if (port < pass.nat_sources->first_port || port > pass.nat_sources->last_port) continue;
    const NatSource<Family>* source =
        find_nat_source<Family>(pass.nat_sources, lane.destination[i]);
    if (source == nullptr) continue;
    lane.path[i] = Path::reply;
    lane.key[i] = {lane.source[i], parsed.source_port[p], parsed.destination_port[p],
                   source->id(parsed.protocol[p])};
  }
}

// Full NAT only: its flows have two directions that must meet in one worker. Direct return stays
// with whoever receives it.
template <typename Family>
void hand_over_foreign(Pass<Family>& pass) {
  const PipelineConfig& config = pass.worker.config;
  if (config.workers <= 1) return;
  Lane<Family>& lane = pass.lane();
  const ParsedBurst& parsed = pass.parsed();
  for (unsigned i = 0; i < lane.count; ++i) {
    const unsigned p = lane.packet[i];
    const bool nat = lane.path[i] == Path::reply ||
                     (lane.path[i] == Path::client && lane.vip[i]->mode == Mode::nat);
    if (!nat || pass.burst.steered[p]) continue;
    const Steering* steering = steering_of(config, pass.burst.in_port[p]);
    if (steering == nullptr) continue;
    const std::uint16_t worker = owner<Family>(*steering, lane.source[i], lane.destination[i],
                                               parsed.source_port[p], parsed.destination_port[p]);
    if (worker == config.worker || worker >= config.workers) continue;
    pass.burst.verdict[p] = Verdict::hand_over;
    pass.burst.out_worker[p] = worker;
    pass.worker.counters.handed_over.add(1);
    lane.path[i] = Path::done;
  }
}

template <typename Family>
void find_flows(Pass<Family>& pass) {
  Lane<Family>& lane = pass.lane();
  const ConnectionTable<Family>& table = *pass.flows.table;
  const auto wanted = [&lane](unsigned i) {
    return lane.path[i] == Path::client || lane.path[i] == Path::reply;
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
    if (lane.slot[i] == kNoSlot) continue;
    const FlowLink link = table.link(lane.slot[i]);
    if (link.is_nat() && link != kNatTombstone) pass.flows.nat.records().prefetch(link.index());
  }
}

#define SLUICE_INSTANTIATE(Family)                        \
  template void find_vips<Family>(Pass<Family>&);         \
  template void find_nat_replies<Family>(Pass<Family>&);  \
  template void hand_over_foreign<Family>(Pass<Family>&); \
  template void find_flows<Family>(Pass<Family>&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
