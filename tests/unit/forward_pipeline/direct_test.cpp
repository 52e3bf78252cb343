// Direct server return by MAC rewrite: what is touched, who stays where, when an entry counts as
// verified.
#include <algorithm>
#include <map>
#include <random>

#include "dataplane/packet/flow_hash.h"
#include "gateway.h"

namespace sluice {
namespace {

using namespace test;

template <typename Family>
class Direct : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Direct, Families);

// Which backend a direct-return packet went to shows in its next hop: one for each backend.
void separate_hops(Gateway& gateway) {
  for (unsigned id = 1; id <= 16; ++id) {
    const unsigned backend = (id - 1) % 8 + 1;
    NextHop hop = gateway.routing.hop(Gateway::kToBackends);
    hop.destination_mac[5] = static_cast<std::uint8_t>(backend);
    hop.destination_mac[4] = 9;
    const NextHopIndex index = 7 + backend;
    if (index < gateway.routing.next_hop_count) gateway.routing.set_hop(index, hop);
    gateway.routing.set_backend_next_hop(id, index);
  }
}

template <typename Family>
std::optional<FlowState> state_of(const Gateway& gateway, unsigned client, std::uint16_t port,
                                  std::uint32_t vip_id) {
  FlowKey<Family> key;
  std::memcpy(key.client.data(), ip(Net<Family>::client(client)).data(), Family::kAddressBytes);
  key.client_port = Be16::from_host(static_cast<std::uint16_t>(1024 + client));
  key.vip_port = Be16::from_host(port);
  key.vip_id = vip_id;
  const auto& table = gateway.pipelines[0]->template flows<Family>();
  const Slot slot = table.find(key, table.hash(key));
  if (slot == kNoSlot) return std::nullopt;
  return table.state(slot);
}

TYPED_TEST(Direct, OnlyMacsAreWritten) {
  Gateway gateway;
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  for (std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
    const Bytes sent = build(from_client<TypeParam>(1, kTcpSyn, protocol));
    const Outcome out = gateway.process(0, sent);
    ASSERT_EQ(out.verdict, Verdict::transmit) << name(out.reason);
    EXPECT_EQ(out.out_port, 1);
    EXPECT_THAT(Bytes(out.bytes.begin(), out.bytes.begin() + 12),
                testing::ElementsAre(2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 2, 1));
    EXPECT_EQ(Bytes(out.bytes.begin() + 12, out.bytes.end()), Bytes(sent.begin() + 12, sent.end()));
  }
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 0u);
}

TYPED_TEST(Direct, NeedsABackendOnLinkWithAKnownMac) {
  Gateway gateway;
  gateway.serve<TypeParam>(1, Mode::dsr_mac);
  gateway.routing.set_backend_next_hop(1, Gateway::kRouted);
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(1))).reason,
            DropReason::dsr_backend_not_on_link);
  gateway.routing.set_backend_next_hop(1, Gateway::kUnresolved);
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(1))).reason,
            DropReason::dsr_backend_unresolved);
  EXPECT_EQ(gateway.pipelines[0]->template flows<TypeParam>().size(), 0u);
}

TYPED_TEST(Direct, WeakUntilSeenAgainAndAcknowledged) {
  Gateway gateway;
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  const auto tcp = [&](std::uint8_t flags) {
    gateway.process(0, build(from_client<TypeParam>(1, flags)));
    return state_of<TypeParam>(gateway, 1, 80, 1);
  };
  const auto udp = [&] {
    gateway.process(0, build(from_client<TypeParam>(1, 0, kProtocolUdp)));
    return state_of<TypeParam>(gateway, 1, 53, 2);
  };
  EXPECT_EQ(tcp(kTcpSyn), FlowState::handshake);
  EXPECT_EQ(tcp(kTcpAck), FlowState::handshake);
  EXPECT_EQ(udp(), FlowState::weak);
  EXPECT_EQ(udp(), FlowState::weak);
  gateway.now += 1;
  EXPECT_EQ(tcp(kTcpAck), FlowState::handshake)
      << "half a second is not enough, and must not restart the clock";
  gateway.now += 1;
  EXPECT_EQ(tcp(kTcpSyn), FlowState::handshake) << "a repeated SYN proves nothing";
  EXPECT_EQ(tcp(kTcpAck), FlowState::established);
  EXPECT_EQ(udp(), FlowState::established);
  EXPECT_EQ(tcp(kTcpFin | kTcpAck), FlowState::closing);
  EXPECT_EQ(tcp(kTcpAck), FlowState::closing);

  gateway.process(0, build(from_client<TypeParam>(2, kTcpSyn)));
  gateway.process(0, build(from_client<TypeParam>(2, kTcpFin)));
  EXPECT_EQ(state_of<TypeParam>(gateway, 2, 80, 1), FlowState::handshake)
      << "a flood of FINs makes nothing verified";
  gateway.process(0, build(from_client<TypeParam>(3, kTcpAck)));
  EXPECT_EQ(state_of<TypeParam>(gateway, 3, 80, 1), FlowState::weak);
  gateway.process(0, build(from_client<TypeParam>(4, kTcpRst)));
  EXPECT_EQ(state_of<TypeParam>(gateway, 4, 80, 1), std::nullopt);
}

