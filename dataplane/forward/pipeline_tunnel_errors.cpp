// ICMP errors about packets that left here in a tunnel: the path's MTU is learned, and the sender
// of the packet inside is told at once, as far as the quote shows that packet. Sources: RFC 2003 4
// and 2473 8 (which errors are relayed as what), draft-ietf-intarea-gue, RFC 7348.
#include <algorithm>

#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/packet/checksum.h"
#include "dataplane/packet/encapsulate.h"
#include "dataplane/packet/icmp_error.h"

namespace sluice {
namespace {

// The packet inside the one that is quoted.
struct Inside {
  std::uint8_t protocol = 0;  // kProtocolIpv4 or kProtocolIpv6; 0: it is no tunnel's packet.
  std::uint32_t l3 = 0;
};

template <typename Outer>
Inside look_inside(const std::uint8_t* frame, std::uint32_t contiguous, const Quote<Outer>& quote) {
  if (quote.later_fragment) return {};
  if (quote.protocol == kProtocolIpv4 || quote.protocol == kProtocolIpv6)
    return {quote.protocol, quote.l4};
  if (quote.protocol != kProtocolUdp) return {};
  constexpr std::uint32_t kGueHeaders = sizeof(UdpHeader) + sizeof(GueHeader);
  constexpr std::uint32_t kVxlanHeaders =
      sizeof(UdpHeader) + sizeof(VxlanHeader) + sizeof(EthernetHeader);
  const std::uint8_t* at = frame + quote.l4 + sizeof(UdpHeader);
  if (quote.l4 + kGueHeaders > contiguous) return {};
  if (quote.destination_port == Be16::from_host(kGuePort)) {
    const bool known = at[0] == 0 && (at[1] == kProtocolIpv4 || at[1] == kProtocolIpv6);
    return known ? Inside{at[1], quote.l4 + kGueHeaders} : Inside{};
  }
  if (quote.l4 + kVxlanHeaders > contiguous || at[0] != VxlanHeader{}.flags) return {};
  Be16 type;
  std::memcpy(&type, at + sizeof(VxlanHeader) + 12, sizeof(type));
  const bool v4 = type == Be16::from_host(Ipv4::kEtherType);
  if (!v4 && type != Be16::from_host(Ipv6::kEtherType)) return {};
  return {v4 ? kProtocolIpv4 : kProtocolIpv6, quote.l4 + kVxlanHeaders};
}

// Whose packet it was, and what it looked like to its sender.
template <typename Inner>
struct Sender {
  bool found = false;
  const BackendRecord* backend = nullptr;  // nullptr: not known here.
  Endpoint<Inner> client{}, vip{};
  std::uint16_t owner = 0;  // Of the flow.
};

template <typename Inner>
class Relay {
 public:
  template <typename Outer>
  Relay(Pass<Outer>& pass, unsigned i)
      : worker_(pass.worker),
        flows_(worker_flows<Inner>(pass.worker)),
        state_(pass.state),
        routing_(pass.routing),
        sources_(pass.nat_sources),
        burst_(pass.burst),
        p_(pass.lane().packet[i]),
        now_(pass.now) {}

  Sender<Inner> find_sender(const Quote<Inner>& inner) const {
    Sender<Inner> sender;
    sender.owner = worker_.config.worker;
    if (!inner.has_ports()) return sender;
    const std::uint32_t hash =
        state_.template vip_hash<Inner>(inner.destination, inner.protocol, inner.destination_port);
    const VipBlock* vip =
        state_.template find_vip<Inner>(inner.destination, inner.protocol, inner.destination_port,
                                        hash, state_.vip_candidate(hash));
    if (vip != nullptr) {
      if (encapsulates(vip->mode)) find_direct(inner, *vip, sender);
    } else {
      find_translated(inner, sender);
    }
    return sender;
  }

