// Mirror without a kernel: events in, Routing out.
#include "dataplane/kernel/mirror.h"

#include <gmock/gmock.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cstring>
#include <memory>

#include "dataplane/kernel/plain_fib.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

constexpr int kWan = 10, kLan = 11, kElsewhere = 12;

IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

// Grace that the test lets pass.
struct ManualGrace : Grace {
  std::uint64_t started = 0, passed = 0;
  std::uint64_t grace_start() override { return ++started; }
  bool grace_passed(std::uint64_t token) override { return token <= passed; }
};

struct Asked : NeighbourControl {
  std::vector<std::pair<IpAddress, bool>> calls;
  void resolve(const NeighbourKey& neighbour, bool managed) override {
    calls.emplace_back(neighbour.first, managed);
  }
};

class MirrorTest : public testing::Test {
 protected:
  MirrorTest() {
    routing.fib_ipv4 = std::make_unique<PlainFib<Ipv4>>();
    routing.fib_ipv6 = std::make_unique<PlainFib<Ipv6>>();
    mirror.commit();
  }

  static RouteEvent route(const char* prefix, std::vector<RouteHop> hops,
                          std::uint8_t type = RTN_UNICAST) {
    RouteEvent event;
    event.prefix = IpPrefix::parse(prefix).value();
    event.table = RT_TABLE_MAIN;
    event.type = type;
    event.hops = std::move(hops);
    return event;
  }
  static RouteEvent removed(RouteEvent event) {
    event.removed = true;
    return event;
  }
  static RouteHop by(const char* gateway, int link, std::uint32_t weight = 1) {
    return {link, *gateway == '\0' ? IpAddress() : ip(gateway), weight, false};
  }
  static NeighbourEvent neighbour(const char* address, std::uint8_t mac, int link = kLan,
                                  std::uint16_t state = NUD_REACHABLE) {
    NeighbourEvent event;
    event.link = link;
    event.address = ip(address);
    event.state = state;
    event.mac[5] = mac;
    event.has_mac = mac != 0;
    return event;
  }
  void apply(const KernelEvent& event) {
    mirror.apply(event);
    mirror.commit();
    queue.poll();
  }
  NextHopIndex lookup(const char* text) const {
    const IpAddress address = ip(text);
    NextHopIndex found = 0;
    if (address.is_v4()) {
      Ipv4::Address key;
      std::memcpy(key.data(), address.data(), key.size());
      routing.fib_ipv4->lookup(&key, &found, 1);
    } else {
      Ipv6::Address key;
      std::memcpy(key.data(), address.data(), key.size());
      routing.fib_ipv6->lookup(&key, &found, 1);
    }
    return found;
  }
  NextHop hop(const char* address) const { return routing.hop(lookup(address)); }
  NextHopState state(const char* address) const { return hop(address).state; }

  ManualGrace grace;
  Asked asked;
  Routing routing{64, 4, 100};
  GraceQueue queue{grace};
  MirrorPort ports[2] = {{kWan, 0, {2, 0, 0, 0, 0, 1}}, {kLan, 1, {2, 0, 0, 0, 0, 2}}};
  Mirror mirror{ports, routing, queue, asked};
};

TEST_F(MirrorTest, ALinksPrefixIsGleanedAndItsNeighboursAreReachable) {
  apply(route("10.1.0.0/24", {by("", kLan)}));
  EXPECT_EQ(state("10.1.0.5"), NextHopState::resolve);
  apply(neighbour("10.1.0.5", 9));
  EXPECT_EQ(state("10.1.0.5"), NextHopState::reachable);
  EXPECT_EQ(hop("10.1.0.5").destination_mac[5], 9);
  EXPECT_EQ(hop("10.1.0.5").source_mac[5], 2);
  EXPECT_EQ(hop("10.1.0.5").port, 1);
  EXPECT_EQ(state("10.1.0.6"), NextHopState::resolve);
}

TEST_F(MirrorTest, EveryUsableStateIsReachableAndFailedIsNot) {
  apply(route("2001:db8::/64", {by("", kLan)}));
  for (const std::uint16_t usable :
       {NUD_REACHABLE, NUD_STALE, NUD_DELAY, NUD_PROBE, NUD_PERMANENT, NUD_NOARP}) {
    apply(neighbour("2001:db8::5", 9, kLan, usable));
    EXPECT_EQ(state("2001:db8::5"), NextHopState::reachable) << usable;
  }
  for (const std::uint16_t unusable : {NUD_FAILED, NUD_INCOMPLETE, NUD_NONE}) {
    apply(neighbour("2001:db8::5", 9));
    apply(neighbour("2001:db8::5", 0, kLan, unusable));
    EXPECT_EQ(state("2001:db8::5"), NextHopState::resolve) << unusable;
  }
}

