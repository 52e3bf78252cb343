#include "dataplane/forward/pipeline.h"

#include <algorithm>
#include <bit>
#include <span>

#include "dataplane/forward/express.h"
#include "dataplane/forward/pipeline_pass.h"
#include "dataplane/packet/headers.h"

namespace sluice {
namespace {

// A round of the sweep is spread over this time, and a poll never looks at more than so many
// buckets.
constexpr std::uint32_t kSweepTicks = 4 * kTicksPerSecond;
constexpr std::size_t kBucketsPerPoll = 8;

template <typename Family>
bool create_flows(WorkerFlows<Family>& flows, std::uint32_t capacity,
                  const PipelineConfig& config) {
  flows.table = ConnectionTable<Family>::create(capacity, config.secret, config.memory,
                                                config.instruction_set);
  if (flows.table == nullptr) return false;
  if (!flows.fragments.create(config.fragments, config.worker, config.workers, config.secret))
    return false;
  std::uint64_t seed;
  std::memcpy(&seed, config.secret, sizeof(seed));
  // Each flow takes two entries.
  const std::uint32_t records = std::min(config.nat_flows, capacity / 2);
  return flows.nat.create(*flows.table, records, config.backend_capacity, config.worker,
                          seed + config.worker, config.memory);
}

template <typename Family>
void add_to_lane(Lane<Family>& lane, const Burst& burst, const ParsedBurst& parsed, unsigned p) {
  const unsigned i = lane.count++;
  const auto& ip = *reinterpret_cast<const IpHeader<Family>*>(burst.data[p] + parsed.l3[p]);
  lane.packet[i] = static_cast<std::uint8_t>(p);
  lane.path[i] = Path::other;
  lane.action[i] = Action::none;
  lane.source[i] = read_address<Family>(ip.source);
  lane.destination[i] = read_address<Family>(ip.destination);
  lane.bytes[i] = burst.total_length[p];
  lane.vip[i] = nullptr;
  lane.crosses[i] = false;
  lane.next_hop[i] = kNoNextHop;
}

struct SweepContext {
  NatFlows<Ipv4>* nat_ipv4;
  NatFlows<Ipv6>* nat_ipv6;
  const ForwardingState* state;
  Ticks now;
};

template <typename Family>
bool entry_expired(void* pointer, const typename ConnectionTable<Family>::Entry& entry) {
  const auto& context = *static_cast<const SweepContext*>(pointer);
  const ForwardingState& state = *context.state;
  if (entry.link.is_nat()) {
    if constexpr (Family::kAddressBytes == 4) {
      return context.nat_ipv4->expired(entry, state, context.now);
    } else {
      return context.nat_ipv6->expired(entry, state, context.now);
    }
  }
  const VipBlock* vip = state.find_vip(entry.key.vip_id, entry.key.vip_port);
  if (vip == nullptr || state.backend(entry.link.index()) == nullptr) return true;
  const std::uint16_t timer = vip->timers.for_state(entry.state, vip->protocol == kProtocolTcp);
  return idle_ticks(context.now, entry.age) > timer;
}

}  // namespace

struct Pipeline::Impl {
  Impl(const PipelineConfig& config, WorkerCounters& counters)
      : context{.ipv4 = &ipv4,
                .ipv6 = &ipv6,
                .config = config,
                .counters = counters,
                .answers = AnswerBudget(config.icmp_per_second)} {
    for (std::size_t port = 0; port < config.port_mac.size() && port < kMaxPorts; ++port) {
      std::memcpy(&own_macs.mac[port], config.port_mac[port].data(), config.port_mac[port].size());
      own_macs.mask[port] = 0xffffffffffff;
    }
    std::memcpy(&context.spreading_key, config.secret + 8, sizeof(context.spreading_key));
  }

  // Refuses what is malformed or not for this gateway's MAC, and sorts the rest by family.
  void classify(Burst& burst, std::span<const std::uint8_t> places);
  bool for_our_mac(const Burst& burst, unsigned p) const;
  void drop(Burst& burst, unsigned p, DropReason reason);
  template <typename Family>
  void forward(WorkerFlows<Family>& flows, Burst& burst, const ForwardingState& state,
               const Routing& routing, Ticks now);

