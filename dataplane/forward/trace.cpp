#include "dataplane/forward/trace.h"

#include <algorithm>
#include <cstring>

#include "dataplane/forward/nat.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/reply.h"
#include "dataplane/packet/encapsulate.h"

namespace sluice {
namespace {

template <typename Family>
IpAddress text_address(const typename Family::Address& a) {
  return Family::kAddressBytes == 4 ? IpAddress::v4(a.data()) : IpAddress::v6(a.data());
}

bool carries_ports(std::uint8_t protocol) {
  return protocol == kProtocolTcp || protocol == kProtocolUdp || protocol == kProtocolSctp;
}

const char* what_it_does(Mode mode) {
  switch (mode) {
    case Mode::nat:
      return "source and destination are rewritten, replies come back here";
    case Mode::dnat:
      return "the destination is rewritten, replies come back here since this is their router";
    case Mode::dsr_mac:
      return "only MAC addresses are rewritten, the backend replies itself";
    case Mode::ipip:
      return "the packet goes whole in IP-in-IP, the backend replies itself";
    case Mode::gue:
      return "the packet goes whole in GUE (UDP port 6080), the backend replies itself";
  }
  return "";
}

IpAddress remote_of(const OverlayRecord& overlay) {
  return overlay.remote_bytes == 4 ? IpAddress::v4(overlay.remote) : IpAddress::v6(overlay.remote);
}

std::string way_text(const OverlayRecord& overlay) {
  const std::string node = remote_of(overlay).text();
  if (overlay.kind == OverlayKind::ipip) return "ipip to the node " + node;
  return "vxlan to the node " + node + ", UDP port " + std::to_string(overlay.port.host()) +
         ", VNI " + std::to_string(overlay.vni);
}

// The entry of a key, read from another thread: the copy counts, and is checked again.
template <typename Family>
bool peek_flow(const Pipeline& worker, const FlowKey<Family>& key,
               typename ConnectionTable<Family>::Entry& entry) {
  const ConnectionTable<Family>& table = worker.flows<Family>();
  const Slot slot = table.find(key, table.hash(key));
  return slot != kNoSlot && table.peek(slot, entry) && entry.key == key;
}

// A copy of a record; false when the entry's link is stale.
template <typename Family>
bool peek_record(const Pipeline& worker, FlowLink link, NatRecord<Family>& record) {
  const NatRecords<Family>& records = worker.records<Family>();
  if (link == kNatTombstone || link.index() >= records.capacity()) return false;
  record = records[link.index()];
  return record.state != FlowState::empty;
}

template <typename Family>
class Tracer {
 public:
  Tracer(const TraceInput& input, const ForwardingState& state, const Routing& routing,
         std::span<const Pipeline* const> workers)
      : input_(input), state_(state), routing_(routing), workers_(workers) {
    std::memcpy(source_.data(), input.source.data(), Family::kAddressBytes);
    std::memcpy(destination_.data(), input.destination.data(), Family::kAddressBytes);
  }

  TraceResult run() {
    if (!find_vip()) return std::move(result_);
    find_worker();
    if (!find_flow() && !choose_backend()) return std::move(result_);
    route();
    return std::move(result_);
  }

 private:
  Be16 source_port() const { return Be16::from_host(input_.source_port); }
  Be16 destination_port() const { return Be16::from_host(input_.destination_port); }
  std::string vip_text() const {
    return address_port_text(input_.destination, input_.destination_port) + "/" +
           protocol_name(input_.protocol);
  }
  void step(const char* stage, std::string text) {
    result_.steps.push_back({stage, std::move(text)});
  }
  void drop(DropReason reason) {
    result_.verdict = "drop";
    result_.reason = reason;
  }
  void refuse(const char* stage, DropReason reason, const std::string& why) {
    const auto address = state_.find_address<Family>(destination_);
    const bool answerable = input_.protocol == kProtocolUdp ||
                            (input_.protocol == kProtocolTcp && (input_.tcp_flags & kTcpRst) == 0);
    const bool answered = address.served && address.unserved == Unserved::reject && answerable;
    drop(reason);
    if (answered) result_.verdict = "reject";
    step(stage,
         why + (answered ? input_.protocol == kProtocolTcp ? "; answered with a TCP RST"
                                                           : "; answered with ICMP port unreachable"
                         : "; dropped"));
  }

