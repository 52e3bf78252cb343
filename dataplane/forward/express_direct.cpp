// The short way of packets with direct return, of flows that are known and of such as begin: by MAC
// alone, IP-in-IP and GUE.
#include "dataplane/forward/express.h"
#include "dataplane/forward/express_rules.h"
#include "dataplane/forward/pipeline_rules.h"
#include "dataplane/forward/tunnel_rules.h"
#include "dataplane/packet/encapsulate.h"

namespace sluice {

using namespace express_rules;

namespace {

// A packet on its way into a tunnel.
struct Entering {
  const Adjacency& way;
  std::uint8_t* frame;
  std::uint32_t bytes;  // Of layer 3.
};

template <typename Family>
inline constexpr std::uint64_t kInnerProtocol =
    Family::kAddressBytes == 4 ? kProtocolIpv4 : kProtocolIpv6;

// What is written lies in front of the packet, worked out in registers from the line and one word
// of the packet. All is read before anything is written: bytes may be any object's, for all that
// the compiler knows.
template <typename Family>
[[gnu::always_inline]] inline std::uint8_t* put_ipip(const Entering& packet, std::uint32_t entropy,
                                                     std::uint16_t& tunnel_id, Ipv4) {
  const Adjacency& way = packet.way;
  std::uint8_t* l3 = packet.frame + kL3;
  const std::uint64_t ethernet[2] = {way.ethernet[0], way.ethernet[1]};
  const auto destination = load<std::uint32_t>(way.destination);
  const std::uint32_t source =
      (load<std::uint32_t>(way.source) & ~way.varies) | (entropy & way.varies);
  const Be16 length =
      Be16::from_host(static_cast<std::uint16_t>(packet.bytes + sizeof(Ipv4Header)));
  constexpr std::uint64_t kWhole = std::uint64_t{Be16::from_host(kIpv4DontFragment).raw} << 48;
  std::uint64_t head = 0x45 | std::uint64_t{length.raw} << 16;
  if constexpr (Family::kAddressBytes == 4) {
    const auto inner = load<std::uint64_t>(l3);
    head |= inner & (kWhole | 0xff00);
    if ((inner & kWhole) == 0) [[unlikely]]
      head |= std::uint64_t{Be16::from_host(++tunnel_id).raw} << 32;
  } else {
    head |= kWhole | std::uint64_t{traffic_class<Family>(l3)} << 8;
  }
  std::uint64_t tail = kTunnelTtl | kInnerProtocol<Family> << 8 | std::uint64_t{source} << 32;
  std::uint64_t sum = head + tail;
  sum += sum < tail;
  sum += destination;
  sum += sum < destination;
  tail |= std::uint64_t{static_cast<std::uint16_t>(~fold(sum))} << 16;
  age_one_hop<Family>(l3);
  std::uint8_t* at = l3 - sizeof(Ipv4Header);
  std::memcpy(at - kL3, ethernet, sizeof(ethernet));  // Two bytes too many, which come next.
  std::memcpy(at, &head, sizeof(head));
  std::memcpy(at + 8, &tail, sizeof(tail));
  std::memcpy(at + 16, &destination, sizeof(destination));
  return at - kL3;
}

template <typename Family>
[[gnu::always_inline]] inline std::uint8_t* put_ipip(const Entering& packet, std::uint32_t entropy,
                                                     std::uint16_t&, Ipv6) {
  const Adjacency& way = packet.way;
  std::uint8_t* l3 = packet.frame + kL3;
  const std::uint64_t ethernet[2] = {way.ethernet[0], way.ethernet[1]};
  std::uint64_t source[2], destination[2];
  std::memcpy(source, way.source, sizeof(source));
  std::memcpy(destination, way.destination, sizeof(destination));
  const std::uint64_t varies = std::uint64_t{way.varies} << 32;
  source[1] = (source[1] & ~varies) | (std::uint64_t{entropy} << 32 & varies);
  const std::uint32_t first = __builtin_bswap32(
      6u << 28 | std::uint32_t{traffic_class<Family>(l3)} << 20 | (entropy & 0xfffff));
  const Be16 length = Be16::from_host(static_cast<std::uint16_t>(packet.bytes));
  const std::uint64_t head = first | std::uint64_t{length.raw} << 32 |
                             kInnerProtocol<Family> << 48 | std::uint64_t{kTunnelTtl} << 56;
  age_one_hop<Family>(l3);
  std::uint8_t* at = l3 - sizeof(Ipv6Header);
  std::memcpy(at - kL3, ethernet, sizeof(ethernet));
  std::memcpy(at, &head, sizeof(head));
  std::memcpy(at + 8, source, sizeof(source));
  std::memcpy(at + 24, destination, sizeof(destination));
  return at - kL3;
}

// nullptr: not here; nothing has changed.
template <typename Family, typename Outer>
std::uint8_t* put_gue(const Entering& packet, std::uint32_t entropy, std::uint8_t protocol,
                      std::uint16_t& tunnel_id) {
  const Adjacency& way = packet.way;
  std::uint8_t* l3 = packet.frame + kL3;
  InnerPacket inner = inner_packet<Family>(l3, packet.bytes);
  OuterHeader<Outer> outer;
  outer.kind = TunnelKind::gue;
  outer.entropy = entropy;
  outer.port = Be16::from_host(kGuePort);
  TunnelSource<Outer> source{true, {}, {}};
  std::memcpy(source.address.data(), way.source, Outer::kAddressBytes);
  std::memcpy(source.varies.data() + Outer::kAddressBytes - 4, &way.varies, 4);
  outer.source = vary(source, entropy);
  std::memcpy(outer.destination.data(), way.destination, Outer::kAddressBytes);
  const std::uint32_t segment = packet.bytes + kL3 - kL4<Family>;
  if (Outer::kAddressBytes == 16 && protocol == kProtocolUdp) {
    // A payload without a checksum, or behind what UDP counts, would have to be summed.
    const auto& udp = *reinterpret_cast<const UdpHeader*>(packet.frame + kL4<Family>);
    if (udp.checksum.raw == 0 || udp.length.host() != segment) return nullptr;
  }
  if (inner.may_fragment) outer.id = ++tunnel_id;
  const std::uint64_t ethernet[2] = {way.ethernet[0], way.ethernet[1]};
  age_one_hop<Family>(l3);
  if (Outer::kAddressBytes == 16) {
    inner.sum = sum_by_checksums<Family>(l3, protocol, kL4<Family> - kL3, segment);
    inner.summed = true;
  }
  std::uint8_t* start = encapsulate<Outer>(l3, outer, inner);
  std::memcpy(start, ethernet, sizeof(EthernetHeader) - 2);
  return start;
}

// False: not here; nothing has changed.
template <typename Family, typename Outer>
[[gnu::always_inline]] inline bool enter(const Entering& packet, const VipBlock& vip, Burst& burst,
                                         unsigned p, std::uint16_t& tunnel_id) {
  const TunnelKind kind = vip.mode == Mode::gue ? TunnelKind::gue : TunnelKind::ipip;
  const std::uint32_t overhead = tunnel_bytes(kind, Outer::kAddressBytes);
  const std::uint32_t bytes = packet.bytes;
  if (bytes + overhead > packet.way.mtu || burst.headroom(p) < overhead ||
      burst.length[p] != burst.total_length[p]) [[unlikely]] {
    return false;
  }
  std::uint32_t entropy = 0;
  if (kind == TunnelKind::gue || Outer::kAddressBytes == 16 || packet.way.varies != 0) {
    const auto ports = load<std::uint32_t>(packet.frame + kL4<Family>);
    entropy = tunnel_entropy<Family>(source_in<Family>(packet.frame),
                                     Be16{static_cast<std::uint16_t>(ports)},
                                     Be16{static_cast<std::uint16_t>(ports >> 16)});
  }
  std::uint8_t* start = kind == TunnelKind::ipip
                            ? put_ipip<Family>(packet, entropy, tunnel_id, Outer{})
                            : put_gue<Family, Outer>(packet, entropy, vip.protocol, tunnel_id);
  if (start == nullptr) [[unlikely]]
    return false;
  burst.data[p] = start;
  burst.length[p] = burst.total_length[p] = kL3 + bytes + overhead;
  return true;
}

std::uint8_t tcp_flags(const VipBlock& vip, const std::uint8_t* l4) {
  return vip.protocol == kProtocolTcp ? reinterpret_cast<const TcpHeader*>(l4)->flags
                                      : std::uint8_t{0};
}

}  // namespace

// False: not here; nothing has changed.
template <typename Family>
[[gnu::always_inline]] inline bool Express<Family>::send_direct(const ExpressContext& context,
                                                                unsigned i) {
  Burst& burst = context.burst;
  const unsigned p = packet_[i];
  const VipBlock& vip = *vip_[i];
  const std::uint32_t backend = backend_[i];
  const Adjacency& way =
      context.adjacencies.get(backend, context.state, context.routing, context.now);
  VipCounterSet& of_vip = context.counters.vips[vip.counter];
  BackendCounterSet& of_backend = context.counters.backends[backend];
  const std::uint64_t bytes = burst.total_length[p];
  std::uint8_t* frame = burst.data[p];
  const Entering packet{way, frame, end_of<Family>(frame) - kL3};
  burst.out_port[p] = way.port;  // Of one that is left, nobody looks at it.
  burst.next_hop[p] = way.next_hop;
  if (vip.mode == Mode::dsr_mac) {
    if ((way.can & Adjacency::kReachByMac) == 0 || packet.bytes > way.mtu) [[unlikely]]
      return false;
    const std::uint64_t ethernet[2] = {way.ethernet[0], way.ethernet[1]};
    std::memcpy(frame, ethernet, sizeof(EthernetHeader) - 2);
  } else if ((way.can & Adjacency::kTunnelIpv4) != 0) {
    if (!enter<Family, Ipv4>(packet, vip, burst, p, context.tunnel_id)) [[unlikely]]
      return false;
  } else {
    if ((way.can & Adjacency::kTunnelIpv6) == 0) [[unlikely]]
      return false;
    if (!enter<Family, Ipv6>(packet, vip, burst, p, context.tunnel_id)) [[unlikely]]
      return false;
  }
  count_in(of_vip, of_backend, bytes);
  return true;
}

template <typename Family>
void Express<Family>::send_direct(const ExpressContext& context, std::uint64_t& rest) {
  std::uint64_t left = rest;
  const unsigned count = direct_count_;
  for (unsigned k = 0; k < count; ++k) {
    const unsigned i = direct_[k];
    if (!send_direct(context, i)) [[unlikely]]
      left |= std::uint64_t{1} << packet_[i];
  }
  rest = left;
}

// By Maglev: first where in the tables, then whom.
template <typename Family>
void Express<Family>::choose_backends(const ExpressContext& context, const std::uint16_t* which,
                                      unsigned count) {
  const Burst& burst = context.burst;
  const std::uint64_t seed = context.state.maglev_seed();
  const std::uint32_t* places[kMax];
  static constexpr std::uint32_t kNobody = ~std::uint32_t{0};
  for (unsigned k = 0; k < count; ++k) {
    const unsigned i = which[k];
    const VipBlock& vip = *vip_[i];
    const std::uint8_t* frame = burst.data[packet_[i]];
    const auto ports = load<std::uint32_t>(frame + kL4<Family>);
    const std::uint64_t hash = flow_hash<Family>(
        seed, source_in<Family>(frame), Be16{static_cast<std::uint16_t>(ports)},
        destination_in<Family>(frame), Be16{static_cast<std::uint16_t>(ports >> 16)}, vip.protocol);
    const auto slots = static_cast<std::uint32_t>(vip.maglev.size());
    places[k] = slots == 0 ? &kNobody : &vip.maglev[maglev_slot(hash, slots)];
    prefetch_line(places[k]);
  }
  for (unsigned k = 0; k < count; ++k) {
    const std::uint32_t id = *places[k];
    backend_[which[k]] = id;
    if (id >= context.adjacencies.count()) continue;
    context.adjacencies.prefetch(id);
    prefetch_line(&context.counters.backends[id]);
  }
}

// One after the other, for a flow may begin twice in a burst, and what is inserted may move others.
template <typename Family>
void Express<Family>::send_fresh(const ExpressContext& context, Table& table, NatFlows<Family>& nat,
                                 std::uint64_t& rest) {
  choose_backends(context, fresh_, fresh_count_);
  for (unsigned k = 0; k < fresh_count_; ++k) table.prefetch_room(buckets_[fresh_[k]]);
  std::uint64_t left = rest;
  Met begun;
  for (unsigned k = 0; k < fresh_count_; ++k) {
    const unsigned i = fresh_[k], p = packet_[i];
    const std::uint32_t backend = backend_[i];
    const VipBlock& vip = *vip_[i];
    const bool known = begun_before(table, i, begun);
    const std::uint8_t flags = tcp_flags(vip, context.burst.data[p] + kL4<Family>);
    if (known || backend >= context.adjacencies.count() || !send_direct(context, i)) [[unlikely]] {
      left |= std::uint64_t{1} << p;
      continue;
    }
    if ((flags & kTcpRst) != 0) continue;  // Nothing follows it.
    if (context.new_flows_left == 0) {
      context.counters.untracked.add(1);
      continue;
    }
    --context.new_flows_left;
    const FlowState state = opens(flags) ? FlowState::handshake : FlowState::weak;
    const Slot slot = table.insert(words_[i], buckets_[i], FlowLink::backend(backend), state,
                                   context.now, NatFlows<Family>::evicted, &nat);
    nat.finish();
    if (slot == kNoSlot) {
      context.counters.untracked.add(1);
      continue;
    }
    begun.add(buckets_[i]);
    context.counters.vips[vip.counter].new_flows.add(1);
    context.counters.backends[backend].new_flows.add(1);
  }
  rest = left;
}

#define SLUICE_INSTANTIATE(Family)                                                            \
  template void Express<Family>::choose_backends(const ExpressContext&, const std::uint16_t*, \
                                                 unsigned);                                   \
  template void Express<Family>::send_direct(const ExpressContext&, std::uint64_t&);          \
  template void Express<Family>::send_fresh(const ExpressContext&, Table&, NatFlows<Family>&, \
                                            std::uint64_t&);
SLUICE_INSTANTIATE(Ipv4)
SLUICE_INSTANTIATE(Ipv6)

}  // namespace sluice