TEST_F(MirrorTest, ANewMacIsUsedAtOnceUnderTheSameIndex) {
  apply(route("10.1.0.0/24", {by("", kLan)}));
  apply(neighbour("10.1.0.5", 9));
  const NextHopIndex index = lookup("10.1.0.5");
  mirror.apply(neighbour("10.1.0.5", 8));  // Not even a commit.
  EXPECT_EQ(routing.hop(index).destination_mac[5], 8);
}

TEST_F(MirrorTest, AnIndexIsGivenAgainOnlyAfterGrace) {
  apply(route("10.1.0.0/24", {by("", kLan)}));
  apply(neighbour("10.1.0.5", 9));
  const NextHopIndex index = lookup("10.1.0.5");
  NeighbourEvent gone = neighbour("10.1.0.5", 9);
  gone.removed = true;
  apply(gone);
  EXPECT_NE(lookup("10.1.0.5"), index);
  // A worker that still holds it sends its packets to wait for the same neighbour.
  EXPECT_EQ(routing.hop(index).state, NextHopState::resolve);
  ASSERT_TRUE(mirror.neighbour_of(index, IpAddress()).has_value());
  EXPECT_EQ(mirror.neighbour_of(index, IpAddress())->first, ip("10.1.0.5"));
  apply(neighbour("10.1.0.6", 7));
  EXPECT_NE(lookup("10.1.0.6"), index);
  grace.passed = grace.started;
  queue.poll();
  EXPECT_FALSE(mirror.neighbour_of(index, IpAddress()).has_value());
  apply(neighbour("10.1.0.7", 6));
  EXPECT_EQ(lookup("10.1.0.7"), index);
}

TEST_F(MirrorTest, ANeighbourIsUsedOnlyWhereTheRouteIsOnItsLink) {
  apply(route("10.1.0.0/24", {by("", kLan)}));
  apply(neighbour("10.1.0.5", 9));
  apply(neighbour("10.1.0.6", 9, kWan));
  EXPECT_EQ(state("10.1.0.6"), NextHopState::resolve);  // Known on the other link.
  apply(route("10.1.0.4/30", {by("10.9.0.1", kWan)}));  // More specific, behind a router.
  EXPECT_EQ(hop("10.1.0.5").port, 0);
  apply(removed(route("10.1.0.4/30", {by("10.9.0.1", kWan)})));
  EXPECT_EQ(state("10.1.0.5"), NextHopState::reachable);
  EXPECT_EQ(hop("10.1.0.5").port, 1);
}

TEST_F(MirrorTest, AGatewayIsAskedForManagedUntilNoRouteNeedsIt) {
  const RouteEvent by_gateway = route("0.0.0.0/0", {by("10.0.0.254", kWan)});
  apply(by_gateway);
  EXPECT_THAT(asked.calls, ElementsAre(Pair(ip("10.0.0.254"), true)));
  EXPECT_EQ(state("8.8.8.8"), NextHopState::resolve);
  EXPECT_EQ(hop("8.8.8.8").on_link, 0);
  mirror.ask_again();
  EXPECT_EQ(asked.calls.size(), 2u);
  apply(neighbour("10.0.0.254", 3, kWan));
  EXPECT_EQ(state("8.8.8.8"), NextHopState::reachable);
  mirror.ask_again();
  EXPECT_EQ(asked.calls.size(), 2u);
  asked.calls.clear();
  apply(removed(by_gateway));
  EXPECT_THAT(asked.calls, ElementsAre(Pair(ip("10.0.0.254"), false)));
  EXPECT_EQ(state("8.8.8.8"), NextHopState::none);
}

TEST_F(MirrorTest, PermanentNeighboursAreLeftAlone) {
  apply(neighbour("10.0.0.254", 3, kWan, NUD_PERMANENT));
  apply(route("0.0.0.0/0", {by("10.0.0.254", kWan)}));
  apply(removed(route("0.0.0.0/0", {by("10.0.0.254", kWan)})));
  EXPECT_THAT(asked.calls, IsEmpty());
}

TEST_F(MirrorTest, AnIpv4RouteMayHaveAnIpv6Gateway) {
  apply(neighbour("fe80::1", 4, kWan));
  apply(route("0.0.0.0/0", {by("fe80::1", kWan)}));
  EXPECT_EQ(state("8.8.8.8"), NextHopState::reachable);
  EXPECT_EQ(hop("8.8.8.8").destination_mac[5], 4);
  EXPECT_EQ(state("fe80::1"), NextHopState::local);  // Itself never forwarded to.
}

