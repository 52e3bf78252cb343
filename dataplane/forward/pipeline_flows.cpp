// The stage that knows flows: continues the one a packet belongs to, or starts one.
#include <algorithm>

#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/packet/headers.h"
#include "dataplane/packet/quic.h"

namespace sluice {
namespace {

template <typename Family>
class Flows {
 public:
  explicit Flows(Pass<Family>& pass)
      : pass_(pass), lane_(pass.lane()), table_(*pass.flows.table), nat_(pass.flows.nat) {}

  void client_packet(unsigned i) {
    VipCounterSet& counters = pass_.worker.counters.vips[lane_.vip[i]->counter];
    counters.packets_in.add(1);
    counters.bytes_in.add(lane_.bytes[i]);
    const Slot slot = current_slot(i);
    if (slot != kNoSlot) {
      const auto status = table_.status(slot);
      if (status.link.is_nat() ? continue_nat(i, status.link.index())
                               : continue_direct(i, slot, status)) {
        return;
      }
    }
    start(i);
  }

  void reply_packet(unsigned i) {
    const Slot slot = current_slot(i);
    if (slot == kNoSlot || table_.link(slot) == kNatTombstone) {
      if (!reply_across(i)) unknown_reply(i);
      return;
    }
    const std::uint32_t index = table_.link(slot).index();
    NatRecord<Family>& record = nat_.records()[index];
    // A DNAT reply's key has only a number for the backend's address.
    if (record.dnat() && record.backend.address != lane_.source[i]) return unknown_reply(i);
    const BackendRecord* backend = pass_.state.backend(record.backend_id);
    if (backend == nullptr) {  // Gone, and its flows with it.
      end_nat(index, false);
      return unknown_reply(i);
    }
    if (expires(i)) return refuse_expired(pass_, i);
    set_nat_state(index, saw_backend(record, tcp_view(i), pass_.now));
    lane_.action[i] = Action::reply;
    lane_.new_source[i] = {record.vip, record.forward.vip_port};
    lane_.new_destination[i] = {record.forward.client, record.forward.client_port};
    lane_.tcp[i] = record.translation;
    lane_.vip_counter[i] = record.vip_counter;
    lane_.backend[i] = backend;
  }

 private:
  // From an IPv4 backend to a NAT source, perhaps of a flow of IPv6. False: of none.
  bool reply_across(unsigned i) {
    if constexpr (Family::kAddressBytes == 4) {
      WorkerFlows<Ipv6>& other = worker_flows<Ipv6>(pass_.worker);
      if (!other.nat.has_crossed() || is_dnat_reply(lane_.key[i].vip_id)) return false;
      const FlowKey<Ipv6> key{map_to_ipv6(lane_.source[i]), lane_.key[i].client_port,
                              lane_.key[i].vip_port, lane_.key[i].vip_id};
      const Slot slot = other.table->find(key, other.table->hash(key));
      if (slot == kNoSlot || other.table->link(slot) == kNatTombstone) return false;
      const std::uint32_t index = other.table->link(slot).index();
      NatRecord<Ipv6>& record = other.nat.records()[index];
      const BackendRecord* backend = pass_.state.backend(record.backend_id);
      if (backend == nullptr) {
        other.nat.end(index, false);
        return false;
      }
      if (expires(i)) {
        refuse_expired(pass_, i);
        return true;
      }
      const FlowState state = saw_backend(record, tcp_view(i), pass_.now);
      if (record.state != state) other.nat.set_state(index, state, pass_.now);
      lane_.action[i] = Action::reply;
      lane_.crosses[i] = true;
      lane_.other_source[i] = {record.vip, record.forward.vip_port};
      lane_.other_destination[i] = {record.forward.client, record.forward.client_port};
      lane_.tcp[i] = record.translation;
      lane_.vip_counter[i] = record.vip_counter;
      lane_.backend[i] = backend;
      lane_.next_hop[i] = towards_client(record, i);
      return true;
    } else {
      return false;
    }
  }
  NextHopIndex towards_client(const NatRecord<Ipv6>& record, unsigned i) const {
    NextHopIndex index = kNoNextHop;
    if (const Fib<Ipv6>* fib = fib_of<Ipv6>(pass_.routing))
      fib->lookup(&record.forward.client, &index, 1);
    if ((index & kMultipath) == 0) return index;
    return pass_.routing.pick(index, static_cast<std::uint32_t>(hash_of(i)));
  }