  bool find_vip() {
    const std::uint32_t hash =
        state_.vip_hash<Family>(destination_, input_.protocol, destination_port());
    result_.vip =
        carries_ports(input_.protocol)
            ? state_.find_vip<Family>(destination_, input_.protocol, destination_port(), hash)
            : nullptr;
    if (result_.vip == nullptr) {
      no_vip();
      return false;
    }
    step("vip", vip_text() + " is a port of Service " + result_.vip->service);
    if (!is_single_host<Family>(source_) || source_ == destination_) {
      drop(DropReason::martian_source);
      step("vip", "no host can have the source address " + input_.source.text());
      return false;
    }
    return true;
  }

  void no_vip() {
    if (state_.find_address<Family>(destination_).served) {
      switch (unserved_fate(input_.protocol)) {
        case UnservedFate::refuse_port:
          return refuse(
              "vip", DropReason::unserved_port,
              input_.destination.text() + " is a VIP's address, but no Service has " + vip_text());
        case UnservedFate::refuse_protocol:
          step("vip", "a VIP's address takes TCP, UDP, SCTP and ICMP only");
          return drop(DropReason::unserved_protocol);
        case UnservedFate::punt:
          break;
      }
      step("vip",
           input_.destination.text() + " is a VIP's address: the kernel answers ICMP for it");
    } else {
      step("vip",
           input_.destination.text() + " is no VIP's address: the kernel gets what is not a VIP's");
    }
    const NatSources* sources = routing_.nat_sources.load(std::memory_order_acquire);
    if (find_nat_source<Family>(sources, destination_) != nullptr &&
        input_.destination_port >= sources->first_port &&
        input_.destination_port <= sources->last_port) {
      step("vip",
           "it is a NAT source and the port is set apart for NAT: only a backend's reply would "
           "pass");
      return drop(DropReason::nat_no_flow);
    }
    if (state_.find_address<Family>(source_).served ||
        find_nat_source<Family>(sources, source_) != nullptr) {
      step("vip", "the source is an address of this gateway: never given to the kernel");
      return drop(DropReason::martian_source);
    }
    result_.verdict = "slow-path";
  }

  void find_worker() {
    if (workers_.empty()) return;
    if (result_.vip->mode == Mode::dnat) return find_dnat_worker();
    const Steering* steering = steering_of(workers_[0]->config(), input_.in_port);
    if (steering == nullptr) return step("worker", "one worker takes all that this port receives");
    result_.worker =
        owner<Family>(*steering, source_, destination_, source_port(), destination_port());
    step("worker", "by its hash the flow belongs to worker " + std::to_string(result_.worker));
  }

  void find_dnat_worker() {
    const PipelineConfig& config = workers_[0]->config();
    std::uint64_t key;
    std::memcpy(&key, config.secret + 8, sizeof(key));
    if (config.workers > 1)
      result_.worker = dnat_owner<Family>(key, source_, source_port(), config.workers);
    step("worker", "by its client the flow belongs to worker " + std::to_string(result_.worker));
  }

  // Any worker may track a direct-return flow, so all are asked.
  bool find_flow() {
    const FlowKey<Family> key{source_, source_port(), destination_port(), result_.vip->id};
    for (const Pipeline* worker : workers_) {
      typename ConnectionTable<Family>::Entry entry;
      if (!peek_flow(*worker, key, entry)) continue;
      std::uint32_t backend = entry.link.index();
      std::string nat;
      Mode mode = translates(result_.vip->mode) ? Mode::dsr_mac : result_.vip->mode;
      if (entry.link.is_nat()) {
        NatRecord<Family> record;
        if (!peek_record(*worker, entry.link, record)) continue;
        backend = record.backend_id;
        mode = record.dnat() ? Mode::dnat : Mode::nat;
        if (!record.dnat())
          nat = ", by NAT from " + address_port_text(text_address<Family>(record.source.address),
                                                     record.source.port.host());
      }
      result_.backend = state_.backend(backend);
      if (result_.backend == nullptr) {
        step("flow", "a flow exists, but its backend is gone: it will be forgotten");
        return false;
      }
      result_.flow_exists = true;
      result_.worker = worker->config().worker;
      result_.mode = mode;
      step("flow", std::string("a flow exists in worker ") + std::to_string(result_.worker) + ", " +
                       name(entry.state) + nat);
      return true;
    }
    step("flow", "no flow exists");
    return false;
  }

  std::uint64_t hash_of_flow() const {
    return flow_hash<Family>(state_.maglev_seed(), source_, source_port(), destination_,
                             destination_port(), input_.protocol);
  }

