#include "tests/cases/gateway.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "dataplane/server/apply.h"

namespace sluice::cases {
namespace {

// What the DPDK side makes of an mbuf chain: the first buffer as the pipeline sees it, and the
// rest, which it never does.
struct Buffers {
  std::unique_ptr<std::uint8_t[]> first;  // With headroom and tailroom.
  Bytes rest;
};

Buffers place(Burst& burst, const Arrival& arrival) {
  const auto whole = static_cast<std::uint32_t>(arrival.bytes.size());
  const std::uint32_t length =
      arrival.contiguous != 0 && arrival.contiguous < whole ? arrival.contiguous : whole;
  Buffers buffers{std::make_unique<std::uint8_t[]>(arrival.headroom + length + arrival.tailroom),
                  Bytes(arrival.bytes.begin() + length, arrival.bytes.end())};
  std::uint8_t* data = buffers.first.get() + arrival.headroom;
  std::copy_n(arrival.bytes.begin(), length, data);
  const unsigned i = burst.count++;
  burst.handle[i] = nullptr;
  burst.data[i] = data;
  burst.length[i] = length;
  burst.total_length[i] = whole;
  burst.buffer[i] = buffers.first.get();
  burst.buffer_bytes[i] = arrival.headroom + length + arrival.tailroom;
  burst.in_port[i] = arrival.port;
  burst.steered[i] = arrival.steered;
  return buffers;
}

Result<Departure> collect(const Burst& burst, unsigned i, const Bytes& rest) {
  Departure departure{burst.verdict[i], burst.reason[i], burst.out_port[i], burst.out_worker[i],
                      Bytes(burst.data[i], burst.data[i] + burst.length[i])};
  if (departure.verdict == Verdict::split || departure.verdict == Verdict::resolve)
    departure.mtu = burst.mtu[i];
  if (burst.total_length[i] < burst.length[i] ||
      burst.total_length[i] - burst.length[i] > rest.size()) {
    return Error{"the pipeline gave a total length of " + std::to_string(burst.total_length[i]) +
                 " with " + std::to_string(burst.length[i]) + " bytes in the first buffer and " +
                 std::to_string(rest.size()) + " behind it"};
  }
  departure.bytes.insert(departure.bytes.end(), rest.begin(),
                         rest.begin() + (burst.total_length[i] - burst.length[i]));
  return departure;
}

// Port 1 spreads otherwise than port 0, as two NICs may.
std::shared_ptr<const Steering> steering_of_port(unsigned port, unsigned workers) {
  std::vector<std::uint16_t> reta(128);
  for (unsigned i = 0; i < reta.size(); ++i)
    reta[i] = static_cast<std::uint16_t>((i / (1 + port)) % workers);
  return std::make_shared<Steering>(Toeplitz(default_rss_key()), std::move(reta));
}

template <typename Family>
Status insert(PlainFib<Family>& fib, const IpAddress& network, unsigned length, NextHopIndex hop) {
  typename Family::Address address;
  std::memcpy(address.data(), network.data(), address.size());
  if (length > 8 * address.size() || !fib.insert(address, length, hop))
    return Error{"no such prefix"};
  (void)fib.publish();  // Nobody reads meanwhile.
  return Ok{};
}

}  // namespace

Gateway::Gateway() {
  auto ipv4 = std::make_unique<PlainFib<Ipv4>>();
  auto ipv6 = std::make_unique<PlainFib<Ipv6>>();
  fib_ipv4_ = ipv4.get();
  fib_ipv6_ = ipv6.get();
  routing_.fib_ipv4 = std::move(ipv4);
  routing_.fib_ipv6 = std::move(ipv6);
  routing_.nat_sources = sources_.get();
  tunnel_sources_->ports.resize(kPorts);
  routing_.set_tunnel_sources(tunnel_sources_.get());
}

Result<std::unique_ptr<Gateway>> Gateway::create(const Settings& settings) {
  if (settings.workers == 0 || settings.workers > kMaxWorkers)
    return Error{"1 to " + std::to_string(kMaxWorkers) + " workers are possible"};
  std::unique_ptr<Gateway> gateway(new Gateway);
  PipelineConfig config;
  config.workers = settings.workers;
  config.flows_ipv4 = config.flows_ipv6 = settings.flows;
  config.nat_flows = settings.nat_flows;
  config.backend_capacity = kCapacity;
  config.icmp_per_second = settings.answers_per_second;
  config.new_flows_per_burst = settings.new_flows_per_burst;
  config.fragments.waiting = settings.waiting_fragments;
  config.secret[0] = 7;
  config.port_mac = settings.macs;
  for (unsigned port = 0; port < kPorts; ++port)
    config.steering.push_back(steering_of_port(port, settings.workers));
  for (unsigned w = 0; w < settings.workers; ++w) {
    config.worker = static_cast<std::uint16_t>(w);
    gateway->counters_.push_back(std::make_unique<WorkerCounters>(kCapacity, kCapacity));
    gateway->pipelines_.push_back(Pipeline::create(config, *gateway->counters_.back()));
    if (gateway->pipelines_.back() == nullptr) return Error{"no memory for the tables"};
  }
  if (Status status = gateway->apply("{}"); !status) return Error{status.error()};
  return gateway;
}

Status Gateway::apply(const std::string& json) {
  v1::ApplyPart part;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &part);
  if (!parsed.ok()) return Error{std::string(parsed.message())};
  StateBuilder builder(state_, StateLimits{.vips = kCapacity, .backends = kCapacity});
  if (Status status = add_part(builder, part, FlowTimers{}); !status) return status;
  auto built = builder.build(generation_ + 1, indexes_);
  if (!built) return Error{built.error()};
  ++generation_;
  state_ = built->state;
  return Ok{};
}

