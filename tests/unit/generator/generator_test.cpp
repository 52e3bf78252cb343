// The arithmetic of the generator of scripts/line-rate: flows, pacing, percentiles, bisection,
// frames.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "tests/bench/generator/flow_plan.h"
#include "tests/bench/generator/frame.h"
#include "tests/bench/generator/histogram.h"
#include "tests/bench/generator/pacer.h"
#include "tests/bench/generator/rate_search.h"

namespace sluice::generator {
namespace {

TEST(Modulo, IsTheRemainder) {
  std::mt19937 random(1);
  for (const std::uint32_t divisor : {1u, 2u, 3u, 12u, 1000u, 1'000'000u, 65537u, ~0u}) {
    const Modulo modulo(divisor);
    for (const std::uint32_t n : {0u, 1u, divisor - 1, divisor, divisor + 1, ~0u, ~0u - 1})
      ASSERT_EQ(modulo(n), n % divisor) << n << " by " << divisor;
    for (int i = 0; i < 1000; ++i) {
      const auto n = static_cast<std::uint32_t>(random());
      ASSERT_EQ(modulo(n), n % divisor) << n << " by " << divisor;
    }
  }
}

TEST(FlowPlan, GivesEveryFlowAnotherClient) {
  for (const std::uint32_t flows : {1u, 2u, 1000u, 4097u, 100'000u}) {
    const auto plan = FlowPlan::make(flows);
    ASSERT_TRUE(plan) << plan.error();
    std::set<std::pair<std::uint32_t, std::uint16_t>> seen;
    for (std::uint32_t flow = 0; flow < flows; ++flow) {
      const Client client = plan->client(flow);
      EXPECT_LT(client.number, plan->clients());
      EXPECT_GE(client.port, kFirstClientPort);
      seen.insert({client.number, client.port});
    }
    EXPECT_EQ(seen.size(), flows);
  }
}

TEST(FlowPlan, HoldsItsMostFlowsWithoutWrappingThePort) {
  const auto plan = FlowPlan::make(kMostFlows);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->client(kMostFlows - 1), (Client{kMostClients - 1, 65535}));
}

TEST(FlowPlan, RefusesNoneAndTooMany) {
  EXPECT_FALSE(FlowPlan::make(0));
  EXPECT_FALSE(FlowPlan::make(kMostFlows + 1));
}

TEST(Schedule, TakesFlowsInTurn) {
  const Schedule schedule = Schedule::traffic(*FlowPlan::make(3));
  std::vector<std::uint32_t> flows;
  for (std::uint32_t i = 0; i < 7; ++i) {
    EXPECT_FALSE(schedule.packet(i).syn);
    flows.push_back(schedule.packet(i).flow);
  }
  EXPECT_THAT(flows, testing::ElementsAre(0, 1, 2, 0, 1, 2, 0));
}

TEST(Schedule, OpensEveryFlowByItsSynFirst) {
  const std::uint32_t flows = Schedule::kGroup + 100;
  const Schedule schedule = Schedule::opening(*FlowPlan::make(flows), true);
  std::vector<int> seen(flows);  // 0: nothing; 1: SYN; 2: SYN and data.
  for (std::uint32_t i = 0; i < schedule.packets(); ++i) {
    const auto packet = schedule.packet(i);
    ASSERT_LT(packet.flow, flows);
    if (packet.syn) {
      seen[packet.flow] = std::max(seen[packet.flow], 1);
    } else {
      ASSERT_GE(seen[packet.flow], 1) << packet.flow;
      seen[packet.flow] = 2;
    }
  }
  EXPECT_THAT(seen, testing::Each(2));
}

TEST(Schedule, OpensFlowsWithoutHandshakeOnceEach) {
  const Schedule schedule = Schedule::opening(*FlowPlan::make(100), false);
  EXPECT_EQ(schedule.packets(), 100u);
  EXPECT_EQ(schedule.packet(99).flow, 99u);
}

TEST(Histogram, FindsPercentilesWithinItsPrecision) {
  Histogram histogram;
  std::vector<std::uint32_t> values;
  std::mt19937 random(2);
  std::lognormal_distribution<double> distribution(6, 2);
  for (int i = 0; i < 100'000; ++i) {
    values.push_back(static_cast<std::uint32_t>(std::min(distribution(random), 4e9)));
    histogram.record(values.back());
  }
  std::sort(values.begin(), values.end());
  EXPECT_EQ(histogram.count(), values.size());
  EXPECT_EQ(histogram.minimum(), values.front());
  EXPECT_EQ(histogram.maximum(), values.back());
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = static_cast<double>(
        values[static_cast<std::size_t>(share * static_cast<double>(values.size())) - 1]);
    EXPECT_GE(histogram.percentile(share), exact);
    EXPECT_LE(histogram.percentile(share), exact * (1 + 1 / 32.0) + 1) << share;
  }
}

TEST(Histogram, HoldsTheWholeRangeAndNothing) {
  Histogram histogram;
  EXPECT_EQ(histogram.percentile(0.5), 0u);
  EXPECT_EQ(histogram.minimum(), 0u);
  histogram.record(0);
  histogram.record(UINT32_MAX);
  EXPECT_EQ(histogram.percentile(0.5), 0u);
  EXPECT_EQ(histogram.percentile(1), UINT32_MAX);
}

TEST(Histogram, MergesAsIfRecordedTogether) {
  Histogram a, b, both;
  for (std::uint32_t i = 1; i <= 1000; ++i) {
    (i % 3 == 0 ? a : b).record(i * i);
    both.record(i * i);
  }
  a.merge(b);
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.minimum(), both.minimum());
  EXPECT_EQ(a.maximum(), both.maximum());
  for (const double share : {0.1, 0.5, 0.99})
    EXPECT_EQ(a.percentile(share), both.percentile(share));
}