  // The frame becomes the error that the sender is to see. False: it is sent none.
  bool become(const Quote<Inner>& inner, const Sender<Inner>& sender, std::uint8_t type,
              std::uint8_t code, std::uint32_t word) {
    if (!is_single_host<Inner>(sender.client.address)) return false;
    if (!worker_.answers.take(now_)) {
      worker_.counters.answers_limited.add(1);
      return false;
    }
    constexpr std::uint32_t kAdded = sizeof(IpHeader<Inner>) + sizeof(IcmpHeader);
    const std::uint32_t quoted = std::min(inner.end - inner.l3, kMaxQuoted<Inner>);
    const std::uint32_t begin =
        inner.l3 - kAdded - static_cast<std::uint32_t>(sizeof(EthernetHeader));
    std::uint8_t* frame = burst_.data[p_] += begin;
    burst_.length[p_] = burst_.total_length[p_] =
        static_cast<std::uint32_t>(sizeof(EthernetHeader)) + kAdded + quoted;
    const Be16 ether_type = Be16::from_host(Inner::kEtherType);
    std::memcpy(frame + 12, &ether_type, sizeof(ether_type));
    constexpr std::uint32_t kL3 = sizeof(EthernetHeader);
    write_error<Inner>(frame + kL3, sender.vip.address, sender.client.address, type, code, word,
                       quoted);
    constexpr std::uint32_t kL4 = kL3 + sizeof(IpHeader<Inner>);
    Quote<Inner> quote;
    if (find_quote<Inner>(frame, burst_.length[p_], kL4, burst_.length[p_], quote) ==
        DropReason::none) {
      translate_error<Inner>(
          frame, kL3, kL4, quote,
          {sender.client, sender.vip, sender.vip.address, sender.client.address, 0, false});
    }
    return true;
  }

  DropReason send_to(const typename Inner::Address& client) {
    NextHopIndex index = kNoNextHop;
    if (const Fib<Inner>* fib = fib_of<Inner>(routing_)) fib->lookup(&client, &index, 1);
    index = routing_.pick(index, 0);
    const NextHop hop = read_hop(routing_, index);
    const DropReason reason = next_hop_refusal(hop, false);
    if (reason != DropReason::none) return reason;
    write_macs(burst_.data[p_], hop.destination_mac, hop.source_mac);
    burst_.out_port[p_] = hop.port;
    burst_.next_hop[p_] = index;
    burst_.verdict[p_] = hop.state == NextHopState::resolve ? Verdict::resolve : Verdict::transmit;
    worker_.counters.answers.add(1);
    return DropReason::none;
  }

 private:
  void find_direct(const Quote<Inner>& inner, const VipBlock& vip, Sender<Inner>& sender) const {
    sender.found = true;
    sender.client = {inner.source, inner.source_port};
    sender.vip = {inner.destination, inner.destination_port};
    const FlowKey<Inner> key{inner.source, inner.source_port, inner.destination_port, vip.id};
    const Slot slot = flows_.table->find(key, flows_.table->hash(key));
    if (slot != kNoSlot && !flows_.table->link(slot).is_nat()) {
      sender.backend = state_.backend(flows_.table->link(slot).index());
    } else {
      sender.backend = state_.choose(
          vip, flow_hash<Inner>(state_.maglev_seed(), inner.source, inner.source_port,
                                inner.destination, inner.destination_port, vip.protocol));
    }
  }

  void find_translated(const Quote<Inner>& inner, Sender<Inner>& sender) const {
    FlowKey<Inner> key;
    const NatSource<Inner>* source = find_nat_source<Inner>(sources_, inner.source);
    if (source != nullptr) {
      key = {inner.destination, inner.destination_port, inner.source_port,
             source->id(inner.protocol)};
      const Steering* steering = steering_of(worker_.config, burst_.in_port[p_]);
      if (steering != nullptr) {
        sender.owner = owner<Inner>(*steering, inner.destination, inner.source,
                                    inner.destination_port, inner.source_port);
      }
    } else if (state_.template is_dnat_endpoint<Inner>(inner.destination, inner.protocol,
                                                       inner.destination_port)) {
      key = {inner.source, inner.source_port, inner.destination_port,
             dnat_reply_id<Inner>(inner.destination, inner.protocol)};
      sender.owner = dnat_owner<Inner>(worker_.spreading_key, inner.source, inner.source_port,
                                       worker_.config.workers);
    } else {
      return;
    }
    const Slot slot = flows_.table->find(key, flows_.table->hash(key));
    if (slot == kNoSlot || flows_.table->link(slot) == kNatTombstone) return;
    const NatRecord<Inner>& record = flows_.nat.records()[flows_.table->link(slot).index()];
    if (record.backend.address != inner.destination) return;
    sender.found = true;
    sender.client = {record.forward.client, record.forward.client_port};
    sender.vip = {record.vip, record.forward.vip_port};
    sender.backend = state_.backend(record.backend_id);
  }