  // Entries may have moved or gone since find_flows(), by earlier packets of this burst.
  Slot current_slot(unsigned i) const {
    return pass_.table_changed ? table_.find(lane_.key[i], lane_.hash[i]) : lane_.slot[i];
  }
  std::uint8_t flags(unsigned i) const { return pass_.parsed().tcp_flags[lane_.packet[i]]; }
  std::uint8_t protocol(unsigned i) const { return pass_.parsed().protocol[lane_.packet[i]]; }
  bool tcp(unsigned i) const { return protocol(i) == kProtocolTcp; }
  std::uint8_t* at(unsigned i, std::uint16_t offset) const {
    return pass_.burst.data[lane_.packet[i]] + offset;
  }

  Form form(unsigned i) const { return pass_.parsed().form[lane_.packet[i]]; }
  TcpView tcp_view(unsigned i) const {
    if (!tcp(i) || form(i) == Form::later_fragment) return {};
    const auto& header =
        *reinterpret_cast<const TcpHeader*>(at(i, pass_.parsed().l4[lane_.packet[i]]));
    return {header.flags, read32(header.sequence), read32(header.acknowledgment)};
  }
  // To a NAT source: to nobody. Of a DNAT backend: to the gateway itself, else it is a flow's, and
  // a client that got it with the backend's address would reset the connection.
  void unknown_reply(unsigned i) {
    if (!is_dnat_reply(lane_.key[i].vip_id)) return pass_.drop(i, DropReason::nat_no_flow);
    NextHopIndex index = kNoNextHop;
    if (const Fib<Family>* fib = fib_of<Family>(pass_.routing))
      fib->lookup(&lane_.destination[i], &index, 1);
    const bool ours =
        (index & kMultipath) == 0 && read_hop(pass_.routing, index).state == NextHopState::local;
    if (!ours) return pass_.drop(i, DropReason::dnat_no_flow);
    lane_.path[i] = Path::other;
  }
  bool expires(unsigned i) const {
    return time_to_live<Family>(at(i, pass_.parsed().l3[lane_.packet[i]])) <= 1;
  }
  std::uint64_t hash_of(unsigned i) const {
    return flow_hash<Family>(pass_.state.maglev_seed(), lane_.source[i], lane_.key[i].client_port,
                             lane_.destination[i], lane_.key[i].vip_port, protocol(i));
  }
  // A flow that ended just now was found, and so nothing was prepared for its successor.
  std::uint64_t choice(unsigned i) const {
    return lane_.slot[i] == kNoSlot ? lane_.choice[i] : hash_of(i);
  }
  NextHopIndex towards(unsigned i, std::uint32_t backend) const {
    return backend_next_hop(pass_.routing, backend, [&] { return hash_of(i); });
  }

  void end_nat(std::uint32_t index, bool time_wait) {
    nat_.end(index, time_wait);
    pass_.table_changed = true;
  }
  void set_nat_state(std::uint32_t index, FlowState state) {
    if (nat_.records()[index].state != state) nat_.set_state(index, state, pass_.now);
  }

  void leave(unsigned i, Action action, const BackendRecord& backend) {
    lane_.action[i] = action;
    lane_.backend[i] = &backend;
    lane_.next_hop[i] = towards(i, backend.id);
  }
  void leave_direct(unsigned i, const BackendRecord& backend) {
    const bool tunnel = encapsulates(lane_.vip[i]->mode);
    if (tunnel && expires(i)) return refuse_expired(pass_, i);
    leave(i, tunnel ? Action::tunnel : Action::direct, backend);
  }
  void leave_nat(unsigned i, const NatRecord<Family>& record, const BackendRecord& backend) {
    leave(i, Action::forward, backend);
    lane_.new_source[i] = record.source;
    lane_.new_destination[i] = record.backend;
    if constexpr (Family::kAddressBytes == 16) {
      lane_.crosses[i] = record.crosses();
      if (lane_.crosses[i]) [[unlikely]] {
        lane_.other_source[i] = {unmap(record.source.address), record.source.port};
        lane_.other_destination[i] = {unmap(record.backend.address), record.backend.port};
      }
    }
    lane_.tcp[i] = record.translation;
  }