  bool choose_backend() {
    const VipBlock& vip = *result_.vip;
    if (!may_start(vip.mode, input_.protocol, input_.tcp_flags)) {
      refuse("flow", DropReason::tcp_no_flow,
             result_.vip->mode == Mode::nat ? "without a SYN nothing begins a NAT flow"
                                            : "a reset begins no flow");
      return false;
    }
    const std::uint64_t hash = hash_of_flow();
    result_.backend = state_.choose(vip, hash);
    if (result_.backend == nullptr) {
      refuse("backend", DropReason::no_backend, "the Service has no usable backend");
      return false;
    }
    result_.mode = vip.mode;
    if (vip.quic && input_.protocol == kProtocolUdp)
      step("backend",
           "as of a packet with QUIC's long header; one with a short header goes where its "
           "connection ID says, if it names a backend of the Service");
    step("backend",
         "slot " +
             std::to_string(maglev_slot(hash, static_cast<std::uint32_t>(vip.maglev.size()))) +
             " of " + std::to_string(vip.maglev.size()) + " in the Maglev table");
    return true;
  }

  void route() {
    const BackendRecord& backend = *result_.backend;
    step("backend", address_port_text(address_of(backend), backend.port.host()));
    step("mode", std::string(name(result_.mode)) + ": " + what_it_does(result_.mode));
    if (crosses(backend))
      step("mode", "NAT64: the packet becomes one of IPv4 and replies become IPv6 (RFC 7915)");
    if (translates(result_.mode) && input_.protocol == kProtocolSctp)
      step("mode", "SCTP: the CRC32c is adjusted to the new ports");
    const OverlayRecord* overlay =
        backend.overlay == OverlayKind::none ? nullptr : state_.overlay(backend.id);
    result_.towards = overlay != nullptr ? remote_of(*overlay) : address_of(backend);
    if (overlay != nullptr) step("overlay", way_text(*overlay));
    const std::uint64_t hash = hash_of_flow();
    result_.next_hop_index = backend_next_hop(routing_, backend.id, [hash] { return hash; });
    result_.next_hop = read_hop(routing_, result_.next_hop_index);
    const DropReason reason = next_hop_refusal(result_.next_hop, result_.mode == Mode::dsr_mac);
    if (reason != DropReason::none) {
      step("route", help(reason));
      return drop(reason);
    }
    if (result_.mode == Mode::nat && !result_.flow_exists && !has_nat_source()) {
      step("route", help(DropReason::nat_no_source));
      return drop(DropReason::nat_no_source);
    }
    if (!tunnel_can_start(backend, overlay)) {
      step("route", help(DropReason::tunnel_no_source));
      return drop(DropReason::tunnel_no_source);
    }
    const bool known = result_.next_hop.state == NextHopState::reachable;
    step("route",
         known ? "the next hop's MAC is known"
               : "the next hop's MAC is not known yet: the packet waits while the kernel asks");
    say_mtu(backend, overlay);
    result_.verdict = "transmit";
  }

  bool crosses(const BackendRecord& backend) const {
    return result_.mode == Mode::nat && backend.address_bytes != Family::kAddressBytes;
  }

  // The longest packet of the client's that gets through, and what becomes of longer ones.
  void say_mtu(const BackendRecord& backend, const OverlayRecord* overlay) {
    const std::uint32_t mtu = mtu_towards(routing_, result_.next_hop.port, backend.id, input_.now);
    TunnelKind kind = TunnelKind::none;
    if (encapsulates(result_.mode))
      kind = result_.mode == Mode::gue ? TunnelKind::gue : TunnelKind::ipip;
    if (overlay != nullptr)
      kind = overlay->kind == OverlayKind::vxlan ? TunnelKind::vxlan : TunnelKind::ipip;
    const std::uint8_t remote = overlay != nullptr ? overlay->remote_bytes : backend.address_bytes;
    const std::uint32_t added = kind == TunnelKind::none ? 0 : tunnel_bytes(kind, remote);
    constexpr std::uint32_t kShrinks = sizeof(Ipv6Header) - sizeof(Ipv4Header);  // To IPv4.
    const std::uint32_t most = mtu - std::min(mtu, added) + (crosses(backend) ? kShrinks : 0);
    const bool learned = learned_mtu(routing_, backend.id, input_.now) == mtu;
    step("mtu", "packets of up to " + std::to_string(most) + " bytes get through" +
                    (learned ? ", as a router on the way has said" : "") +
                    (Family::kAddressBytes == 4
                         ? "; longer ones leave in fragments if they have no DF, else they are "
                           "dropped and answered with that MTU"
                         : "; longer ones are dropped and answered with that MTU"));
  }