constexpr std::uint64_t kHz = 2'600'000'000;

TEST(Pacer, KeepsTheRate) {
  for (const double rate : {1.0, 1000.0, 1e6, 14.88e6, 60e6}) {
    Pacer pacer(rate, kHz);
    pacer.start(12345);
    std::uint64_t sent = 0;
    const std::uint64_t step = 500,
                        steps = 2'600'000;  // Half a second, and a bit over two for few.
    const std::uint64_t stride = rate < 1e5 ? 10 * step : step;
    for (std::uint64_t i = 0; i <= steps; ++i) sent += pacer.take(12345 + i * stride);
    const double expected = rate * static_cast<double>(steps * stride) / static_cast<double>(kHz);
    EXPECT_NEAR(static_cast<double>(sent), expected, 33 + expected * 1e-6) << rate;
    EXPECT_EQ(pacer.skipped(), 0u);
  }
}

TEST(Pacer, SendsNothingBeforeABurstIsDue) {
  Pacer pacer(1e6, kHz);
  pacer.start(0);
  EXPECT_EQ(pacer.take(kHz / 1'000'000), 0u);  // One packet is due, and a burst is two.
  EXPECT_EQ(pacer.take(3 * kHz / 1'000'000), 2u);
}

TEST(Pacer, SkipsWhatItCouldNotSendInTime) {
  Pacer pacer(10e6, kHz);
  pacer.start(0);
  std::uint64_t sent = 0;
  for (unsigned burst; (burst = pacer.take(kHz / 100)) != 0;) sent += burst;  // 100,000 are due.
  EXPECT_NEAR(static_cast<double>(sent), Pacer::kMostBehind, 32);
  EXPECT_NEAR(static_cast<double>(sent + pacer.skipped()), 100'000, 32);
}

TEST(RateSearch, ComesNearTheLimitFromBelow) {
  for (const double limit : {0.4e6, 3.3e6, 9.9e6}) {
    RateSearch search({0, 10e6, 0.01, 5, 3});
    while (!search.done()) search.add(search.rate() <= limit);
    EXPECT_LE(search.best(), limit);
    EXPECT_GE(search.best(), limit * 0.98);
  }
}

TEST(RateSearch, TakesThreeOfFive) {
  RateSearch search({0, 100, 0.01, 5, 3});
  for (const bool passed : {false, true, false, true, true}) {
    EXPECT_EQ(search.rate(), 50);
    search.add(passed);
  }
  EXPECT_EQ(search.best(), 50);
  for (const bool passed : {true, false, true, false, false}) {
    EXPECT_EQ(search.rate(), 75);
    search.add(passed);
  }
  EXPECT_EQ(search.rate(), 62.5);
}

TEST(RateSearch, EndsAtZeroWhereNothingPasses) {
  RateSearch search({0, 10e6, 0.01, 3, 2});
  for (int i = 0; !search.done(); ++i) {
    ASSERT_LT(i, 1000);
    search.add(false);
  }
  EXPECT_EQ(search.best(), 0);
}

FrameConfig frame_config(bool ipv6, Kind kind, const std::string& size) {
  FrameConfig config;
  config.kind = kind;
  config.first_client = *IpAddress::parse(ipv6 ? "fd00:0:0:80::" : "10.128.0.0");
  config.destination = *IpAddress::parse(ipv6 ? "2001:db8:1::1" : "192.0.2.1");
  config.sizes = *parse_sizes(size, ipv6, kind);
  config.source_mac = *parse_mac("02:00:00:00:00:0a");
  config.destination_mac = *parse_mac("02:00:00:00:00:01");
  return config;
}

template <typename Family>
class FramesOf : public testing::Test {
 protected:
  static constexpr bool kIpv6 = std::is_same_v<Family, Ipv6>;
  static constexpr Client kClient{4095, 51234};
  static Frames<Family> make(Kind kind, const std::string& size) {
    return *Frames<Family>::make(frame_config(kIpv6, kind, size));
  }
  // One checked part after the other, from the RFCs: lengths, and sums that come out as zero.
  static void check(const Frames<Family>& frames, const std::uint8_t* frame, unsigned length) {
    const std::uint8_t* ip = frame + 14;
    const std::uint8_t* l4 = frame + Frames<Family>::kL4;
    const unsigned payload = length - Frames<Family>::kL4;
    const std::uint8_t protocol = frames.tcp() ? 6 : 17;
    if (kIpv6) {
      EXPECT_EQ(ip[4] << 8 | ip[5], static_cast<int>(payload));
      EXPECT_EQ(ip[6], protocol);
    } else {
      EXPECT_EQ(ip[2] << 8 | ip[3], static_cast<int>(length - 14));
      EXPECT_EQ(ip[9], protocol);
      EXPECT_EQ(fold(sum_bytes(ip, 20)), 0xffff);
    }
    if (!frames.tcp()) {
      EXPECT_EQ(l4[4] << 8 | l4[5], static_cast<int>(payload));
    }
    const unsigned source = kIpv6 ? 8 : 12;
    const std::uint64_t pseudo = pseudo_header_sum<Family>(
        ip + source, ip + source + Family::kAddressBytes, protocol, payload);
    EXPECT_EQ(fold(pseudo + sum_bytes(l4, payload)), 0xffff);
  }
};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(FramesOf, Families);

TYPED_TEST(FramesOf, AreRightAndKnownAgain) {
  const std::string least = std::to_string(smallest_size(TestFixture::kIpv6, Kind::udp));
  const std::string least_tcp = std::to_string(smallest_size(TestFixture::kIpv6, Kind::tcp));
  for (const auto& [kind, size] : std::vector<std::pair<Kind, std::string>>{{Kind::udp, least},
                                                                            {Kind::tcp, least_tcp},
                                                                            {Kind::syn, least_tcp},
                                                                            {Kind::udp, "1518"},
                                                                            {Kind::tcp, "570"},
                                                                            {Kind::udp, "imix"}}) {
    const auto frames = TestFixture::make(kind, size);
    for (const bool syn : {false, true}) {
      std::vector<std::uint8_t> buffer(2048);
      const unsigned length = frames.write(buffer.data(), 77, TestFixture::kClient, syn, 991);
      TestFixture::check(frames, buffer.data(), length);
      // Only what a packet of this length has.
      std::vector<std::uint8_t> exact(buffer.begin(), buffer.begin() + length);
      Found found;
      ASSERT_TRUE(frames.find(exact.data(), length, found));
      EXPECT_EQ(frames.stamp(found).sequence, 77u);
      EXPECT_EQ(frames.stamp(found).time, 991u);
      EXPECT_TRUE(frames.from_client(found, TestFixture::kClient));
      EXPECT_FALSE(frames.to_client(found, TestFixture::kClient));
      EXPECT_FALSE(frames.from_client(found, {TestFixture::kClient.number, 51235}));
    }
  }
}

TYPED_TEST(FramesOf, AnswerTheirClient) {
  const auto frames = TestFixture::make(Kind::tcp, "100");
  std::vector<std::uint8_t> frame(96);
  ASSERT_EQ(frames.write(frame.data(), 5, TestFixture::kClient, true, 6), 96u);
  Found found;
  ASSERT_TRUE(frames.find(frame.data(), 96, found));
  frames.turn_round(frame.data(), found);
  EXPECT_TRUE(frames.to_client(found, TestFixture::kClient));
  EXPECT_EQ(found.l4[13], kTcpSyn | kTcpAck);
  EXPECT_EQ(frame[5], 0x0a);
  TestFixture::check(frames, frame.data(), 96);
}

TYPED_TEST(FramesOf, AreFoundInATunnel) {
  const auto frames = TestFixture::make(Kind::udp, "128");
  std::vector<std::uint8_t> inner(124);
  ASSERT_EQ(frames.write(inner.data(), 9, TestFixture::kClient, false, 10), 124u);
  const std::uint8_t protocol = TestFixture::kIpv6 ? 41 : 4;
  // RFC 2003, RFC 2473: the inner packet right behind an outer header.
  std::vector<std::uint8_t> outer(14 + 20);
  outer[12] = 0x08;
  outer[14] = 0x45;
  outer[14 + 9] = protocol;
  outer.insert(outer.end(), inner.begin() + 14, inner.end());
  Found found;
  ASSERT_TRUE(frames.find(outer.data(), static_cast<unsigned>(outer.size()), found));
  EXPECT_EQ(frames.stamp(found).sequence, 9u);
  // GUE version 0 on UDP port 6080: four bytes, the second of them the protocol.
  std::vector<std::uint8_t> gue(14 + 20 + 8 + 4);
  gue[12] = 0x08;
  gue[14] = 0x45;
  gue[14 + 9] = 17;
  gue[14 + 20 + 2] = 6080 >> 8;
  gue[14 + 20 + 3] = 6080 & 0xff;
  gue[14 + 20 + 8 + 1] = protocol;
  gue.insert(gue.end(), inner.begin() + 14, inner.end());
  ASSERT_TRUE(frames.find(gue.data(), static_cast<unsigned>(gue.size()), found));
  EXPECT_EQ(frames.stamp(found).sequence, 9u);
}

TYPED_TEST(FramesOf, AreNotWhatIsCutOrSomethingElse) {
  const auto frames = TestFixture::make(Kind::udp, "128");
  std::vector<std::uint8_t> frame(124);
  ASSERT_EQ(frames.write(frame.data(), 9, TestFixture::kClient, false, 10), 124u);
  Found found;
  for (unsigned length = 0; length < Frames<TypeParam>::kL4 + 16; ++length) {
    std::vector<std::uint8_t> cut(frame.begin(), frame.begin() + length);
    EXPECT_FALSE(frames.find(cut.data(), length, found)) << length;
  }
  frame[12] = 0x08;
  frame[13] = 0x06;  // ARP
  EXPECT_FALSE(frames.find(frame.data(), 124, found));
}

TEST(Sizes, AreCheckedForFamilyAndKind) {
  EXPECT_EQ(smallest_size(false, Kind::udp), 64u);
  EXPECT_EQ(smallest_size(false, Kind::tcp), 64u);
  EXPECT_EQ(smallest_size(true, Kind::udp), 74u);
  EXPECT_EQ(smallest_size(true, Kind::tcp), 78u);
  for (const char* wrong : {"63", "1519", "64b", "", "-1"})
    EXPECT_FALSE(parse_sizes(wrong, false, Kind::udp)) << wrong;
  EXPECT_FALSE(parse_sizes("64", true, Kind::udp));
  const auto imix = parse_sizes("imix", false, Kind::udp);
  ASSERT_TRUE(imix);
  EXPECT_EQ(std::count(imix->begin(), imix->end(), 64), 7);
  EXPECT_EQ(std::count(imix->begin(), imix->end(), 570), 4);
  EXPECT_EQ(std::count(imix->begin(), imix->end(), 1518), 1);
}

TEST(Macs, AreSixBytes) {
  ASSERT_TRUE(parse_mac("02:00:00:00:00:ff"));
  EXPECT_EQ((*parse_mac("02:00:00:00:00:ff"))[5], 0xff);
  for (const char* wrong : {"", "02:00:00:00:00", "02:00:00:00:00:0g", "02:00:00:00:00:011"})
    EXPECT_FALSE(parse_mac(wrong)) << wrong;
}

}  // namespace
}  // namespace sluice::generator
