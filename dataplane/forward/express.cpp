#include "dataplane/forward/express.h"

#include "dataplane/forward/express_rules.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tunnel_rules.h"
#include "dataplane/packet/encapsulate.h"
#include "dataplane/packet/rewrite.h"

namespace sluice {

using namespace express_rules;

namespace {

template <typename Family>
struct Leaving {
  unsigned p;
  const NextHop& hop;
  std::uint32_t mtu;
  const VipBlock& vip;
  const BackendRecord& backend;
  std::uint8_t* frame;
  std::uint32_t end;
};

// False: not here; nothing has changed.
template <typename Family, typename Outer>
[[gnu::always_inline]] inline bool enter(const Leaving<Family>& packet,
                                         const TunnelSources* sources, Burst& burst,
                                         std::uint16_t& tunnel_id) {
  const unsigned p = packet.p;
  const TunnelKind kind = packet.vip.mode == Mode::gue ? TunnelKind::gue : TunnelKind::ipip;
  const std::uint32_t overhead = tunnel_bytes(kind, Outer::kAddressBytes);
  const std::uint32_t bytes = packet.end - kL3;
  const TunnelSource<Outer>* source = tunnel_source<Outer>(sources, packet.hop.port);
  if (source == nullptr || bytes + overhead > packet.mtu || burst.headroom[p] < overhead ||
      burst.length[p] != burst.total_length[p]) [[unlikely]] {
    return false;
  }
  std::uint8_t* l3 = packet.frame + kL3;
  InnerPacket inner = inner_packet<Family>(l3, bytes);
  const auto ports = load<std::uint32_t>(packet.frame + kL4<Family>);
  OuterHeader<Outer> outer;
  outer.kind = kind;
  outer.entropy = tunnel_entropy<Family>(source_in<Family>(packet.frame),
                                         Be16{static_cast<std::uint16_t>(ports)},
                                         Be16{static_cast<std::uint16_t>(ports >> 16)});
  outer.source = vary(*source, outer.entropy);
  std::memcpy(outer.destination.data(), packet.backend.address, Outer::kAddressBytes);
  outer.port = Be16::from_host(kGuePort);
  const bool sums = Outer::kAddressBytes == 16 && kind == TunnelKind::gue;
  if (sums && packet.vip.protocol == kProtocolUdp) {
    // A payload without a checksum, or behind what UDP counts, would have to be summed.
    const auto& udp = *reinterpret_cast<const UdpHeader*>(packet.frame + kL4<Family>);
    if (udp.checksum.raw == 0 || udp.length.host() != packet.end - kL4<Family>) return false;
  }
  if (inner.may_fragment) outer.id = ++tunnel_id;
  age_one_hop<Family>(l3);
  if (sums) {
    inner.sum = sum_by_checksums<Family>(l3, packet.vip.protocol, kL4<Family> - kL3,
                                         packet.end - kL4<Family>);
    inner.summed = true;
  }
  std::uint8_t* start = encapsulate<Outer>(l3, outer, inner);
  write_macs(start, packet.hop.destination_mac, packet.hop.source_mac);
  burst.data[p] = start;
  burst.length[p] = burst.total_length[p] = packet.end + overhead;
  return true;
}

// Whether this worker is the one for the packet of a translated flow, as far as that is clear.
bool is_ours(const ExpressContext& context, unsigned p, Mode mode) {
  return context.workers == 1 || (mode == Mode::nat && context.burst.steered[p]);
}

}  // namespace

template <typename Family>
[[gnu::always_inline]] inline bool Express<Family>::admit(const Burst& burst, const OwnMacs& macs,
                                                          const ForwardingState::VipView& vips,
                                                          unsigned p) {
  const std::uint8_t* frame = burst.data[p];
  const std::uint16_t port = burst.in_port[p];
  if (burst.length[p] < kL4<Family> + sizeof(TcpHeader) || port >= kMaxPorts) return false;
  if ((load<std::uint64_t>(frame) & macs.mask[port]) != macs.mac[port]) return false;
  if (!is_plain<Family>(frame)) return false;
  const auto& tcp = *reinterpret_cast<const TcpHeader*>(frame + kL4<Family>);
  const std::uint32_t end = end_of<Family>(frame);
  if (end > burst.total_length[p]) return false;
  const std::uint8_t protocol = protocol_in<Family>(frame);
  if (protocol == kProtocolTcp) {
    constexpr std::uint8_t kEnds = kTcpSyn | kTcpFin | kTcpRst;
    const std::uint32_t bytes = tcp.header_bytes();
    if ((tcp.flags & kEnds) != 0 || bytes < sizeof(tcp) || kL4<Family> + bytes > end) return false;
  } else if (protocol == kProtocolUdp) {
    const std::uint32_t bytes = host16(load<std::uint16_t>(frame + kL4<Family> + 4));
    if (bytes < sizeof(UdpHeader) || kL4<Family> + bytes > end) return false;
  } else {
    return false;
  }
  const unsigned i = count_++;
  packet_[i] = static_cast<std::uint8_t>(p);
  const std::uint32_t hash = ForwardingState::vip_hash<Family>(destination_in<Family>(frame),
                                                               protocol, tcp.destination_port);
  hash_[i] = hash;
  vips.prefetch(hash);
  return true;
}

template <typename Family>
void Express<Family>::run(const ExpressContext& context, ConnectionTable<Family>& table,
                          NatRecords<Family>& records, std::uint64_t& rest) {
  if (count_ == 0) return;
  find_vips(context, table, rest);
  find_flows(context, table, records, rest);
  send(context, rest);
  if (translated_count_ != 0) send_translated(context, rest);
  count_ = 0;
}

// The VIPs, and the buckets of the flows.
template <typename Family>
void Express<Family>::find_vips(const ExpressContext& context, const Table& table,
                                std::uint64_t& rest) {
  const unsigned count = count_;
  const ForwardingState::VipView vips = context.state.vip_view();
  for (unsigned i = 0; i < count; ++i) vip_[i] = vips.candidate(hash_[i]);
  const Burst& burst = context.burst;
  unsigned kept = 0;
  std::uint64_t left = rest;
  for (unsigned i = 0; i < count; ++i) {
    const std::uint8_t p = packet_[i];
    const std::uint8_t* frame = burst.data[p];
    const auto ports = load<std::uint32_t>(frame + kL4<Family>);
    const Be16 port{static_cast<std::uint16_t>(ports >> 16)};
    const VipBlock* vip = vip_[i];
    std::uint32_t id;
    bool known;
    if (vip != nullptr && ForwardingState::is_vip<Family>(*vip, destination_in<Family>(frame),
                                                          protocol_in<Family>(frame), port))
        [[likely]] {
      id = vip->id;
      known = !translates(vip->mode) || is_ours(context, p, vip->mode);
    } else {
      vip = nullptr;
      known = is_reply(context, p, id);
    }
    if (!known) [[unlikely]] {
      left |= std::uint64_t{1} << p;
      continue;
    }
    FlowWords<Family>& words = words_[kept];
    if constexpr (Family::kAddressBytes == 4) {
      words[0] = load<std::uint32_t>(frame + kL3 + 12) | std::uint64_t{ports} << 32;
      words[1] = id;
    } else {
      words[0] = load<std::uint64_t>(frame + kL3 + 8);
      words[1] = load<std::uint64_t>(frame + kL3 + 16);
      words[2] = ports;
      words[3] = id;
    }
    buckets_[kept] = table.hash(words);
    table.prefetch(buckets_[kept]);
    packet_[kept] = p;
    vip_[kept++] = vip;
  }
  count_ = kept;
  rest = left;
}

// The flows, and what is needed of their backends.
template <typename Family>
void Express<Family>::find_flows(const ExpressContext& context, Table& table,
                                 NatRecords<Family>& records, std::uint64_t& rest) {
  const unsigned count = count_;
  table.find(words_, buckets_, count, slot_);
  const Routing& routing = context.routing;
  const ForwardingState& state = context.state;
  const std::uint32_t backend_count = routing.backend_count;
  const std::atomic<NextHopIndex>* const next_hops = routing.backend_next_hop.get();
  BackendCounterSet* const counters = context.counters.backends.get();
  VipCounterSet* const vip_counters = context.counters.vips.get();
  unsigned kept = 0, translated = 0;
  std::uint64_t left = rest;
  for (unsigned i = 0; i < count; ++i) {
    const Slot slot = slot_[i];
    if (slot != kNoSlot) [[likely]] {
      const auto flow = table.status(slot);
      const std::uint32_t id = flow.link.index();
      if (flow.link.is_nat()) {
        if (flow.state == FlowState::established && flow.link != kNatTombstone) [[likely]] {
          records.prefetch(id);
          translated_[translated] = packet_[i];
          translated_vip_[translated] = vip_[i];
          record_[translated++] = &records[id];
          continue;
        }
      } else if (flow.state == FlowState::established && vip_[i] != nullptr && id < backend_count)
          [[likely]] {
        const BackendRecord* backend = state.backend_record(id);
        if (backend != nullptr) [[likely]] {
          __builtin_prefetch(backend);
          __builtin_prefetch(&next_hops[id]);
          __builtin_prefetch(&counters[id], 1);
          __builtin_prefetch(&vip_counters[vip_[i]->counter], 1);
          packet_[kept] = packet_[i];
          vip_[kept] = vip_[i];
          slot_[kept] = slot;
          backend_[kept++] = backend;
          continue;
        }
      }
    }
    left |= std::uint64_t{1} << packet_[i];
  }
  count_ = kept;
  translated_count_ = translated;
  rest = left;
  for (unsigned i = 0; i < kept; ++i) {
    const auto flow = table.status(slot_[i]);
    if (idle_ticks(context.now, flow.age) != 0)
      table.touch(slot_[i], FlowState::established, context.now);
  }
}

template <typename Family>
void Express<Family>::send(const ExpressContext& context, std::uint64_t& rest) {
  Burst& burst = context.burst;
  const Routing& routing = context.routing;
  const TunnelSources* sources = routing.tunnel_sources.load(std::memory_order_acquire);
  VipCounterSet* const vips = context.counters.vips.get();
  BackendCounterSet* const backends = context.counters.backends.get();
  const Ticks now = context.now;
  const unsigned count = count_;
  std::uint64_t left = rest;
  for (unsigned i = 0; i < count; ++i) {
    const unsigned p = packet_[i];
    const VipBlock& vip = *vip_[i];
    const BackendRecord& backend = *backend_[i];
    const NextHopIndex index = routing.backend_next_hop[backend.id].load(std::memory_order_acquire);
    const bool possible = backend.address_bytes != 0 && index < routing.next_hop_count;
    const NextHop hop = routing.hop(possible ? index : kNoNextHop);
    std::uint8_t* frame = burst.data[p];
    const std::uint64_t bytes = burst.total_length[p];
    const Leaving<Family> leaving{p,
                                  hop,
                                  mtu_towards(routing, hop.port, backend.id, now),
                                  vip,
                                  backend,
                                  frame,
                                  end_of<Family>(frame)};
    bool left_here;
    if (vip.mode == Mode::dsr_mac) {
      left_here = hop.on_link != 0 && leaving.end - kL3 <= leaving.mtu;
      if (hop.state == NextHopState::reachable && left_here)
        write_macs(frame, hop.destination_mac, hop.source_mac);
    } else if (hop.state != NextHopState::reachable) {
      left_here = false;
    } else if (backend.address_bytes == 4) {
      left_here = enter<Family, Ipv4>(leaving, sources, burst, context.tunnel_id);
    } else {
      left_here = enter<Family, Ipv6>(leaving, sources, burst, context.tunnel_id);
    }
    if (!left_here || hop.state != NextHopState::reachable) [[unlikely]] {
      left |= std::uint64_t{1} << p;
      continue;
    }
    burst.verdict[p] = Verdict::transmit;
    burst.reason[p] = DropReason::none;
    burst.out_port[p] = hop.port;
    burst.next_hop[p] = index;
    vips[vip.counter].packets_in.add(1);
    vips[vip.counter].bytes_in.add(bytes);
    backends[backend.id].packets_in.add(1);
    backends[backend.id].bytes_in.add(bytes);
  }
  rest = left;
}

template void Express<Ipv4>::run(const ExpressContext&, ConnectionTable<Ipv4>&, NatRecords<Ipv4>&,
                                 std::uint64_t&);
template void Express<Ipv6>::run(const ExpressContext&, ConnectionTable<Ipv6>&, NatRecords<Ipv6>&,
                                 std::uint64_t&);

// Both families' lanes, in one go over the burst.
std::uint64_t express(const ExpressContext& context, Express<Ipv4>& ipv4, Express<Ipv6>& ipv6,
                      ConnectionTable<Ipv4>& table_ipv4, ConnectionTable<Ipv6>& table_ipv6,
                      NatRecords<Ipv4>& records_ipv4, NatRecords<Ipv6>& records_ipv6) {
  const Burst& burst = context.burst;
  const OwnMacs& macs = context.macs;
  const ForwardingState::VipView vips = context.state.vip_view();
  std::uint64_t rest = 0;
  constexpr unsigned kAhead = 4;
  for (unsigned p = 0; p < burst.count; ++p) {
    if (p + kAhead < burst.count) __builtin_prefetch(burst.data[p + kAhead]);
    bool taken = false;
    if (burst.length[p] >= kL3) [[likely]] {
      const auto type = load<std::uint16_t>(burst.data[p] + 12);
      if (type == Be16::from_host(Ipv4::kEtherType).raw) {
        taken = ipv4.admit(burst, macs, vips, p);
      } else if (type == Be16::from_host(Ipv6::kEtherType).raw) {
        taken = ipv6.admit(burst, macs, vips, p);
      }
    }
    if (!taken) rest |= std::uint64_t{1} << p;
  }
  ipv4.run(context, table_ipv4, records_ipv4, rest);
  ipv6.run(context, table_ipv6, records_ipv6, rest);
  return rest;
}

}  // namespace sluice