  // Of the family of the outer header: of the backend, or of the node its overlay leads to.
  bool tunnel_can_start(const BackendRecord& backend, const OverlayRecord* overlay) const {
    if (overlay == nullptr && !encapsulates(result_.mode)) return true;
    const TunnelSources* sources = routing_.tunnel_sources();
    if (sources == nullptr || result_.next_hop.port >= sources->ports.size()) return false;
    const TunnelSources::Port& port = sources->ports[result_.next_hop.port];
    const bool v4 = (overlay != nullptr ? overlay->remote_bytes : backend.address_bytes) == 4;
    return v4 ? port.ipv4.present : port.ipv6.present;
  }

  bool has_nat_source() const {
    const NatSources* sources = routing_.nat_sources.load(std::memory_order_acquire);
    if (sources == nullptr) return false;
    const auto any = [&](const auto& of_family) {
      return std::any_of(of_family.begin(), of_family.end(), [&](const auto& source) {
        return source.port_id == result_.next_hop.port || source.port_id == 0xffff;
      });
    };
    return result_.backend->address_bytes == 4 ? any(sources->ipv4) : any(sources->ipv6);
  }

  const TraceInput& input_;
  const ForwardingState& state_;
  const Routing& routing_;
  std::span<const Pipeline* const> workers_;
  typename Family::Address source_, destination_;
  TraceResult result_;
};

template <typename Family>
bool show_flow(const Pipeline& worker, const ForwardingState& state, Ticks now,
               const typename ConnectionTable<Family>::Entry& entry,
               const std::function<bool(const FlowView&)>& show) {
  const VipIdentity* vip = state.identity(entry.key.vip_id);
  if (vip == nullptr) return true;  // A backend's entry, or of a VIP that is gone.
  FlowView view;
  view.protocol = vip->protocol;
  view.client = text_address<Family>(entry.key.client);
  view.client_port = entry.key.client_port.host();
  view.vip = vip->address;
  view.vip_port = entry.key.vip_port.host();
  view.state = entry.state;
  view.worker = worker.config().worker;
  view.backend_id = entry.link.index();
  view.idle_seconds = idle_ticks(now, entry.age) / kTicksPerSecond;
  if (entry.link.is_nat()) {
    NatRecord<Family> record;
    if (!peek_record(worker, entry.link, record)) return true;
    view.backend_id = record.backend_id;
    view.nat = !record.dnat();  // DNAT keeps the client's address.
    if (view.nat) {
      view.nat_source = text_address<Family>(record.source.address);
      view.nat_port = record.source.port.host();
    }
    // A packet may have come since `now` was read.
    view.idle_seconds =
        now - record.seen < ~Ticks{0} / 2 ? (now - record.seen) / kTicksPerSecond : 0;
  }
  if (const BackendRecord* backend = state.backend(view.backend_id); backend != nullptr) {
    view.backend = address_of(*backend);
    view.backend_port = backend->port.host();
  }
  return show(view);
}

template <typename Family>
bool show_flows(const Pipeline& worker, const ForwardingState& state, Ticks now,
                const std::function<bool(const FlowView&)>& show) {
  const ConnectionTable<Family>& table = worker.flows<Family>();
  typename ConnectionTable<Family>::Entry entry;
  for (std::size_t slot = 0; slot < table.slots(); ++slot) {
    if (!table.peek(static_cast<Slot>(slot), entry)) continue;
    if (!show_flow<Family>(worker, state, now, entry, show)) return false;
  }
  return true;
}

}  // namespace

TraceResult trace(const TraceInput& input, const ForwardingState& state, const Routing& routing,
                  std::span<const Pipeline* const> workers) {
  if (input.source.size() != input.destination.size() || input.source.size() == 0) {
    TraceResult result;
    result.verdict = "drop";
    result.steps.push_back({"packet", "source and destination must be of one address family"});
    return result;
  }
  if (input.source.is_v4()) return Tracer<Ipv4>(input, state, routing, workers).run();
  return Tracer<Ipv6>(input, state, routing, workers).run();
}

const char* name(FlowState state) {
  switch (state) {
    case FlowState::empty:
      return "empty";
    case FlowState::weak:
      return "weak";
    case FlowState::handshake:
      return "handshake";
    case FlowState::established:
      return "established";
    case FlowState::closing:
      return "closing";
  }
  return "unknown";
}

void for_each_flow(const Pipeline& worker, const ForwardingState& state, Ticks now,
                   const std::function<bool(const FlowView&)>& show) {
  if (show_flows<Ipv4>(worker, state, now, show)) show_flows<Ipv6>(worker, state, now, show);
}

}  // namespace sluice
