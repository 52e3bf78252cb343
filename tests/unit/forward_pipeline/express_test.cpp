// The short way says what the stages say: two gateways, one without it, get the same packets in the
// same bursts; every verdict, byte and counter must be equal.
#include <map>
#include <random>

#include "gateway.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Gateway;
using test::Net;
using test::Outcome;
using test::Packet;

template <typename Family>
Packet random_packet(std::mt19937& random, unsigned client) {
  const auto one_in = [&](unsigned n) { return random() % n == 0; };
  const std::uint8_t protocol = one_in(3) ? kProtocolUdp : kProtocolTcp;
  Packet p = test::from_client<Family>(client, one_in(4) ? kTcpSyn : kTcpAck, protocol);
  if (one_in(12)) p.flags = static_cast<std::uint8_t>(random());
  if (one_in(20)) p.ttl = static_cast<unsigned>(random() % 3);
  if (one_in(20)) p.vlans = {5};
  if (one_in(30)) p.destination_port = 81;
  if (one_in(30)) p.source = Net<Family>::vip();
  if (one_in(30)) p.udp_checksum = false;
  if (one_in(30)) p.destination_mac[5] = 9;
  if (one_in(10)) p.payload = static_cast<unsigned>(random() % 1600);
  if (Family::kAddressBytes == 4 && one_in(20)) p.ip_options = {1, 1, 1, 0};
  if (Family::kAddressBytes == 4 && one_in(5)) p.fragment = one_in(2) ? 0x2000u : 0x4000u;
  return p;
}

template <typename Family>
Bytes random_bytes(std::mt19937& random, unsigned client) {
  Bytes bytes = test::build(random_packet<Family>(random, client));
  if (random() % 15 == 0) bytes[random() % bytes.size()] ^= static_cast<std::uint8_t>(random());
  if (random() % 25 == 0) bytes.resize(14 + random() % (bytes.size() - 14));
  return bytes;
}

std::vector<std::uint64_t> all_counters(const Gateway& gateway) {
  const WorkerCounters& c = *gateway.counters[0];
  std::vector<std::uint64_t> all = {c.answers.read(), c.untracked.read(), c.punted.read()};
  for (const Counter& drop : c.drops) all.push_back(drop.read());
  for (unsigned i = 0; i < 64; ++i) {
    const VipCounterSet& vip = c.vips[i];
    const BackendCounterSet& backend = c.backends[i];
    for (const Counter* counter : {&vip.packets_in, &vip.bytes_in, &vip.packets_out, &vip.bytes_out,
                                   &vip.new_flows, &backend.packets_in, &backend.bytes_in,
                                   &backend.packets_out, &backend.bytes_out, &backend.new_flows}) {
      all.push_back(counter->read());
    }
  }
  return all;
}

// But for the id of an IPv4 packet that may be fragmented, of which a tunnel numbers one after
// another.
std::string shown(Bytes bytes) {
  if (bytes.size() > 34 && bytes[12] == 8 && bytes[13] == 0 && (bytes[20] & 0x40) == 0)
    bytes[18] = bytes[19] = bytes[24] = bytes[25] = 0;
  std::string text;
  for (const std::uint8_t byte : bytes) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", byte);
    text += hex;
  }
  return text;
}

// Flows that begin in one burst get their NAT ports in another order.
std::string shown_but_for_port(Bytes bytes) {
  const bool ipv6 = bytes[12] == 0x86;
  const std::size_t l4 = ipv6 ? 54 : 14 + (bytes[14] & 15) * 4u;
  const std::uint8_t protocol = ipv6 ? bytes[20] : bytes[23];
  const std::size_t checksum = l4 + (protocol == kProtocolTcp ? 16 : 6);
  const bool first = ipv6 || ((bytes[20] & 0x1f) == 0 && bytes[21] == 0);
  if (first && bytes.size() > checksum + 1) {
    bytes[l4] = bytes[l4 + 1] = 0;
    const bool none = bytes[checksum] == 0 && bytes[checksum + 1] == 0;
    bytes[checksum] = bytes[checksum + 1] = none ? 0 : 1;
  }
  return shown(bytes);
}