  // False: the flow is no more; the packet may start another.
  bool continue_nat(unsigned i, std::uint32_t index) {
    NatRecord<Family>& record = nat_.records()[index];
    const BackendRecord* backend = pass_.state.backend(record.backend_id);
    if (backend == nullptr) {
      end_nat(index, false);
      return false;
    }
    if (tcp(i) && opens(flags(i)) && record.over()) {
      end_nat(index, true);
      return false;
    }
    if (expires(i)) {
      refuse_expired(pass_, i);
      return true;
    }
    // A client that gave up and asks anew, before the backend answered.
    if (tcp(i) && opens(flags(i)) && (record.flags & NatRecord<Family>::kSynAck) == 0) {
      if (!has_tcp_header(pass_, i)) {
        pass_.drop(i, DropReason::split_header);
        return true;
      }
      begin_translation(i, record);
    }
    set_nat_state(index, saw_client(record, tcp_view(i), pass_.now));
    leave_nat(i, record, *backend);
    return true;
  }

  bool continue_direct(unsigned i, Slot slot,
                       const typename ConnectionTable<Family>::Status& status) {
    const BackendRecord* backend = pass_.state.backend(status.link.index());
    const FlowState state = status.state;
    const bool anew = tcp(i) && opens(flags(i)) && state == FlowState::closing;
    if (anew || backend == nullptr) {
      table_.erase(slot);
      pass_.table_changed = true;
      return false;
    }
    const std::uint16_t idle = idle_ticks(pass_.now, status.age);
    const DirectStep step = step_direct(state, idle, tcp(i), flags(i));
    if (step.refresh && (idle != 0 || step.state != state))
      table_.touch(slot, step.state, pass_.now);
    leave_direct(i, *backend);
    return true;
  }

  void start(unsigned i) {
    const VipBlock& vip = *lane_.vip[i];
    if (form(i) != Form::later_fragment && !may_start(vip.mode, protocol(i), flags(i)))
      return refuse(pass_, i, DropReason::tcp_no_flow);
    const BackendRecord* backend = vip.quic && form(i) != Form::later_fragment ? by_connection_id(i) : nullptr;
    if (backend == nullptr) backend = pass_.state.choose(vip, choice(i));
    if (backend == nullptr) {
      pass_.worker.counters.vips[vip.counter].no_backend.add(1);
      return refuse(pass_, i, DropReason::no_backend);
    }
    const NextHop hop = read_hop(pass_.routing, towards(i, backend->id));
    // Nothing is kept of a flow that leads nowhere.
    const DropReason reason = next_hop_refusal(hop, vip.mode == Mode::dsr_mac);
    if (reason != DropReason::none) return pass_.drop(i, reason);
    if (form(i) == Form::later_fragment) {
      continue_unknown(i, *backend);
    } else if (translates(vip.mode)) {
      start_nat(i, *backend, hop.port);
    } else {
      start_direct(i, *backend);
    }
  }

  // A later fragment starts no flow; its first one did, or was refused.
  void continue_unknown(unsigned i, const BackendRecord& backend) {
    if (translates(lane_.vip[i]->mode)) return pass_.drop(i, DropReason::fragment_timeout);
    leave_direct(i, backend);
    if (lane_.action[i] != Action::none) pass_.worker.counters.untracked.add(1);
  }