// The backends of clients 0 to 199, whose packets carry `flags`.
template <typename Family>
std::vector<NextHopIndex> choices(Gateway& gateway, std::uint8_t flags) {
  std::vector<NextHopIndex> all;
  for (unsigned n = 0; n < 200; ++n)
    all.push_back(gateway.process(0, build(from_client<Family>(n, flags))).next_hop);
  return all;
}

TYPED_TEST(Direct, TheGenerationsSeedChoosesAndMovesNoFlowWhenItChanges) {
  Gateway gateways[3];
  const std::uint64_t seeds[3] = {1, 1, 0x8000000000000001u};
  std::vector<NextHopIndex> chosen[3];
  for (unsigned i = 0; i < 3; ++i) {
    gateways[i].serve<TypeParam>(8, Mode::dsr_mac);
    separate_hops(gateways[i]);
    gateways[i].change([&](StateBuilder& builder) { builder.set_maglev_seed(seeds[i]); });
    chosen[i] = choices<TypeParam>(gateways[i], kTcpSyn);
  }
  EXPECT_EQ(chosen[0], chosen[1]) << "gateways of one cluster agree";
  unsigned equal = 0;
  for (unsigned n = 0; n < 200; ++n) equal += chosen[0][n] == chosen[2][n];
  EXPECT_LT(equal, 60u) << "by chance an eighth of 200";

  gateways[0].change([&](StateBuilder& builder) { builder.set_maglev_seed(seeds[2]); });
  EXPECT_EQ(choices<TypeParam>(gateways[0], kTcpAck), chosen[0]) << "what is tracked stays";
  Gateway fresh;
  fresh.serve<TypeParam>(8, Mode::dsr_mac);
  separate_hops(fresh);
  fresh.change([&](StateBuilder& builder) { builder.set_maglev_seed(seeds[2]); });
  EXPECT_EQ(choices<TypeParam>(fresh, kTcpAck), chosen[2]) << "flows known elsewhere, too";
}

TYPED_TEST(Direct, EstablishedSurviveWhenBackendsComeAndGoAndRestarts) {
  constexpr unsigned kConnections = 5000;
  Gateway gateway;
  separate_hops(gateway);
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  std::map<unsigned, NextHopIndex> flows;
  std::vector<unsigned> order(kConnections);
  for (unsigned n = 0; n < kConnections; ++n) order[n] = n;
  std::mt19937 random(6);
  for (unsigned n : order) flows[n] = gateway.process(0, build(from_client<TypeParam>(n))).next_hop;
  const auto check = [&] {
    std::shuffle(order.begin(), order.end(), random);
    for (unsigned n : order) {
      ASSERT_EQ(gateway.process(0, build(from_client<TypeParam>(n, kTcpAck))).next_hop, flows[n]);
    }
  };
  gateway.now += 2;
  check();
  gateway.serve<TypeParam>(4, Mode::dsr_mac);
  gateway.sweep();
  check();
  // A SYN repins no live entry.
  for (unsigned n : order)
    ASSERT_EQ(gateway.process(0, build(from_client<TypeParam>(n))).next_hop, flows[n]);
  gateway.serve<TypeParam>(3, Mode::dsr_mac, {2});  // One drains.
  gateway.sweep();
  check();
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  check();
  // Another process, that never saw a SYN, maps all of them to the same backends.
  Gateway restarted;
  separate_hops(restarted);
  restarted.serve<TypeParam>(3, Mode::dsr_mac);
  for (unsigned n : order) {
    ASSERT_EQ(restarted.process(0, build(from_client<TypeParam>(n, kTcpAck))).next_hop, flows[n]);
  }
}

