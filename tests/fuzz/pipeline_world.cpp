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
  config.fragments.datagrams = 16;
  config.fragments.waiting = 8;
  config.port_mac.assign(2, std::to_array(World::kMac));
}

struct Service {
  const char* address;
  std::uint8_t protocol;
  std::uint16_t port;
  Mode mode;
  std::vector<std::uint32_t> members;  // Ids of backends, ascending.
  bool proxy = false, quic = false;
};

// Ids of the backends of a family that are named elsewhere, from its first one on: see
// add_backends().
enum Backends : std::uint32_t {
  kNat = 0,         // 8 of them, to port 8080.
  kDirect = 8,      // 4, to the VIP's own port 80;
  kDirectUdp = 12,  // 4, to 53.
  kTunnel = 16,     // To kTunnelPort, by IP-in-IP or GUE.
  kVxlan = 17,      // To port 8080, behind overlays: VXLAN between nodes with IPv4,
  kIpip,            //   IP-in-IP,
  kVxlanIpv6,       //   VXLAN between nodes with IPv6.
  kDnat,            // DNAT, to port 8080,
  kDnatOverlay,     //   and behind IP-in-IP between nodes of the other family.
  kQuic,            // To kQuicPort.
  kBackends
};
constexpr std::uint32_t kFirst[2] = {1, 33};  // IPv4, IPv6.
constexpr std::uint16_t kTunnelPort = 90, kQuicPort = 443;

template <typename Family>
constexpr std::uint32_t first() {
  return kFirst[Family::kAddressBytes == 4 ? 0 : 1];
}

OverlayRecord overlay(OverlayKind kind, bool ipv6) {
  const IpAddress node = ip(ipv6 ? "fd00:9::1" : "10.9.0.1");
  OverlayRecord record;
  record.kind = kind;
  record.remote_bytes = static_cast<std::uint8_t>(node.size());
  std::memcpy(record.remote, node.data(), node.size());
  if (kind != OverlayKind::vxlan) return record;
  record.port = Be16::from_host(World::kVxlanPort);
  record.vni = 1;
  const std::uint8_t mac[6] = {2, 0, 0, 0, 9, 1};
  std::memcpy(record.mac, mac, sizeof(mac));
  return record;
}

std::uint16_t port_of(std::uint32_t backend) {
  if (backend == kTunnel) return kTunnelPort;
  if (backend == kQuic) return kQuicPort;
  if (backend < kDirect || backend > kTunnel) return 8080;
  return backend < kDirectUdp ? 80 : 53;
}

template <typename Family>
void add_backends(StateBuilder& builder) {
  constexpr bool kV6 = Family::kAddressBytes == 16;
  for (std::uint32_t n = 0; n < kBackends; ++n) {
    const std::uint32_t id = first<Family>() + n;
    // Members stand in the order of their names.
    const std::string name = "pod-" + std::to_string(100 + id);
    BackendSpec spec{
        id, ip(Net<Family>::backend(n + 1)), port_of(n), {name, "default/" + name}, {}};
    if (n == kVxlan) spec.overlay = overlay(OverlayKind::vxlan, false);
    if (n == kVxlanIpv6) spec.overlay = overlay(OverlayKind::vxlan, true);
    if (n == kIpip) spec.overlay = overlay(OverlayKind::ipip, kV6);
    if (n == kDnatOverlay) spec.overlay = overlay(OverlayKind::ipip, !kV6);
    builder.upsert(spec);
  }
}

