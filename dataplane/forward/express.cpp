#include "dataplane/forward/express.h"

#include "dataplane/forward/express_rules.h"
#include "dataplane/forward/pipeline_rules.h"

namespace sluice {

using namespace express_rules;

namespace {

constexpr unsigned kAhead = 4;  // So many packets before it is read, a packet is loaded.

// Whether this worker is the one for the packet of a translated flow, as far as that is clear.
template <typename Family>
bool is_ours(const ExpressContext& context, unsigned p, Mode mode, Be16 client_port) {
  const PipelineConfig& config = context.config;
  if (config.workers == 1) return true;
  if (mode == Mode::nat) return context.burst.steered[p];
  return dnat_owner<Family>(context.spreading_key, source_in<Family>(context.burst.data[p]),
                            client_port, config.workers) == config.worker;
}

}  // namespace

template <typename Family>
[[gnu::always_inline]] inline bool Express<Family>::admit(const Burst& burst, const OwnMacs& macs,
                                                          const ForwardingState::VipView& vips,
                                                          unsigned p, Admitted& admitted) {
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
    const std::uint32_t bytes = tcp.header_bytes();
    if (bytes < sizeof(tcp) || kL4<Family> + bytes > end) return false;
    if ((tcp.flags & (kTcpSyn | kTcpFin | kTcpRst)) != 0) [[unlikely]]
      admitted.ends |= std::uint64_t{1} << p;
  } else if (protocol == kProtocolUdp) {
    const std::uint32_t bytes = host16(load<std::uint16_t>(frame + kL4<Family> + 4));
    if (bytes < sizeof(UdpHeader) || kL4<Family> + bytes > end) return false;
  } else {
    return false;
  }
  const unsigned i = admitted.count++;
  packet_[i] = static_cast<std::uint16_t>(p);
  const std::uint32_t hash = ForwardingState::vip_hash<Family>(destination_in<Family>(frame),
                                                               protocol, tcp.destination_port);
  hash_[i] = hash;
  vips.prefetch(hash);
  return true;
}