  // The backend that a QUIC connection names that comes from an address it did not have before.
  const BackendRecord* by_connection_id(unsigned i) const {
    const unsigned p = lane_.packet[i];
    const ParsedBurst& parsed = pass_.parsed();
    const std::uint32_t begin = parsed.l4[p] + static_cast<std::uint32_t>(sizeof(UdpHeader));
    const std::uint32_t end = std::min(parsed.end[p], pass_.burst.length[p]);
    if (end <= begin) return nullptr;
    return pass_.state.quic_backend(*lane_.vip[i],
                                    quic_server(pass_.burst.data[p] + begin, end - begin));
  }

  void start_nat(unsigned i, const BackendRecord& backend, std::uint16_t egress_port) {
    if (expires(i)) return refuse_expired(pass_, i);
    if (tcp(i) && !has_tcp_header(pass_, i)) return pass_.drop(i, DropReason::split_header);
    if (!take_new_flow()) return pass_.drop(i, DropReason::new_flow_budget);
    const Steering* steering = steering_of(pass_.worker.config, egress_port);
    const auto started = nat_.start({lane_.key[i], lane_.hash[i], *lane_.vip[i], backend,
                                     egress_port, steering, pass_.nat_sources, opens(flags(i))},
                                    pass_.now);
    pass_.table_changed = true;
    if (started.reason != DropReason::none) return pass_.drop(i, started.reason);
    count_new(i, backend.id);
    NatRecord<Family>& record = nat_.records()[started.record];
    if (tcp(i)) begin_translation(i, record);
    leave_nat(i, record, backend);
  }

  void begin_translation(unsigned i, NatRecord<Family>& record) {
    if (record.dnat()) return;
    std::uint8_t* tcp = at(i, pass_.parsed().l4[lane_.packet[i]]);
    const bool same =
        record.translation.any() &&
        record.translation.client_isn == read32(reinterpret_cast<const TcpHeader*>(tcp)->sequence);
    if (same) return;  // The SYN again.
    record.translation =
        begin_tcp_translation<Family>(tcp, lane_.vip[i]->proxy_protocol, pass_.burst.milliseconds);
  }

  // What a flood of new flows may cost in one burst; the flows that are there come first.
  bool take_new_flow() {
    if (pass_.worker.new_flows_left == 0) return false;
    --pass_.worker.new_flows_left;
    return true;
  }

  void start_direct(unsigned i, const BackendRecord& backend) {
    leave_direct(i, backend);
    if (lane_.action[i] == Action::none) return;
    if ((flags(i) & kTcpRst) != 0) return;  // Nothing follows it.
    if (!take_new_flow()) return pass_.worker.counters.untracked.add(1);
    const FlowState state = tcp(i) && opens(flags(i)) ? FlowState::handshake : FlowState::weak;
    const Slot slot = table_.insert(lane_.key[i], lane_.hash[i], FlowLink::backend(backend.id),
                                    state, pass_.now, NatFlows<Family>::evicted, &nat_);
    pass_.table_changed = true;
    nat_.finish();
    if (slot == kNoSlot) return pass_.worker.counters.untracked.add(1);
    count_new(i, backend.id);
  }

  void count_new(unsigned i, std::uint32_t backend) {
    pass_.worker.counters.vips[lane_.vip[i]->counter].new_flows.add(1);
    pass_.worker.counters.backends[backend].new_flows.add(1);
  }

  Pass<Family>& pass_;
  Lane<Family>& lane_;
  ConnectionTable<Family>& table_;
  NatFlows<Family>& nat_;
};

}  // namespace

template <typename Family>
void decide_flows(Pass<Family>& pass) {
  Flows<Family> flows(pass);
  for (unsigned i = 0; i < pass.lane().count; ++i) {
    if (pass.lane().path[i] == Path::client) {
      flows.client_packet(i);
    } else if (pass.lane().path[i] == Path::reply) {
      flows.reply_packet(i);
    } else if (is_in_flow(pass.lane().path[i])) {
      decide_error(pass, i);
    }
  }
}

template void decide_flows<Ipv4>(Pass<Ipv4>&);
template void decide_flows<Ipv6>(Pass<Ipv6>&);

}  // namespace sluice