  WorkerContext& worker_;
  WorkerFlows<Inner>& flows_;
  const ForwardingState& state_;
  const Routing& routing_;
  const NatSources* sources_;
  Burst& burst_;
  const unsigned p_;
  const Ticks now_;
};

// Where packets to the backend go: to itself, or to its node.
template <typename Outer>
bool leads_to(const ForwardingState& state, const BackendRecord& backend,
              const typename Outer::Address& remote) {
  const std::uint8_t* address = backend.address;
  std::uint8_t bytes = backend.address_bytes;
  if (backend.overlay != OverlayKind::none) {
    const OverlayRecord* overlay = state.overlay(backend.id);
    if (overlay == nullptr) return false;
    address = overlay->remote;
    bytes = overlay->remote_bytes;
  }
  return bytes == Outer::kAddressBytes && std::memcmp(address, remote.data(), bytes) == 0;
}

// A smaller one that still holds stays.
void learn_mtu(const Routing& routing, std::uint32_t backend, std::uint32_t mtu, Ticks now) {
  if (backend >= routing.backend_count || mtu > 0xffff) return;
  const std::uint32_t known = learned_mtu(routing, backend, now);
  if (known != 0 && known < mtu) return;
  const std::uint32_t word = (now / 16) << 16 | mtu;
  routing.set_backend_path_mtu(backend, word);
}

// What RFC 2003 and 2473 make of errors inside the tunnel: the host cannot be reached, unless the
// packet was too big.
template <typename Outer, typename Inner>
bool relay(Pass<Outer>& pass, unsigned i, const Quote<Outer>& quote, std::uint32_t inner_l3) {
  Lane<Outer>& lane = pass.lane();
  const unsigned p = lane.packet[i];
  Burst& burst = pass.burst;
  Quote<Inner> inner;
  const std::uint32_t present = std::min(quote.end, burst.length[p]);
  if (find_quoted<Inner>(burst.data[p], burst.length[p], inner_l3, present, inner) !=
      DropReason::none) {
    return false;
  }
  Relay<Inner> relay(pass, i);
  const Sender<Inner> sender = relay.find_sender(inner);
  if (sender.owner != pass.worker.config.worker && sender.owner < pass.worker.config.workers) {
    burst.verdict[p] = Verdict::hand_over;
    burst.out_worker[p] = sender.owner;
    pass.worker.counters.handed_over.add(1);
    lane.path[i] = Path::done;
    return true;
  }
  if (!sender.found) return false;
  const std::uint8_t* icmp = pass.l4(i);
  const std::uint32_t length = pass.parsed().end[p] - pass.parsed().l4[p];
  if (pass.parsed().end[p] > burst.length[p] ||
      !icmp_checksum_right<Outer>(pass.l3(i), icmp, length)) {
    pass.drop(i, DropReason::icmp_quote);
    return true;
  }
  constexpr bool kV4 = Inner::kAddressBytes == 4;
  std::uint8_t type = kV4 ? kIcmpUnreachable : kIcmp6Unreachable;
  std::uint8_t code = kV4 ? 1 : 3;  // Host unreachable, address unreachable.
  std::uint32_t word = 0;
  if (is_too_big<Outer>(icmp[0], icmp[1])) {
    const std::uint32_t mtu = std::max(read_mtu<Outer>(icmp), kLeastMtu<Outer>);
    const bool ours = sender.backend != nullptr &&
                      leads_to<Outer>(pass.state, *sender.backend, quote.destination);
    if (ours) learn_mtu(pass.routing, sender.backend->id, mtu, pass.now);
    type = kV4 ? kIcmpUnreachable : kIcmp6TooBig;
    code = kV4 ? kIcmpFragmentationNeeded : 0;
    const std::uint32_t overhead = inner_l3 - quote.l3;
    word = std::max(mtu - std::min(mtu, overhead), kLeastMtu<Inner>);
    if (kV4) word = std::min(word, 0xffffu);
  }
  DropReason reason = DropReason::icmp_no_flow;
  if (relay.become(inner, sender, type, code, word)) reason = relay.send_to(sender.client.address);
  if (reason != DropReason::none) {
    pass.drop(i, reason);
    return true;
  }
  lane.path[i] = Path::done;
  return true;
}

}  // namespace

template <typename Outer>
bool relay_tunnel_error(Pass<Outer>& pass, unsigned i) {
  const unsigned p = pass.lane().packet[i];
  const ParsedBurst& parsed = pass.parsed();
  Quote<Outer> quote;
  if (find_quote<Outer>(pass.burst.data[p], pass.burst.length[p], parsed.l4[p], parsed.end[p],
                        quote) != DropReason::none) {
    return false;
  }
  const Inside inside =
      look_inside(pass.burst.data[p], std::min(quote.end, pass.burst.length[p]), quote);
  if (inside.protocol == kProtocolIpv4) return relay<Outer, Ipv4>(pass, i, quote, inside.l3);
  if (inside.protocol == kProtocolIpv6) return relay<Outer, Ipv6>(pass, i, quote, inside.l3);
  return false;
}

template bool relay_tunnel_error<Ipv4>(Pass<Ipv4>&, unsigned);
template bool relay_tunnel_error<Ipv6>(Pass<Ipv6>&, unsigned);

}  // namespace sluice