template <typename Family>
void Express<Family>::run(const ExpressContext& context, const Admitted& admitted,
                          ConnectionTable<Family>& table, NatFlows<Family>& nat,
                          std::uint64_t& rest) {
  if (admitted.count == 0) return;
  count_ = admitted.count;
  ends_ = admitted.ends;
  find_vips(context, table, rest);
  find_flows(context, table, nat.records(), rest);
  if (direct_count_ != 0) send_direct(context, rest);
  if (translated_count_ != 0) send_translated(context, rest);
  if (fresh_count_ != 0) send_fresh(context, table, nat, rest);
  if (opening_count_ != 0) send_opening(context, table, nat, rest);
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
    const std::uint16_t p = packet_[i];
    const std::uint8_t* frame = burst.data[p];
    const auto ports = load<std::uint32_t>(frame + kL4<Family>);
    const Be16 port{static_cast<std::uint16_t>(ports >> 16)};
    const VipBlock* vip = vip_[i];
    FlowWords<Family>& words = words_[kept];
    bool known;
    if (vip != nullptr && ForwardingState::is_vip<Family>(*vip, destination_in<Family>(frame),
                                                          protocol_in<Family>(frame), port))
        [[likely]] {
      const Be16 client_port{static_cast<std::uint16_t>(ports)};
      known = !translates(vip->mode) || is_ours<Family>(context, p, vip->mode, client_port);
      set_words<Family>(words, frame + kSource<Family>, ports, vip->id);
    } else {
      vip = nullptr;
      known = is_reply(context, p, words);
    }
    if (!known) [[unlikely]] {
      left |= std::uint64_t{1} << p;
      continue;
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
  const Adjacencies& adjacencies = context.adjacencies;
  const std::uint32_t backend_count = adjacencies.count();
  BackendCounterSet* const counters = context.counters.backends.get();
  VipCounterSet* const vip_counters = context.counters.vips.get();
  const Ticks now = context.now;
  const std::uint64_t ends = ends_;
  unsigned direct = 0, fresh = 0, translated = 0, opening = 0;
  std::uint64_t left = rest;
  for (unsigned i = 0; i < count; ++i) {
    const Slot slot = slot_[i];
    const VipBlock* vip = vip_[i];
    if (slot != kNoSlot) [[likely]] {
      const auto flow = table.status(slot);
      const std::uint32_t id = flow.link.index();
      if (flow.state == FlowState::established && (ends >> packet_[i] & 1) == 0) [[likely]] {
        if (flow.link.is_nat()) {
          if (flow.link != kNatTombstone) [[likely]] {
            records.prefetch(id);
            record_[translated] = &records[id];
            translated_[translated++] = static_cast<std::uint16_t>(i);
            continue;
          }
        } else if (vip != nullptr && id < backend_count) [[likely]] {
          adjacencies.prefetch(id);
          prefetch_near_line(&counters[id]);
          prefetch_near_line(&vip_counters[vip->counter]);
          if (idle_ticks(now, flow.age) != 0) table.touch(slot, FlowState::established, now);
          backend_[i] = id;
          direct_[direct++] = static_cast<std::uint16_t>(i);
          continue;
        }
      }
    } else if (vip != nullptr && !vip->quic) {
      prefetch_line(&vip_counters[vip->counter]);
      if (!translates(vip->mode)) {
        fresh_[fresh++] = static_cast<std::uint16_t>(i);
        continue;
      }
      if (!vip->proxy_protocol) {
        opening_[opening++] = static_cast<std::uint16_t>(i);
        continue;
      }
    }
    left |= std::uint64_t{1} << packet_[i];
  }
  direct_count_ = direct;
  fresh_count_ = fresh;
  translated_count_ = translated;
  opening_count_ = opening;
  rest = left;
}

// Both families' lanes, in one go over the burst.
std::uint64_t express(const ExpressContext& context, Express<Ipv4>& ipv4, Express<Ipv6>& ipv6,
                      ConnectionTable<Ipv4>& table_ipv4, ConnectionTable<Ipv6>& table_ipv6,
                      NatFlows<Ipv4>& nat_ipv4, NatFlows<Ipv6>& nat_ipv6) {
  Burst& burst = context.burst;
  const OwnMacs& macs = context.macs;
  const ForwardingState::VipView vips = context.state.vip_view();
  // What is left to the stages says so itself; most is sent and has no reason.
  std::memset(burst.verdict, static_cast<int>(Verdict::transmit), sizeof(burst.verdict));
  std::memset(burst.reason, static_cast<int>(DropReason::none), sizeof(burst.reason));
  typename Express<Ipv4>::Admitted admitted_ipv4;
  typename Express<Ipv6>::Admitted admitted_ipv6;
  std::uint64_t rest = 0;
  const unsigned count = burst.count;
  for (unsigned p = 0; p < count; ++p) {
    if (p + kAhead < count) __builtin_prefetch(burst.data[p + kAhead]);
    bool taken = false;
    if (burst.length[p] >= kL3) [[likely]] {
      const auto type = load<std::uint16_t>(burst.data[p] + 12);
      if (type == Be16::from_host(Ipv4::kEtherType).raw) {
        taken = ipv4.admit(burst, macs, vips, p, admitted_ipv4);
      } else if (type == Be16::from_host(Ipv6::kEtherType).raw) {
        taken = ipv6.admit(burst, macs, vips, p, admitted_ipv6);
      }
    }
    if (!taken) rest |= std::uint64_t{1} << p;
  }
  ipv4.run(context, admitted_ipv4, table_ipv4, nat_ipv4, rest);
  ipv6.run(context, admitted_ipv6, table_ipv6, nat_ipv6, rest);
  return rest;
}

}  // namespace sluice
