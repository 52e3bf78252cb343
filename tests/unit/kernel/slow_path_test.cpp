// The slow path against the real kernel: see slow_path_fixture.h.
#include <gmock/gmock.h>

#include <cstring>
#include <functional>

#include "tests/unit/kernel/slow_path_fixture.h"

namespace sluice::test {
namespace {

using testing::HasSubstr;

Mac mac_of(const NextHop& hop) {
  Mac mac;
  std::memcpy(mac.data(), hop.destination_mac, mac.size());
  return mac;
}

// A VIP of each family as a host beside the gateway's wan port sees it.
class VipTest : public SlowPathTest {
 protected:
  void SetUp() override {
    SlowPathTest::SetUp();
    if (IsSkipped()) return;
    shell("ip addr add 10.0.0.1/24 dev wan; ip addr add 2001:db8:a::1/64 dev wan nodad");
  }

  bool answered(const std::function<bool(const Bytes&)>& is_answer, double seconds = 5) {
    return Wire::wait_until([&] { return !wire_->sent(is_answer).empty(); }, seconds);
  }

  void serve_and_try() {
    wire_->add_host(ip("2001:db8:a::2"), kPeerMac);
    slow_path_->set_served({ip("192.0.2.10"), ip("2001:db8::10")});
    ASSERT_TRUE(eventually("192.0.2.10", NextHopState::local));
    ASSERT_TRUE(eventually("2001:db8::10", NextHopState::local));

    wire_->inject(0, arp_request(kPeerMac, ip("10.0.0.2"), ip("192.0.2.10")));
    const auto is_reply = [](const Bytes& f) { return is_arp_reply(f, ip("192.0.2.10")); };
    ASSERT_TRUE(answered(is_reply));
    EXPECT_EQ(0, std::memcmp(&wire_->sent(is_reply).front()[6], kWanMac.data(), 6));

    wire_->inject(0, neighbour_solicitation(kPeerMac, ip("2001:db8:a::2"), ip("2001:db8::10")));
    const auto is_advertisement = [](const Bytes& f) {
      return is_neighbour_advertisement(f, ip("2001:db8::10"));
    };
    // At once, not after the proxy's usual delay of up to 0.8 s.
    ASSERT_TRUE(answered(is_advertisement, 0.5));
    EXPECT_EQ(0, std::memcmp(&wire_->sent(is_advertisement).front()[6], kWanMac.data(), 6));

    wire_->inject(0, echo_request(kWanMac, kPeerMac, ip("10.0.0.2"), ip("192.0.2.10")));
    EXPECT_TRUE(answered(
        [](const Bytes& f) { return is_echo_reply(f, ip("192.0.2.10"), ip("10.0.0.2")); }));
    wire_->inject(0, echo_request(kWanMac, kPeerMac, ip("2001:db8:a::2"), ip("2001:db8::10")));
    EXPECT_TRUE(answered(
        [](const Bytes& f) { return is_echo_reply(f, ip("2001:db8::10"), ip("2001:db8:a::2")); }));
  }
};

TEST_F(VipTest, TheKernelAnswersForIt) {
  serve_and_try();
}

// Where the kernel has no dummy interfaces.
TEST_F(VipTest, TheKernelAnswersForItOnABridgeWithoutPorts) {
  slow_path_->stop();
  shell("ip link del sluice-vips; ip link add sluice-vips type bridge");
  restart();
  serve_and_try();
}

TEST_F(VipTest, ItsInterfaceIsMadeAgain) {
  serve_and_try();
  shell("ip link del sluice-vips");
  EXPECT_TRUE(Wire::wait_until(
      [] { return shell("ip -br addr").find("192.0.2.10/32") != std::string::npos; }));
  EXPECT_TRUE(eventually("2001:db8::10", NextHopState::local));
}

TEST_F(VipTest, ItIsNoNatSource) {
  serve_and_try();
  shell("ip addr add 192.0.2.10/32 dev lan");
  shell("ip addr add 10.1.0.1/24 dev lan");
  ASSERT_TRUE(Wire::wait_until([&] { return routing_->nat_sources.load()->ipv4.size() == 2; }));
  EXPECT_EQ(routing_->nat_sources.load()->ipv4[1].address, (Ipv4::Address{10, 1, 0, 1}));
}

TEST_F(SlowPathTest, AddressesThatAreNoLongerServedAreRemoved) {
  slow_path_->set_served({ip("192.0.2.10"), ip("192.0.2.11"), ip("2001:db8::10")});
  ASSERT_TRUE(eventually("192.0.2.11", NextHopState::local));
  ASSERT_TRUE(eventually("2001:db8::10", NextHopState::local));
  slow_path_->set_served({ip("192.0.2.10")});
  ASSERT_TRUE(eventually("192.0.2.11", NextHopState::none));
  ASSERT_TRUE(eventually("2001:db8::10", NextHopState::none));
  EXPECT_EQ(hop("192.0.2.10").state, NextHopState::local);
  EXPECT_EQ(shell("ip neigh show proxy"), "");
}

TEST_F(SlowPathTest, BackendsOnLinkAreResolvedAndKeptSo) {
  for (const bool v4 : {true, false}) {
    SCOPED_TRACE(v4);
    const char* address = v4 ? "10.1.0.5" : "2001:db8:1::5";
    shell(v4 ? "ip addr add 10.1.0.1/24 dev lan" : "ip addr add 2001:db8:1::1/64 dev lan nodad");
    wire_->add_host(ip(address), kPeerMac);
    slow_path_->change_backends({{7, ip(address)}}, {});
    ASSERT_TRUE(Wire::wait_until([&] { return backend(7).state == NextHopState::reachable; }));
    EXPECT_EQ(mac_of(backend(7)), kPeerMac);
    EXPECT_EQ(backend(7).port, 1);
    EXPECT_EQ(backend(7).on_link, 1);
    EXPECT_EQ(0, std::memcmp(backend(7).source_mac, kLanMac.data(), 6));
    EXPECT_THAT(shell(std::string("ip neigh show ") + address), HasSubstr("managed"));
    slow_path_->change_backends({}, {7});
    ASSERT_TRUE(Wire::wait_until([&] { return backend(7).state == NextHopState::none; }));
    EXPECT_TRUE(Wire::wait_until([&] {
      return shell(std::string("ip neigh show ") + address).find("managed") == std::string::npos;
    }));
  }
}

TEST_F(SlowPathTest, BackendsBehindARouterHaveTheRoutersMac) {
  shell("ip addr add 10.1.0.1/24 dev lan");
  wire_->add_host(ip("10.1.0.254"), kPeerMac);
  slow_path_->change_backends({{3, ip("172.16.5.5")}}, {});
  shell("ip route add 172.16.0.0/16 via 10.1.0.254");
  ASSERT_TRUE(Wire::wait_until([&] { return backend(3).state == NextHopState::reachable; }));
  EXPECT_EQ(mac_of(backend(3)), kPeerMac);
  EXPECT_EQ(backend(3).on_link, 0);
  // The router's MAC changes: a replaced machine announces itself.
  const NextHopIndex index = routing_->backend_next_hop(3);
  shell("ip neigh replace 10.1.0.254 lladdr 02:00:00:00:01:02 dev lan nud reachable");
  ASSERT_TRUE(Wire::wait_until([&] { return mac_of(backend(3)) == kOtherMac; }));
  EXPECT_EQ(routing_->backend_next_hop(3), index);
  shell("ip route del 172.16.0.0/16");
  EXPECT_TRUE(Wire::wait_until([&] { return backend(3).state == NextHopState::none; }));
}

TEST_F(SlowPathTest, PacketsWaitForTheirNeighbour) {
  shell("ip addr add 10.1.0.1/24 dev lan");
  ASSERT_TRUE(eventually("10.1.0.7", NextHopState::resolve));
  const Bytes packet = echo_request({}, {}, ip("192.0.2.10"), ip("10.1.0.7"));
  wire_->add_host(ip("10.1.0.7"), kPeerMac);
  wire_->inject_waiting(lookup("10.1.0.7"), packet);
  ASSERT_TRUE(Wire::wait_until([&] { return wire_->transmitted().size() == 1; }));
  const Wire::Transmitted sent = wire_->transmitted().front();
  EXPECT_EQ(sent.port, 1);
  EXPECT_EQ(0, std::memcmp(&sent.frame[0], kPeerMac.data(), 6));
  EXPECT_EQ(0, std::memcmp(&sent.frame[6], kLanMac.data(), 6));
  EXPECT_TRUE(std::equal(sent.frame.begin() + 12, sent.frame.end(), packet.begin() + 12));
  EXPECT_EQ(counter("neighbour-resolved"), 1u);
  EXPECT_EQ(hop("10.1.0.7").state, NextHopState::reachable);
}

TEST_F(SlowPathTest, WaitingIsBoundedAndEnds) {
  shell("ip addr add 10.1.0.1/24 dev lan");
  ASSERT_TRUE(eventually("10.1.0.8", NextHopState::resolve));
  for (int i = 0; i < 20; ++i) {
    wire_->inject_waiting(lookup("10.1.0.8"),
                          echo_request({}, {}, ip("192.0.2.10"), ip("10.1.0.8")));
  }
  ASSERT_TRUE(Wire::wait_until([&] { return counter("neighbour-waiting-full") == 4; }));
  EXPECT_EQ(counter("neighbour-waiting"), 16u);  // slowPath.waitingPackets
  EXPECT_TRUE(Wire::wait_until([&] { return counter("neighbour-unresolved") == 16; }, 6));
  EXPECT_EQ(wire_->released(), 20u);
  EXPECT_GE(wire_->asked_for(ip("10.1.0.8")), 1u);
}

TEST_F(SlowPathTest, RoutesAreFollowed) {
  shell("ip addr add 10.0.0.1/24 dev wan; ip addr add 10.1.0.1/24 dev lan");
  EXPECT_TRUE(eventually("10.0.0.1", NextHopState::local));
  EXPECT_TRUE(eventually("10.0.0.255", NextHopState::local));
  shell("ip route add default via 10.0.0.254");
  ASSERT_TRUE(eventually("8.8.8.8", NextHopState::resolve));
  EXPECT_EQ(hop("8.8.8.8").port, 0);
  shell("ip route add blackhole 198.51.100.0/24");
  EXPECT_TRUE(eventually("198.51.100.1", NextHopState::blackhole));
  // A route over a link that is not ours is the kernel's business.
  shell("ip link add mgmt type bridge; ip link set mgmt up; ip addr add 10.9.0.1/24 dev mgmt");
  EXPECT_TRUE(eventually("10.9.0.7", NextHopState::local));
  shell("ip route del blackhole 198.51.100.0/24");
  EXPECT_TRUE(eventually("198.51.100.1", NextHopState::resolve));
  // The kernel drops these without a word.
  shell("ip link set lan down");
  EXPECT_TRUE(Wire::wait_until([&] { return hop("10.1.0.7").port == 0; }));
  shell("ip link set lan up; ip addr add 2001:db8:5::1/64 dev lan nodad");
  EXPECT_TRUE(Wire::wait_until([&] { return hop("10.1.0.7").port == 1; }));
  shell("ip -6 route add 2001:db8:99::/48 via 2001:db8:5::9");
  EXPECT_TRUE(eventually("2001:db8:99::1", NextHopState::resolve));
  EXPECT_EQ(hop("2001:db8:99::1").on_link, 0);
  EXPECT_TRUE(eventually("fe80::1234", NextHopState::local));
}

TEST_F(SlowPathTest, MultipathAndNexthopObjectsAreFollowed) {
  shell("ip addr add 10.0.0.1/24 dev wan; ip addr add 10.1.0.1/24 dev lan");
  shell("ip route add 198.51.100.0/24 nexthop via 10.0.0.9 weight 1 nexthop via 10.1.0.9 weight 3");
  ASSERT_TRUE(Wire::wait_until([&] { return (lookup("198.51.100.1") & kMultipath) != 0; }));
  const MultipathGroup& group = routing_->multipath[lookup("198.51.100.1") & (kMultipath - 1)];
  ASSERT_EQ(group.count, 4u);
  unsigned by_lan = 0;
  for (unsigned i = 0; i < group.count; ++i) by_lan += routing_->hop(group.hops[i]).port;
  EXPECT_EQ(by_lan, 3u);

  shell("ip nexthop add id 1 via 10.0.0.9 dev wan; ip nexthop add id 2 via 10.1.0.9 dev lan");
  shell("ip nexthop add id 10 group 1/2; ip route add 203.0.113.0/24 nhid 10");
  EXPECT_TRUE(Wire::wait_until([&] { return (lookup("203.0.113.1") & kMultipath) != 0; }));
  shell("ip nexthop del id 2");
  EXPECT_TRUE(Wire::wait_until([&] {
    const NextHopIndex index = routing_->pick(lookup("203.0.113.1"), 0xffffffff);
    return routing_->hop(index).port == 0 && routing_->hop(index).state == NextHopState::resolve;
  }));

  shell("ip addr add 2001:db8:1::1/64 dev lan nodad; ip addr add 2001:db8::1/64 dev wan nodad");
  shell("ip -6 route add 2001:db8:99::/48 via 2001:db8:1::9");
  ASSERT_TRUE(eventually("2001:db8:99::1", NextHopState::resolve));
  shell("ip -6 route append 2001:db8:99::/48 via 2001:db8::9");
  ASSERT_TRUE(Wire::wait_until([&] { return (lookup("2001:db8:99::1") & kMultipath) != 0; }));
  shell("ip -6 route del 2001:db8:99::/48 via 2001:db8:1::9");
  ASSERT_TRUE(Wire::wait_until([&] { return (lookup("2001:db8:99::1") & kMultipath) == 0; }));
  EXPECT_EQ(hop("2001:db8:99::1").port, 0);
}

TEST_F(SlowPathTest, ARestartKeepsAddressesRoutesAndVips) {
  shell("ip addr add 10.0.0.1/24 dev wan; ip route add default via 10.0.0.254");
  slow_path_->set_served({ip("192.0.2.10"), ip("2001:db8::10")});
  ASSERT_TRUE(eventually("192.0.2.10", NextHopState::local));
  ASSERT_TRUE(eventually("2001:db8::10", NextHopState::local));
  restart();
  // Known when start() returns, before control has said anything.
  EXPECT_EQ(hop("8.8.8.8").state, NextHopState::resolve);
  EXPECT_EQ(hop("192.0.2.10").state, NextHopState::local);
  EXPECT_EQ(hop("2001:db8::10").state, NextHopState::local);
  EXPECT_THAT(shell("ip addr show dev wan"), HasSubstr("10.0.0.1/24"));
  slow_path_->set_served({ip("192.0.2.10")});
  EXPECT_TRUE(eventually("2001:db8::10", NextHopState::none));
  EXPECT_EQ(hop("192.0.2.10").state, NextHopState::local);
}

TEST_F(SlowPathTest, ASecondProcessOnTheSamePortIsRefused) {
  Wire wire;
  SlowPath second(config_, ports_, wire, *routing_);
  const Status status = second.start();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error(), HasSubstr("wan"));
  EXPECT_THAT(status.error(), HasSubstr("another process has it"));
}

TEST_F(SlowPathTest, AnotherInterfaceOfThePortsNameIsRefused) {
  shell("ip link add taken type bridge");
  std::vector<PortInfo> ports(1);
  ports[0].name = "taken";
  Wire wire;
  SlowPath second(config_, ports, wire, *routing_);
  const Status status = second.start();
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error(), HasSubstr("taken: an interface of this name exists"));
}

