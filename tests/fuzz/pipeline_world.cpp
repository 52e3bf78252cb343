#include "tests/fuzz/pipeline_world.h"

#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {
namespace {

using test::Gateway;
using test::ip;
using test::Net;

void shrink(PipelineConfig& config) {
  config.flows_ipv4 = config.flows_ipv6 = 256;
  config.nat_flows = World::kNatFlows;
  config.icmp_per_second = 8;
  config.port_mac.assign(2, std::to_array(World::kMac));
}

struct Service {
  const char* address;
  std::uint8_t protocol;
  std::uint16_t port;
  std::uint32_t id;
  Mode mode;
  std::vector<VipBlock::Member> members;
};

VipBlock::Member member(std::uint32_t backend, bool draining = false) {
  return {backend, 1, draining, false};
}

// Backends have ids from `first`, VIPs from `first` too.
template <typename Family>
void serve(StateBuilder& builder, std::uint32_t first) {
  const std::string nat_vip = Net<Family>::vip(), direct = direct_vip<Family>();
  builder.upsert(AddressSpec{ip(nat_vip), Unserved::reject});
  builder.upsert(AddressSpec{ip(direct), Unserved::drop});
  // To port 8080 by NAT; to the VIP's own ports by direct return.
  for (std::uint32_t n = 0; n < 16; ++n) {
    const IpAddress address = ip(Net<Family>::backend(n + 1));
    const std::uint16_t port = n < 8 ? 8080 : n < 12 ? 80 : 53;
    // Members stand in the order of their names.
    const std::string name = "pod-" + std::to_string(10 + n);
    builder.upsert(BackendSpec{first + n, address, port, {name, "default/" + name}});
  }
  const std::vector<Service> services = {
      {nat_vip.c_str(),
       kProtocolTcp,
       80,
       first,
       Mode::nat,
       {member(first), member(first + 1), member(first + 2, true)}},
      {nat_vip.c_str(), kProtocolTcp, 81, first, Mode::nat, {member(first + 3)}},
      {nat_vip.c_str(), kProtocolTcp, 82, first, Mode::nat, {member(first + 4)}},
      {nat_vip.c_str(), kProtocolTcp, 83, first, Mode::nat, {}},
      {nat_vip.c_str(),
       kProtocolUdp,
       53,
       first + 1,
       Mode::nat,
       {member(first + 5), member(first + 6)}},
      {direct.c_str(),
       kProtocolTcp,
       80,
       first + 2,
       Mode::dsr_mac,
       {member(first + 8), member(first + 9), member(first + 10)}},
      {direct.c_str(),
       kProtocolUdp,
       53,
       first + 3,
       Mode::dsr_mac,
       {member(first + 12), member(first + 13)}}};
  for (const Service& service : services) {
    VipSpec spec;
    spec.key = {ip(service.address), service.protocol, service.port};
    spec.id = service.id;
    spec.service = "manual/default/web";
    spec.mode = service.mode;
    spec.maglev_size = 101;
    spec.members = service.members;
    builder.upsert(spec);
  }
}

void set_backend_hops(Routing& routing, std::uint32_t first) {
  routing.backend_next_hop[first + 1] = kMultipath | 0;
  routing.backend_next_hop[first + 3] = Gateway::kUnresolved;
  routing.backend_next_hop[first + 4] = Gateway::kBlackhole;
  routing.backend_next_hop[first + 6] = Gateway::kRouted;
  routing.backend_next_hop[first + 9] = Gateway::kRouted;
  routing.backend_next_hop[first + 10] = Gateway::kUnresolved;
  routing.backend_next_hop[first + 13] = kMultipath | 0;
}

// Clients are everywhere but in the networks of backends, and some have no way back.
template <typename Family>
std::unique_ptr<Fib<Family>> routes() {
  auto fib = std::make_unique<PlainFib<Family>>();
  const auto add = [&](const char* v4, unsigned bits4, const char* v6, unsigned bits6,
                       NextHopIndex hop) {
    constexpr bool kV4 = Family::kAddressBytes == 4;
    typename Family::Address address{};
    const IpAddress prefix = ip(kV4 ? v4 : v6);
    std::memcpy(address.data(), prefix.data(), address.size());
    FUZZ_CHECK(fib->insert(address, kV4 ? bits4 : bits6, hop));
  };
  add("0.0.0.0", 0, "::", 0, Gateway::kToClients);
  add("192.0.2.0", 28, "2001:db8:1::", 124, kMultipath | 1);
  add("10.0.0.0", 8, "fd00::", 8, Gateway::kBlackhole);
  add("203.0.113.0", 24, "2001:db8:2::", 48, kNoNextHop);
  add("192.0.2.128", 25, "2001:db8:1::80", 121, Gateway::kUnresolved);
  (void)fib->publish();
  return fib;
}

}  // namespace

World::World() : gateway(2, shrink) {
  gateway.change([](StateBuilder& builder) {
    serve<Ipv4>(builder, 1);
    serve<Ipv6>(builder, 33);
  });
  FUZZ_CHECK(gateway.state != nullptr);
  Routing& routing = gateway.routing;
  routing.multipath[0].count = 2;
  routing.multipath[0].hops[0] = Gateway::kToBackends;
  routing.multipath[0].hops[1] = Gateway::kRouted;
  routing.multipath[1].count = 2;
  routing.multipath[1].hops[0] = Gateway::kToClients;
  routing.multipath[1].hops[1] = Gateway::kUnresolved;
  routing.fib_ipv4 = routes<Ipv4>();
  routing.fib_ipv6 = routes<Ipv6>();
  for (const std::uint32_t first : {1u, 33u}) set_backend_hops(routing, first);
  gateway.sources.first_port = 20000;  // Few, so that they run out.
  gateway.sources.last_port = 20015;
  for (unsigned worker = 0; worker < 2; ++worker)
    config_[worker] = gateway.pipelines[worker]->config();
}

void World::reset() {
  gateway.now = 1000;
  for (unsigned worker = 0; worker < 2; ++worker) {
    gateway.pipelines[worker] = Pipeline::create(config_[worker], *gateway.counters[worker]);
    FUZZ_CHECK(gateway.pipelines[worker] != nullptr);
  }
}

std::uint64_t World::drops() const {
  std::uint64_t sum = 0;
  for (const auto& counters : gateway.counters) {
    for (const Counter& drops : counters->drops) sum += drops.read();
  }
  return sum;
}

}  // namespace sluice::fuzz