template <typename Family>
std::vector<Service> services(const char* nat_vip, const char* direct) {
  constexpr std::uint8_t kTcp = kProtocolTcp, kUdp = kProtocolUdp, kSctp = kProtocolSctp;
  constexpr std::uint32_t b = first<Family>();
  const std::vector<std::uint32_t> overlays = {b + kVxlan, b + kIpip, b + kVxlanIpv6};
  const std::vector<std::uint32_t> tunnels = {kFirst[0] + kTunnel, kFirst[1] + kTunnel};
  std::vector<Service> all = {
      {nat_vip, kTcp, 80, Mode::nat, {b, b + 1, b + 2}},
      {nat_vip, kTcp, 81, Mode::nat, {b + 3}},
      {nat_vip, kTcp, 82, Mode::nat, {b + 4}},
      {nat_vip, kTcp, 83, Mode::nat, {}},
      {nat_vip, kTcp, 84, Mode::nat, {b}, true},
      {nat_vip, kTcp, 85, Mode::nat, overlays},
      {nat_vip, kTcp, 86, Mode::nat, overlays, true},
      {nat_vip, kTcp, 88, Mode::dnat, {b + kDnat, b + kDnatOverlay}},
      {nat_vip, kUdp, 53, Mode::nat, {b + 5, b + 6}},
      {nat_vip, kUdp, 85, Mode::nat, overlays},
      {nat_vip, kUdp, 88, Mode::dnat, {b + kDnat, b + kDnatOverlay}},
      {nat_vip, kUdp, kQuicPort, Mode::nat, {b, b + kVxlan, b + kQuic}, false, true},
      {nat_vip, kSctp, 80, Mode::nat, {b, b + kIpip}},
      {nat_vip, kSctp, 88, Mode::dnat, {b + kDnat}},
      {direct, kTcp, 80, Mode::dsr_mac, {b + 8, b + 9, b + 10}},
      {direct, kTcp, kTunnelPort, Mode::ipip, tunnels},
      {direct, kUdp, 53, Mode::dsr_mac, {b + 12, b + 13}},
      {direct, kUdp, kTunnelPort, Mode::gue, tunnels},
      {direct, kUdp, kQuicPort, Mode::gue, {b + kQuic}, false, true},
      {direct, kSctp, kTunnelPort, Mode::gue, tunnels},
  };
  if (Family::kAddressBytes == 4) return all;
  all.push_back({nat_vip, kTcp, 87, Mode::nat, {kFirst[0], kFirst[0] + kVxlan}});
  all.push_back({nat_vip, kUdp, 87, Mode::nat, {kFirst[0], kFirst[0] + kIpip, b}});
  return all;
}

// Ids of VIPs start at the backends' first one.
template <typename Family>
void serve(StateBuilder& builder) {
  const std::string nat_vip = Net<Family>::vip(), direct = direct_vip<Family>();
  builder.upsert(AddressSpec{ip(nat_vip), Unserved::reject});
  builder.upsert(AddressSpec{ip(direct), Unserved::drop});
  for (const Service& service : services<Family>(nat_vip.c_str(), direct.c_str())) {
    VipSpec spec;
    spec.key = {ip(service.address), service.protocol, service.port};
    const unsigned protocol = service.protocol == kProtocolTcp   ? 0
                              : service.protocol == kProtocolUdp ? 1
                                                                 : 2;
    spec.id = first<Family>() + (service.address == direct ? 3 : 0) + protocol;
    spec.service = "manual/default/web";
    spec.mode = service.mode;
    spec.maglev_size = 101;
    spec.proxy_protocol = service.proxy;
    spec.quic = service.quic;
    for (const std::uint32_t id : service.members)
      spec.members.push_back({id, 1, id == first<Family>() + 2, false});
    builder.upsert(spec);
  }
}

void set_backend_hops(Routing& routing, std::uint32_t first) {
  routing.set_backend_next_hop(first + 1, kMultipath | 0);
  routing.set_backend_next_hop(first + 3, Gateway::kUnresolved);
  routing.set_backend_next_hop(first + 4, Gateway::kBlackhole);
  routing.set_backend_next_hop(first + 6, Gateway::kRouted);
  routing.set_backend_next_hop(first + 9, Gateway::kRouted);
  routing.set_backend_next_hop(first + 10, Gateway::kUnresolved);
  routing.set_backend_next_hop(first + 13, kMultipath | 0);
  routing.set_backend_next_hop(first + kIpip, kMultipath | 0);
  routing.set_backend_next_hop(first + kQuic,
                               Gateway::kToClients);  // By a port without a tunnel source.
}

template <typename Family>
void vary_source(TunnelSource<Family>& source) {
  const IpAddress prefix = ip(World::tunnel_prefix<Family>());
  source.present = true;
  std::memcpy(source.address.data(), prefix.data(), Family::kAddressBytes);
  source.varies[Family::kAddressBytes - 1] = 15;
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
    add_backends<Ipv4>(builder);
    add_backends<Ipv6>(builder);
    serve<Ipv4>(builder);
    serve<Ipv6>(builder);
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
  for (const std::uint32_t first : kFirst) set_backend_hops(routing, first);
  routing.set_port_mtu(1, kMtuToBackends);
  vary_source(gateway.tunnels.ports[1].ipv4);
  vary_source(gateway.tunnels.ports[1].ipv6);
  gateway.sources.first_port = 20000;  // Few, so that they run out.
  gateway.sources.last_port = 20015;
  for (unsigned worker = 0; worker < 2; ++worker)
    config_[worker] = gateway.pipelines[worker]->config();
}

void World::reset() {
  gateway.now = 1000;
  for (unsigned id = 0; id < gateway.routing.backend_count; ++id)
    gateway.routing.set_backend_path_mtu(id, 0);
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