TEST_F(SlowPathTest, OwnAddressesAreNatSourcesAndThePortsAreSetAside) {
  EXPECT_EQ(shell("cat /proc/sys/net/ipv4/ip_local_port_range"), "10000\t19999\n");
  ASSERT_NE(routing_->nat_sources.load(), nullptr);
  EXPECT_TRUE(routing_->nat_sources.load()->ipv4.empty());
  shell("ip addr add 10.1.0.9/24 dev lan; ip addr add 2001:db8:1::9/64 dev lan nodad");
  ASSERT_TRUE(Wire::wait_until([&] {
    const NatSources* sources = routing_->nat_sources.load();
    return sources->ipv4.size() == 1 && sources->ipv6.size() == 1;
  }));
  const NatSources* sources = routing_->nat_sources.load();
  EXPECT_EQ(sources->ipv4[0].port_id, 1);
  EXPECT_EQ(sources->ipv4[0].address, (Ipv4::Address{10, 1, 0, 9}));
  EXPECT_EQ(sources->first_port, 20000);
  EXPECT_NE(sources->ipv4[0].number, sources->ipv6[0].number);
}

TEST_F(SlowPathTest, AFloodDoesNotStarveArp) {
  shell("ip addr add 10.0.0.1/24 dev wan");
  ASSERT_TRUE(eventually("10.0.0.1", NextHopState::local));
  for (int i = 0; i < 3000; ++i) {
    wire_->inject(0, echo_request(kWanMac, kPeerMac, ip("10.0.0.2"), ip("10.0.0.1")));
  }
  wire_->inject(0, arp_request(kPeerMac, ip("10.0.0.2"), ip("10.0.0.1")));
  EXPECT_TRUE(Wire::wait_until([&] {
    return !wire_->sent([](const Bytes& f) { return is_arp_reply(f, ip("10.0.0.1")); }).empty();
  }));
  EXPECT_GT(counter("slow-path-limited"), 0u);
}

TEST_F(VipTest, TunnelsStartAtThePortsAddressAndMtusFollowTheTaps) {
  const auto source = [&] { return routing_->tunnel_sources(); };
  ASSERT_TRUE(Wire::wait_until([&] {
    return source() != nullptr && source()->ports.size() == 2 && source()->ports[0].ipv4.present;
  }));
  EXPECT_EQ(IpAddress::v4(source()->ports[0].ipv4.address.data()), ip("10.0.0.1"));
  EXPECT_FALSE(source()->ports[1].ipv4.present);
  const auto mtu_becomes = [&](std::uint16_t mtu) {
    return Wire::wait_until([&] { return routing_->port_mtu(0) == mtu; });
  };
  EXPECT_TRUE(mtu_becomes(1500));
  shell("ip link set wan mtu 1400");
  EXPECT_TRUE(mtu_becomes(1400));
  shell("ip link set wan mtu 9000");
  EXPECT_TRUE(mtu_becomes(1500)) << "the port itself has no more";
  EXPECT_EQ(routing_->port_mtu(1), 1500);
}

}  // namespace
}  // namespace sluice::test