  WorkerContext context;
  OwnMacs own_macs;
  Adjacencies adjacencies;
  Express<Ipv4> express_ipv4;
  Express<Ipv6> express_ipv6;
  WorkerFlows<Ipv4> ipv4;
  WorkerFlows<Ipv6> ipv6;
  // The sweep: first one family's table, then the other's, together a round.
  bool sweeping_ipv6 = false;
  bool swept_before = false;
  Ticks sweep_tick = 0;
  std::size_t sweep_budget = 0;  // Buckets left to look at before the next tick.
};

std::unique_ptr<Pipeline> Pipeline::create(const PipelineConfig& config, WorkerCounters& counters) {
  std::unique_ptr<Pipeline> pipeline(new Pipeline);
  pipeline->impl_ = std::make_unique<Impl>(config, counters);
  if (!create_flows(pipeline->impl_->ipv4, config.flows_ipv4, config)) return nullptr;
  if (!create_flows(pipeline->impl_->ipv6, config.flows_ipv6, config)) return nullptr;
  if (!pipeline->impl_->adjacencies.create(config.backend_capacity, config.memory)) return nullptr;
  pipeline->impl_->ipv4.nat.share_ports_with(pipeline->impl_->ipv6.nat);
  pipeline->impl_->ipv6.nat.share_ports_with(pipeline->impl_->ipv4.nat);
  return pipeline;
}

Pipeline::Pipeline() = default;
Pipeline::~Pipeline() = default;

// The life of a packet.
template <typename Family>
void Pipeline::Impl::forward(WorkerFlows<Family>& flows, Burst& burst, const ForwardingState& state,
                             const Routing& routing, Ticks now) {
  if (flows.lane.count == 0) return;
  const NatSources* sources = routing.nat_sources.load(std::memory_order_acquire);
  const TunnelSources* tunnels = routing.tunnel_sources();
  Pass<Family> pass{burst, context, flows, state, routing, sources, tunnels, now};
  const bool unusual = context.parsed.unusual != 0;
  if (unusual) [[unlikely]]
    gather_fragments(pass);
  find_vips(pass);
  find_replies(pass);
  if (unusual) [[unlikely]]
    find_errors(pass);
  hand_over_foreign(pass);
  find_flows(pass);
  decide_flows(pass);
  settle_others(pass);
  find_next_hops(pass);
  send(pass);
}

void Pipeline::process(Burst& burst, const ForwardingState& state, const Routing& routing,
                       Ticks now) {
  Impl& impl = *impl_;
  impl.context.new_flows_left = impl.context.config.new_flows_per_burst;
  std::uint64_t bits = burst.count < Burst::kMax ? (std::uint64_t{1} << burst.count) - 1 : ~0ull;
  if (impl.context.config.express) {
    impl.adjacencies.begin(state, routing);
    const ExpressContext context{burst,
                                 state,
                                 routing,
                                 impl.own_macs,
                                 impl.context.counters,
                                 impl.adjacencies,
                                 impl.context.config,
                                 impl.context.spreading_key,
                                 impl.context.tunnel_id,
                                 impl.context.new_flows_left,
                                 now};
    bits = express(context, impl.express_ipv4, impl.express_ipv6, *impl.ipv4.table,
                   *impl.ipv6.table, impl.ipv4.nat, impl.ipv6.nat);
    if (bits == 0) return;
  }
  std::uint8_t places[Burst::kMax];
  unsigned left = 0;
  for (; bits != 0; bits &= bits - 1)
    places[left++] = static_cast<std::uint8_t>(std::countr_zero(bits));
  const std::span<const std::uint8_t> rest(places, left);
  parse_burst(burst.data, burst.length, burst.total_length, places, left, impl.context.parsed);
  impl.classify(burst, rest);
  impl.forward(impl.ipv4, burst, state, routing, now);
  impl.forward(impl.ipv6, burst, state, routing, now);
  unsigned punted = 0;
  for (const std::uint8_t p : rest) punted += burst.verdict[p] == Verdict::punt;
  if (punted != 0) impl.context.counters.punted.add(punted);
}

void Pipeline::Impl::classify(Burst& burst, std::span<const std::uint8_t> places) {
  const ParsedBurst& parsed = context.parsed;
  ipv4.lane.count = ipv6.lane.count = 0;
  for (const std::uint8_t p : places) {
    burst.verdict[p] = Verdict::pending;
    burst.reason[p] = DropReason::none;
    burst.mtu[p] = 0;
    if (parsed.kind[p] == PacketKind::refused) {
      drop(burst, p, parsed.reason[p]);
    } else if (!parsed.group[p] && !for_our_mac(burst, p)) {
      drop(burst, p, DropReason::ethernet_destination);
    } else if (parsed.kind[p] == PacketKind::ipv4) {
      add_to_lane(ipv4.lane, burst, parsed, p);
    } else if (parsed.kind[p] == PacketKind::ipv6) {
      add_to_lane(ipv6.lane, burst, parsed, p);
    } else {
      burst.verdict[p] = Verdict::punt;
    }
  }
}

bool Pipeline::Impl::for_our_mac(const Burst& burst, unsigned p) const {
  const std::uint16_t port = burst.in_port[p];
  const auto& macs = context.config.port_mac;
  return port >= macs.size() ||
         std::memcmp(burst.data[p], macs[port].data(), macs[port].size()) == 0;
}

void Pipeline::Impl::drop(Burst& burst, unsigned p, DropReason reason) {
  burst.verdict[p] = Verdict::drop;
  burst.reason[p] = reason;
  context.counters.drops[static_cast<unsigned>(reason)].add(1);
}

unsigned Pipeline::take_released(ReleasedFragment* out, unsigned max) {
  const unsigned count = impl_->ipv4.fragments.take_released(out, max);
  return count + impl_->ipv6.fragments.take_released(out + count, max - count);
}

unsigned Pipeline::take_expired(void** out, unsigned max) {
  unsigned count = 0;
  const auto take = [&](auto& store) {
    typename std::remove_reference_t<decltype(store)>::Expired expired;
    for (; count < max && store.take_expired(&expired, 1) == 1; ++count) {
      out[count] = expired.handle;
      impl_->context.counters.drops[static_cast<unsigned>(expired.reason)].add(1);
    }
  };
  take(impl_->ipv4.fragments);
  take(impl_->ipv6.fragments);
  return count;
}

bool Pipeline::sweep(const ForwardingState& state, Ticks now) {
  Impl& impl = *impl_;
  impl.ipv4.fragments.expire(now);
  impl.ipv6.fragments.expire(now);
  if (now != impl.sweep_tick || !impl.swept_before) {
    const std::size_t buckets = impl.ipv4.table->buckets() + impl.ipv6.table->buckets();
    impl.sweep_budget = impl.swept_before ? buckets / kSweepTicks + 1 : buckets;
    impl.sweep_tick = now;
    impl.swept_before = true;
  }
  const std::size_t buckets = std::min(impl.sweep_budget, kBucketsPerPoll);
  if (buckets == 0) return false;
  impl.sweep_budget -= buckets;
  SweepContext context{&impl.ipv4.nat, &impl.ipv6.nat, &state, now};
  if (!impl.sweeping_ipv6) {
    impl.sweeping_ipv6 = impl.ipv4.table->sweep(buckets, entry_expired<Ipv4>, &context);
    impl.ipv4.nat.finish();
    return false;
  }
  const bool round = impl.ipv6.table->sweep(buckets, entry_expired<Ipv6>, &context);
  impl.ipv6.nat.finish();
  if (round) impl.sweeping_ipv6 = false;
  return round;
}

const ConnectionTable<Ipv4>& Pipeline::flows_ipv4() const {
  return *impl_->ipv4.table;
}
const ConnectionTable<Ipv6>& Pipeline::flows_ipv6() const {
  return *impl_->ipv6.table;
}
template <>
const ConnectionTable<Ipv4>& Pipeline::flows<Ipv4>() const {
  return *impl_->ipv4.table;
}
template <>
const ConnectionTable<Ipv6>& Pipeline::flows<Ipv6>() const {
  return *impl_->ipv6.table;
}
template <>
const NatRecords<Ipv4>& Pipeline::records<Ipv4>() const {
  return impl_->ipv4.nat.records();
}
template <>
const NatRecords<Ipv6>& Pipeline::records<Ipv6>() const {
  return impl_->ipv6.nat.records();
}
const PipelineConfig& Pipeline::config() const {
  return impl_->context.config;
}
std::uint32_t Pipeline::nat_records() const {
  return impl_->ipv4.nat.records().in_use() + impl_->ipv6.nat.records().in_use();
}

}  // namespace sluice