TEST_F(MirrorTest, TypesOfRoutes) {
  apply(route("192.0.2.0/28", {}, RTN_BLACKHOLE));
  apply(route("192.0.2.16/28", {}, RTN_UNREACHABLE));
  apply(route("192.0.2.32/28", {by("", kElsewhere)}));
  RouteEvent own = route("192.0.2.49/32", {by("", kLan)}, RTN_LOCAL);
  own.table = RT_TABLE_LOCAL;
  apply(own);
  EXPECT_EQ(state("192.0.2.1"), NextHopState::blackhole);
  EXPECT_EQ(state("192.0.2.17"), NextHopState::blackhole);
  EXPECT_EQ(state("192.0.2.33"), NextHopState::local);
  EXPECT_EQ(state("192.0.2.49"), NextHopState::local);
  EXPECT_EQ(state("192.0.2.60"), NextHopState::none);
  EXPECT_EQ(state("224.0.0.5"), NextHopState::local);
  EXPECT_EQ(state("ff02::1"), NextHopState::local);
  RouteEvent other_table = route("192.0.2.60/32", {by("", kLan)});
  other_table.table = 100;
  apply(other_table);
  EXPECT_EQ(state("192.0.2.60"), NextHopState::none);
}

TEST_F(MirrorTest, TheLowestMetricWins) {
  RouteEvent first = route("0.0.0.0/0", {by("10.0.0.1", kWan)}),
             second = route("0.0.0.0/0", {by("10.1.0.1", kLan)});
  first.metric = 200;
  second.metric = 100;
  apply(first);
  EXPECT_EQ(hop("8.8.8.8").port, 0);
  apply(second);
  EXPECT_EQ(hop("8.8.8.8").port, 1);
  apply(removed(second));
  EXPECT_EQ(hop("8.8.8.8").port, 0);
}

TEST_F(MirrorTest, SeveralGatewaysShareByWeightAndEqualGroupsAreOne) {
  apply(route("203.0.113.0/24", {by("10.0.0.1", kWan, 1), by("10.1.0.1", kLan, 2)}));
  const NextHopIndex index = lookup("203.0.113.1");
  ASSERT_NE(index & kMultipath, 0u);
  const MultipathGroup& group = routing.multipath[index & (kMultipath - 1)];
  ASSERT_EQ(group.count, 3u);
  EXPECT_EQ(routing.hop(group.hops[0]).port, 0);
  EXPECT_EQ(routing.hop(group.hops[1]).port, 1);
  EXPECT_EQ(group.hops[1], group.hops[2]);
  apply(route("198.51.100.0/24", {by("10.0.0.1", kWan, 1), by("10.1.0.1", kLan, 2)}));
  EXPECT_EQ(lookup("198.51.100.1"), index);
}

TEST_F(MirrorTest, LargeWeightsAreRoundedAndNoGatewayIsForgotten) {
  apply(route("203.0.113.0/24",
              {by("10.0.0.1", kWan, 250), by("10.0.0.2", kWan, 1), by("10.0.0.3", kWan, 249)}));
  const MultipathGroup& group = routing.multipath[lookup("203.0.113.1") & (kMultipath - 1)];
  ASSERT_LE(group.count, MultipathGroup::kMax);
  std::map<NextHopIndex, unsigned> places;
  for (unsigned i = 0; i < group.count; ++i) ++places[group.hops[i]];
  ASSERT_EQ(places.size(), 3u);
  EXPECT_NEAR(places[group.hops[0]], places[group.hops[group.count - 1]], 1);
}

TEST_F(MirrorTest, GroupsAndNextHopsComeBackAfterUse) {
  for (int i = 0; i < 300; ++i) {
    const std::string second = "10.0.0." + std::to_string(i % 200 + 2);
    const RouteEvent event =
        route("203.0.113.0/24", {by("10.0.0.1", kWan, 3), by(second.c_str(), kWan, 2)});
    apply(event);
    ASSERT_NE(lookup("203.0.113.1") & kMultipath, 0u) << "after " << i;
    apply(removed(event));
    grace.passed = grace.started;
    queue.poll();
    queue.poll();
    grace.passed = grace.started;
    queue.poll();
  }
  EXPECT_EQ(mirror.problems(), 0u);
}