TYPED_TEST(Direct, FlowsOfABackendThatIsGoneAreChosenAnew) {
  Gateway gateway;
  separate_hops(gateway);
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  std::map<unsigned, NextHopIndex> flows;
  for (unsigned n = 0; n < 300; ++n)
    flows[n] = gateway.process(0, build(from_client<TypeParam>(n))).next_hop;
  gateway.serve<TypeParam>(2, Mode::dsr_mac);
  unsigned moved = 0;
  for (unsigned n = 0; n < 300; ++n) {
    const Outcome out = gateway.process(0, build(from_client<TypeParam>(n, kTcpAck)));
    ASSERT_EQ(out.verdict, Verdict::transmit);
    if (flows[n] == 10) {  // Backend 3's.
      ASSERT_NE(out.next_hop, 10u);
      ++moved;
    } else {
      ASSERT_EQ(out.next_hop, flows[n]);
    }
  }
  EXPECT_GT(moved, 50u);
}

TYPED_TEST(Direct, ForwardsWithoutEntriesWhenTheTableIsFull) {
  Gateway gateway(1, [](PipelineConfig& config) { config.flows_ipv4 = config.flows_ipv6 = 100; });
  separate_hops(gateway);
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  const auto open = [&](unsigned n) {
    return gateway.process(0, build(from_client<TypeParam>(n))).next_hop;
  };
  std::map<unsigned, NextHopIndex> verified;
  for (unsigned n = 0; n < 20; ++n) {
    verified[n] = open(n);
    gateway.now += 2;
    gateway.process(0, build(from_client<TypeParam>(n, kTcpAck)));
  }
  for (unsigned n = 100; n < 5000; ++n)
    ASSERT_NE(open(n), kNoNextHop);  // A flood of ten times and more.
  EXPECT_GT(gateway.counters[0]->untracked.read(), 0u);
  EXPECT_LE(gateway.pipelines[0]->template flows<TypeParam>().size(), 100u);
  gateway.serve<TypeParam>(4, Mode::dsr_mac);
  for (unsigned n = 0; n < 20; ++n) {
    ASSERT_EQ(gateway.process(0, build(from_client<TypeParam>(n, kTcpAck))).next_hop, verified[n]);
  }
}

TYPED_TEST(Direct, StaysWithTheWorkerThatReceivesIt) {
  Gateway gateway(2);
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  for (unsigned n = 0; n < 100; ++n) {
    ASSERT_EQ(gateway.process(n % 2, build(from_client<TypeParam>(n))).verdict, Verdict::transmit);
  }
}

TYPED_TEST(Direct, EntriesExpireByTheirState) {
  Gateway gateway;
  gateway.serve<TypeParam>(3, Mode::dsr_mac);
  const auto& table = gateway.pipelines[0]->template flows<TypeParam>();
  gateway.process(0, build(from_client<TypeParam>(1)));
  gateway.process(0, build(from_client<TypeParam>(2)));
  gateway.now += 2;
  gateway.process(0, build(from_client<TypeParam>(2, kTcpAck)));
  gateway.now += 40 * kTicksPerSecond;
  gateway.sweep();
  EXPECT_EQ(table.size(), 1u);
  gateway.now += 7300 * kTicksPerSecond;
  gateway.sweep();
  EXPECT_EQ(table.size(), 1u);
  gateway.now += 120 * kTicksPerSecond;
  gateway.sweep();
  EXPECT_EQ(table.size(), 0u);
  // A VIP that is gone takes its entries along.
  gateway.process(0, build(from_client<TypeParam>(3)));
  gateway.change([](StateBuilder& builder) {
    builder.remove_vip({ip(Net<TypeParam>::vip()), kProtocolTcp, 80});
  });
  gateway.sweep();
  EXPECT_EQ(table.size(), 0u);
}

}  // namespace
}  // namespace sluice