struct Both {
  std::vector<Outcome> with, without;
};

Both same(Gateway& with, Gateway& without, const std::vector<Bytes>& packets,
          const std::vector<Bytes>& packets_without, std::uint16_t port, bool ports_differ) {
  const std::vector<Outcome> a = with.process_all(packets, port),
                             b = without.process_all(packets_without, port);
  const auto compare = [&] {
    for (std::size_t i = 0; i < packets.size(); ++i) {
      ASSERT_EQ(a[i].verdict, b[i].verdict) << i;
      ASSERT_EQ(a[i].reason, b[i].reason) << i;
      if (a[i].verdict != Verdict::transmit) continue;
      ASSERT_EQ(a[i].out_port, b[i].out_port);
      ASSERT_EQ(a[i].next_hop, b[i].next_hop);
      if (ports_differ && port == 1 && a[i].reason != DropReason::none) {  // It quotes the packet.
        ASSERT_EQ(a[i].bytes.size(), b[i].bytes.size()) << i;
      } else if (ports_differ && port == 0) {
        ASSERT_EQ(shown_but_for_port(a[i].bytes), shown_but_for_port(b[i].bytes)) << i;
      } else {
        ASSERT_EQ(shown(a[i].bytes), shown(b[i].bytes)) << i;
      }
    }
    ASSERT_EQ(all_counters(with), all_counters(without));
  };
  compare();
  return {a, b};
}

// `change`: before each round, by its number.
template <typename Family>
void compare(Mode mode, const std::function<void(Gateway&)>& prepare = {},
             const std::function<void(Gateway&, unsigned)>& change = {}) {
  const auto configure = [](PipelineConfig& config) {
    const std::array<std::uint8_t, 6> mac{2, 0, 0, 0, 0, 1};
    config.port_mac = {mac, mac};
  };
  Gateway with(1, configure), without(1, [&](PipelineConfig&config) {
    configure(config);
    config.express = false;
  });
  std::mt19937 random(static_cast<unsigned>(mode) + 17);
  for (Gateway* gateway : {&with, &without}) {
    gateway->headroom = 128;
    gateway->serve<Family>(3, mode);
    if (prepare) prepare(*gateway);
  }
  for (unsigned round = 0; round < 300; ++round) {
    for (Gateway* gateway : {&with, &without}) {
      if (change) change(*gateway, round);
    }
    std::vector<Bytes> packets;
    // What begins a flow overtakes what is left to the stages, so a NAT client sends one packet in
    // a burst, or the same one again.
    std::map<unsigned, Bytes> sent;
    for (unsigned n = random() % 20 + 1; n > 0; --n) {
      const auto client = static_cast<unsigned>(random() % 40);
      Bytes bytes = random_bytes<Family>(random, client);
      if (mode == Mode::nat) bytes = sent.try_emplace(client, bytes).first->second;
      packets.push_back(std::move(bytes));
    }
    const Both forwarded = same(with, without, packets, packets, 0, mode == Mode::nat);
    if (testing::Test::HasFatalFailure()) return;
    std::vector<Bytes> replies, replies_without;
    for (std::size_t i = 0; i < packets.size(); ++i) {
      const Outcome& outcome = forwarded.with[i];
      if (outcome.verdict != Verdict::transmit || outcome.out_port != 1 || !translates(mode))
        continue;
      constexpr std::uint8_t kFlags[] = {kTcpSyn | kTcpAck, kTcpAck, kTcpAck, kTcpFin | kTcpAck};
      const std::uint8_t flags = kFlags[random() % (round + 4) % 4];
      const unsigned ttl = random() % 20 == 0 ? static_cast<unsigned>(random() % 3) : 64;
      const bool large = random() % 20 == 0;
      for (const auto& [from, to] :
           {std::pair{&outcome, &replies}, std::pair{&forwarded.without[i], &replies_without}}) {
        Packet reply = test::from_backend(from->decoded(), flags);
        reply.ttl = ttl;
        if (large) reply.payload = 1500;
        to->push_back(test::build(reply));
      }
    }
    (void)same(with, without, replies, replies_without, 1, mode == Mode::nat);
    if (testing::Test::HasFatalFailure()) return;
    const Ticks ticks = random() % 3 == 0 ? static_cast<Ticks>(random() % 4) : 0;
    with.now += ticks;
    without.now += ticks;
  }
}