Status Gateway::set_hop(NextHopIndex index, const NextHop& hop) {
  if (index == kNoNextHop || index >= kHops || hop.port >= kPorts)
    return Error{"no such next hop, or no such port"};
  routing_.set_hop(index, hop);
  return Ok{};
}

Status Gateway::set_group(std::uint32_t index, const std::vector<NextHopIndex>& hops) {
  if (index >= routing_.multipath_count || hops.size() > MultipathGroup::kMax)
    return Error{"no such group, or too many hops"};
  MultipathGroup& group = routing_.multipath[index];
  group.count = static_cast<std::uint32_t>(hops.size());
  std::copy(hops.begin(), hops.end(), group.hops);
  return Ok{};
}

Status Gateway::add_route(const IpAddress& network, unsigned prefix_length, NextHopIndex hop) {
  return network.is_v4() ? insert(*fib_ipv4_, network, prefix_length, hop)
                         : insert(*fib_ipv6_, network, prefix_length, hop);
}

Status Gateway::set_backend_hop(std::uint32_t backend, NextHopIndex hop) {
  if (backend >= kCapacity) return Error{"no such backend"};
  routing_.set_backend_next_hop(backend, hop);
  return Ok{};
}

Status Gateway::set_mtu(std::uint16_t port, std::uint16_t bytes) {
  if (port >= kPorts) return Error{"no such port"};
  routing_.set_port_mtu(port, bytes);
  return Ok{};
}

Status Gateway::set_tunnel_source(std::uint16_t port, const IpAddress& address,
                                  const IpAddress& varies) {
  if (port >= kPorts) return Error{"no such port"};
  if (varies.size() != address.size()) return Error{"address and mask are of two families"};
  const auto set = [&](auto& source) {
    source.present = true;
    std::memcpy(source.address.data(), address.data(), source.address.size());
    std::memcpy(source.varies.data(), varies.data(), source.varies.size());
  };
  TunnelSources::Port& sources = tunnel_sources_->ports[port];
  if (address.is_v4()) {
    set(sources.ipv4);
  } else {
    set(sources.ipv6);
  }
  return Ok{};
}

void Gateway::set_nat_ports(std::uint16_t first, std::uint16_t last) {
  sources_->first_port = first;
  sources_->last_port = last;
}