TEST_F(MirrorTest, WithoutRoomForAGroupOneWayIsTaken) {
  for (int i = 0; i < 4; ++i) {
    apply(route(("203.0.113." + std::to_string(i) + "/32").c_str(),
                {by("10.0.0.1", kWan, 1), by("10.0.0.2", kWan, 2u + static_cast<unsigned>(i))}));
  }
  apply(route("203.0.113.9/32", {by("10.0.0.1", kWan, 1), by("10.0.0.2", kWan, 9)}));
  EXPECT_EQ(state("203.0.113.9"), NextHopState::resolve);
  EXPECT_GT(mirror.problems(), 0u);
}

TEST_F(MirrorTest, BackendsFollowRoutesAndNeighbours) {
  mirror.change_backend(5, ip("10.1.0.5"));
  mirror.change_backend(6, ip("2001:db8::6"));
  mirror.change_backend(4000000, ip("10.1.0.1"));
  mirror.commit();
  const auto backend = [&](std::uint32_t id) { return routing.hop(routing.backend_next_hop(id)); };
  EXPECT_EQ(backend(5).state, NextHopState::none);
  apply(route("10.1.0.0/24", {by("", kLan)}));
  apply(route("2001:db8::/64", {by("", kLan)}));
  EXPECT_EQ(backend(5).state, NextHopState::resolve);
  EXPECT_THAT(asked.calls, ElementsAre(Pair(ip("10.1.0.5"), true), Pair(ip("2001:db8::6"), true)));
  apply(neighbour("10.1.0.5", 9));
  apply(neighbour("2001:db8::6", 8));
  EXPECT_EQ(backend(5).destination_mac[5], 9);
  EXPECT_EQ(backend(6).destination_mac[5], 8);
  asked.calls.clear();
  mirror.change_backend(7, ip("10.1.0.5"));  // Another port of the same pod.
  mirror.commit();
  EXPECT_EQ(backend(7).destination_mac[5], 9);
  mirror.change_backend(5, IpAddress());
  mirror.change_backend(4000000, IpAddress());
  mirror.commit();
  EXPECT_THAT(asked.calls, IsEmpty());
  mirror.change_backend(7, IpAddress());
  mirror.commit();
  EXPECT_EQ(routing.backend_next_hop(5), kNoNextHop);
  EXPECT_THAT(asked.calls, ElementsAre(Pair(ip("10.1.0.5"), false)));
}

TEST_F(MirrorTest, ADumpReplacesAndAFailedOneChangesNothing) {
  apply(route("10.1.0.0/24", {by("", kLan)}));
  apply(neighbour("10.1.0.5", 9));
  mirror.begin_dump();
  mirror.apply(route("10.2.0.0/24", {by("", kLan)}));
  mirror.commit();  // Nothing of a dump is seen before its end.
  EXPECT_EQ(state("10.1.0.5"), NextHopState::reachable);
  mirror.end_dump(false);
  mirror.commit();
  EXPECT_TRUE(mirror.needs_dump());
  EXPECT_EQ(state("10.1.0.5"), NextHopState::reachable);
  EXPECT_EQ(state("10.2.0.5"), NextHopState::none);
  mirror.begin_dump();
  mirror.apply(route("10.2.0.0/24", {by("", kLan)}));
  mirror.end_dump(true);
  mirror.commit();
  EXPECT_FALSE(mirror.needs_dump());
  EXPECT_EQ(state("10.1.0.5"), NextHopState::none);
  EXPECT_EQ(state("10.2.0.5"), NextHopState::resolve);
}

TEST_F(MirrorTest, Ipv6MultipathIsToldHopByHop) {
  apply(route("2001:db8:9::/48", {by("2001:db8::1", kWan)}));
  apply(route("2001:db8:9::/48", {by("2001:db8::1", kWan), by("2001:db8:1::1", kLan)}));
  ASSERT_NE(lookup("2001:db8:9::1") & kMultipath, 0u);
  apply(removed(route("2001:db8:9::/48", {by("2001:db8::1", kWan)})));
  EXPECT_EQ(hop("2001:db8:9::1").port, 1);
  apply(removed(route("2001:db8:9::/48", {by("2001:db8:1::1", kLan)})));
  EXPECT_EQ(state("2001:db8:9::1"), NextHopState::none);
}

TEST_F(MirrorTest, LinksThatChangeAskForADump) {
  LinkEvent link;
  link.index = kLan;
  link.flags = 0x1 | 0x40;  // IFF_UP, IFF_RUNNING
  mirror.begin_dump();
  mirror.apply(link);
  mirror.end_dump(true);
  mirror.apply(link);
  EXPECT_FALSE(mirror.needs_dump());
  link.flags = 0x1;
  mirror.apply(link);
  EXPECT_TRUE(mirror.needs_dump());
}

}  // namespace
}  // namespace sluice