template <typename Family>
class Express : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Express, Families);

TYPED_TEST(Express, SaysWhatTheStagesSay) {
  for (unsigned mode = 0; mode < kModes; ++mode) {
    SCOPED_TRACE(name(static_cast<Mode>(mode)));
    compare<TypeParam>(static_cast<Mode>(mode));
  }
}

TYPED_TEST(Express, LeavesWhatHasNoWay) {
  for (const NextHopIndex hop :
       {kNoNextHop, Gateway::kUnresolved, Gateway::kRouted, Gateway::kBlackhole, kMultipath | 0}) {
    for (const Mode mode : {Mode::dsr_mac, Mode::ipip, Mode::gue}) {
      SCOPED_TRACE(std::string(name(mode)) + " " + std::to_string(hop));
      compare<TypeParam>(mode, [&](Gateway& gateway) {
        gateway.routing.multipath[0].count = 2;
        gateway.routing.multipath[0].hops[0] = Gateway::kToBackends;
        gateway.routing.multipath[0].hops[1] = Gateway::kRouted;
        gateway.routing.set_backend_next_hop(1, hop);
      });
    }
  }
}

TYPED_TEST(Express, LeavesWhatIsTooBigOrHasNoSource) {
  compare<TypeParam>(Mode::ipip, [](Gateway& gateway) { gateway.routing.set_port_mtu(1, 1300); });
  compare<TypeParam>(Mode::gue, [](Gateway& gateway) {
    gateway.routing.set_backend_path_mtu(1, (1000 / 16) << 16 | 1280);
  });
  compare<TypeParam>(Mode::gue, [](Gateway& gateway) { gateway.tunnels.ports.clear(); });
  compare<TypeParam>(Mode::ipip, [](Gateway& gateway) { gateway.headroom = 16; });
}

// What was worked out for one burst must not outlive what it was worked out from.
TYPED_TEST(Express, SeesEveryChange) {
  Mode mode = Mode::nat;
  const auto change = [&](Gateway& gateway, unsigned round) {
    Routing& routing = gateway.routing;
    NextHop hop = routing.hop(Gateway::kToBackends);
    const std::uint32_t backend = 1 + round / 8 % 3;
    switch (round % 8) {
      case 1:
        ++hop.destination_mac[5];
        return routing.set_hop(Gateway::kToBackends, hop);
      case 2:
        return routing.set_backend_next_hop(backend, Gateway::kUnresolved);
      case 3:
        return routing.set_backend_next_hop(backend, Gateway::kToBackends);
      case 4:
        return routing.set_port_mtu(1, static_cast<std::uint16_t>(round % 16 == 4 ? 1300 : 1500));
      case 5:
        return routing.set_backend_path_mtu(backend, (gateway.now / 16) << 16 | 1280);
      case 6:
        return routing.set_tunnel_sources(round % 16 == 6 ? nullptr : &gateway.tunnels);
      case 7:
        return gateway.serve<TypeParam>(round % 16 == 7 ? 2 : 3, mode);
      default:
        return;
    }
  };
  for (unsigned number = 0; number < kModes; ++number) {
    mode = static_cast<Mode>(number);
    SCOPED_TRACE(name(mode));
    compare<TypeParam>(mode, {}, change);
  }
}

}  // namespace
}  // namespace sluice