void Gateway::add_nat_source(const IpAddress& address, std::uint16_t port, std::uint32_t number) {
  const auto add = [&](auto& sources) {
    auto& source = sources.emplace_back();
    std::memcpy(source.address.data(), address.data(), source.address.size());
    source.port_id = port;
    source.number = number;
  };
  if (address.is_v4()) {
    add(sources_->ipv4);
  } else {
    add(sources_->ipv6);
  }
}

Result<std::vector<Departure>> Gateway::process(unsigned worker,
                                                const std::vector<Arrival>& arrivals) {
  auto departures = process_once(worker, arrivals);
  ReleasedFragment released[Burst::kMax];
  while (departures) {
    const unsigned count = pipelines_[worker]->take_released(released, Burst::kMax);
    if (count == 0) break;
    std::vector<Arrival> again;
    for (unsigned i = 0; i < count; ++i) {
      auto node = held_.extract(released[i].handle);
      if (node.empty()) return Error{"a packet was released that was not held"};
      again.push_back(std::move(node.mapped()));
      again.back().steered = true;
      again.back().fragment = released[i].hint;
    }
    const auto more = process_once(worker, again);
    if (!more) return Error{more.error()};
    departures->insert(departures->end(), more->begin(), more->end());
  }
  forget_expired();
  return departures;
}

Result<std::vector<Departure>> Gateway::process_once(unsigned worker,
                                                     const std::vector<Arrival>& arrivals) {
  if (worker >= pipelines_.size()) return Error{"no such worker"};
  if (arrivals.size() > Burst::kMax) return Error{"a burst has at most 64 packets"};
  auto burst = std::make_unique<Burst>();
  burst->milliseconds = now_ * (1000 / kTicksPerSecond);
  std::vector<Buffers> buffers;
  for (const Arrival& arrival : arrivals) {
    if (arrival.port >= kPorts) return Error{"no such port"};
    const unsigned i = burst->count;
    buffers.push_back(place(*burst, arrival));
    burst->handle[i] = reinterpret_cast<void*>(++last_handle_);
    if (!arrival.fragment.empty()) burst->set_hint(i, arrival.fragment);
    if (const auto hint = hints_.find(arrival.bytes); arrival.steered && hint != hints_.end()) {
      burst->set_hint(i, hint->second);
      hints_.erase(hint);
    }
  }
  pipelines_[worker]->process(*burst, *state_, routing_, now_);
  std::vector<Departure> departures;
  for (unsigned i = 0; i < burst->count; ++i) {
    Result<Departure> departure = collect(*burst, i, buffers[i].rest);
    if (!departure) return Error{departure.error()};
    if (departure->verdict == Verdict::hold) held_[burst->handle[i]] = arrivals[i];
    if (departure->verdict == Verdict::hand_over && !burst->hint(i).empty())
      hints_[arrivals[i].bytes] = burst->hint(i);
    departures.push_back(std::move(*departure));
  }
  return departures;
}

void Gateway::forget_expired() {
  void* expired[Burst::kMax];
  for (const auto& pipeline : pipelines_) {
    while (const unsigned count = pipeline->take_expired(expired, Burst::kMax)) {
      for (unsigned i = 0; i < count; ++i) held_.erase(expired[i]);
    }
  }
}

Status Gateway::sweep() {
  constexpr unsigned kPollsPerTick = 100000;
  constexpr Ticks kMaxTicks = 100;
  for (const auto& pipeline : pipelines_) {
    const Ticks before = now_;
    for (unsigned rounds = 0; rounds < 2;) {
      for (unsigned polls = 0; polls < kPollsPerTick && rounds < 2; ++polls)
        rounds += pipeline->sweep(*state_, now_);
      if (rounds < 2) ++now_;
      if (now_ - before > kMaxTicks) return Error{"the sweep does not come round"};
    }
  }
  forget_expired();
  return Ok{};
}

std::uint64_t Gateway::drops(DropReason reason) const {
  std::uint64_t sum = 0;
  for (const auto& c : counters_) sum += c->drops[static_cast<unsigned>(reason)].read();
  return sum;
}

std::uint64_t Gateway::sum(Counter WorkerCounters::*counter) const {
  std::uint64_t sum = 0;
  for (const auto& c : counters_) sum += ((*c).*counter).read();
  return sum;
}

}  // namespace sluice::cases
