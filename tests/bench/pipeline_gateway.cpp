#include "pipeline_gateway.h"

#include <rte_lcore.h>

#include <algorithm>
#include <numeric>

#include "dataplane/dpdk/table_memory.h"
#include "dataplane/forward/nat_record.h"
#include "dataplane/kernel/plain_fib.h"
#include "pipeline_packets.h"

namespace sluice::bench {
namespace {

// As control would choose it for so many members.
constexpr std::uint32_t kMembers = 10, kMaglevSize = 1009;
constexpr NextHopIndex kToClients = 1, kFirstBackendHop = 2;

template <typename Family>
IpAddress address_of(const Net<Family>& net, std::uint32_t number) {
  const auto bytes = net.host(number);
  return *IpAddress::from_bytes({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

NextHop reachable(std::uint16_t port, std::uint32_t number) {
  NextHop hop{};
  std::memcpy(hop.destination_mac, kPeerMac, 6);
  hop.destination_mac[3] = static_cast<std::uint8_t>(number >> 8);
  hop.destination_mac[4] = static_cast<std::uint8_t>(number);
  std::memcpy(hop.source_mac, kGatewayMac, 6);
  hop.port = port;
  hop.state = NextHopState::reachable;
  hop.on_link = 1;
  return hop;
}

template <typename Family>
std::unique_ptr<Fib<Family>> all_to_clients() {
  auto fib = std::make_unique<PlainFib<Family>>();
  fib->insert({}, 0, kToClients);
  (void)fib->publish();
  return fib;
}

}  // namespace

template <typename Family>
Result<std::unique_ptr<BenchGateway<Family>>> BenchGateway<Family>::create(const ModeSpec& mode,
                                                                           std::uint32_t flows) {
  std::unique_ptr<BenchGateway> gateway(new BenchGateway(mode));
  if (auto built = gateway->build_state(); !built.ok()) return Error{built.error()};
  gateway->set_routes();
  const std::uint32_t capacity = flows / 4 * 5;
  PipelineConfig config;
  config.flows_ipv4 = config.flows_ipv6 = 64;
  (Family::kAddressBytes == 4 ? config.flows_ipv4 : config.flows_ipv6) = capacity * mode.entries;
  config.nat_flows = translates(mode.mode) ? capacity : 0;
  config.new_flows_per_burst = Burst::kMax;
  config.icmp_per_second = 0;
  for (unsigned i = 0; i < sizeof config.secret; ++i)
    config.secret[i] = static_cast<std::uint8_t>(37 * i + 11);
  config.port_mac.resize(2);
  for (auto& mac : config.port_mac) std::memcpy(mac.data(), kGatewayMac, mac.size());
  config.memory = dpdk_table_memory(static_cast<int>(rte_socket_id()));
  gateway->pipeline_ = Pipeline::create(config, gateway->counters_);
  if (gateway->pipeline_ == nullptr)
    return Error{"no memory for " + std::to_string(flows) + " flows; choose fewer"};
  gateway->clock_ = {rte_rdtsc(), rte_get_tsc_hz() / kTicksPerSecond};
  gateway->tick();
  return gateway;
}

// Each VIP has ten of the backends, and each backend serves ten VIPs.
template <typename Family>
Status BenchGateway<Family>::build_state() {
  using N = Nets<Family>;
  StateBuilder builder(nullptr, StateLimits{.vips = kVipCapacity, .backends = 65536});
  std::vector<std::string> names;
  for (std::uint32_t id = 0; id < kBackends; ++id) {
    const IpAddress address = address_of(N::kBackends, id);
    names.push_back(address_port_text(address, mode_.backend_port));
    BackendSpec backend;
    backend.id = id;
    backend.address = address;
    backend.port = mode_.backend_port;
    backend.info = {names.back(), "default/pod"};
    builder.upsert(backend);
  }
  for (std::uint32_t n = 0; n < kVips; ++n) {
    const IpAddress address = address_of(N::kVips, n);
    builder.upsert(AddressSpec{address, Unserved::drop});
    VipSpec vip;
    vip.key = {address, kProtocolTcp, kVipPort};
    vip.id = 1 + n;
    vip.service = "bench/default/web" + std::to_string(n);
    vip.mode = mode_.mode;
    vip.maglev_size = kMaglevSize;
    for (std::uint32_t m = 0; m < kMembers; ++m)
      vip.members.push_back({(n + m * (kBackends / kMembers)) % kBackends, 1, false, false});
    std::sort(vip.members.begin(), vip.members.end(),
              [&](const auto& a, const auto& b) { return names[a.backend] < names[b.backend]; });
    builder.upsert(vip);
  }
  auto built = builder.build(1, indexes_);
  if (!built.ok()) return Error{built.error()};
  state_ = built->state;
  return Ok{};
}

template <typename Family>
void BenchGateway<Family>::set_routes() {
  routing_.set_hop(kToClients, reachable(kClientPort, 0xffff));
  for (std::uint32_t id = 0; id < kBackends; ++id) {
    routing_.set_hop(kFirstBackendHop + id, reachable(kBackendPort, id));
    routing_.set_backend_next_hop(id, kFirstBackendHop + id);
  }
  routing_.fib_ipv4 = all_to_clients<Ipv4>();
  routing_.fib_ipv6 = all_to_clients<Ipv6>();
  NatSource<Family> source;
  source.address = Nets<Family>::kGateway.host(0);
  source.port_id = kBackendPort;
  if constexpr (Family::kAddressBytes == 4) {
    sources_.ipv4 = {source};
  } else {
    sources_.ipv6 = {source};
  }
  routing_.nat_sources = &sources_;
  tunnels_.ports.resize(kBackendPort + 1);
  if constexpr (Family::kAddressBytes == 4) {
    tunnels_.ports[kBackendPort].ipv4 = {true, source.address, {}};
  } else {
    tunnels_.ports[kBackendPort].ipv6 = {true, source.address, {}};
  }
  routing_.set_tunnel_sources(&tunnels_);
}

template <typename Family>
void BenchGateway<Family>::sweep() {
  const std::size_t calls = pipeline_->flows<Family>().buckets() / 8 / 8 + 8;
  for (bool round = false; !round; skip(1)) {
    tick();
    for (std::size_t i = 0; i < calls && !round; ++i) round = pipeline_->sweep(*state_, now_);
  }
  tick();
}

template <typename Family>
typename BenchGateway<Family>::Totals BenchGateway<Family>::totals() const {
  Totals totals;
  for (std::uint32_t i = 0; i < kVipCapacity; ++i)
    totals.new_flows += counters_.vips[i].new_flows.read();
  totals.untracked = counters_.untracked.read();
  for (const Counter& drop : counters_.drops) totals.drops += drop.read();
  return totals;
}

template <typename Family>
std::string BenchGateway<Family>::drops() const {
  std::string text;
  for (unsigned i = 0; i < static_cast<unsigned>(DropReason::count); ++i) {
    const std::uint64_t count = counters_.drops[i].read();
    if (count != 0)
      text += std::string(name(static_cast<DropReason>(i))) + "=" + std::to_string(count) + " ";
  }
  return text;
}

template <typename Family>
double BenchGateway<Family>::bytes_per_flow() const {
  const auto& table = pipeline_->flows<Family>();
  const auto& records = pipeline_->records<Family>();
  const double bytes = static_cast<double>(table.slots() * sizeof(FlowEntry<Family>)) +
                       static_cast<double>(table.buckets()) / 8 +
                       static_cast<double>(records.capacity()) *
                           (sizeof(NatRecord<Family>) + sizeof(std::uint32_t));
  return bytes * mode_.entries / static_cast<double>(table.capacity());
}

template class BenchGateway<Ipv4>;
template class BenchGateway<Ipv6>;

}  // namespace sluice::bench
