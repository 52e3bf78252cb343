// NAT and DNAT while a flood holds what flows need: records, ports.
#include <map>
#include <set>
#include <vector>

#include "gateway.h"

namespace sluice {
namespace {

using namespace test;

constexpr std::uint8_t kSynAckFlags = kTcpSyn | kTcpAck;
constexpr std::uint32_t kRecords = 128;

template <typename F, Mode kOf>
struct Kind {
  using Family = F;
  static constexpr Mode kMode = kOf;
};
template <typename Kind>
class NatFlood : public testing::Test {
 protected:
  using Family = typename Kind::Family;

  explicit NatFlood() : gateway_(1, [](PipelineConfig& config) { config.nat_flows = kRecords; }) {
    gateway_.serve<Family>(3, Kind::kMode);
  }

  Outcome client(unsigned n, std::uint8_t flags) {
    return gateway_.process(0, build(from_client<Family>(n, flags)));
  }
  Outcome backend(const Decoded& forwarded, std::uint8_t flags) {
    return gateway_.process(0, build(from_backend(forwarded, flags)), 1);
  }
  // The SYN of client n as its backend got it.
  Decoded syn(unsigned n) {
    const Outcome out = client(n, kTcpSyn);
    EXPECT_EQ(out.verdict, Verdict::transmit) << n << ": " << name(out.reason);
    return out.decoded();
  }
  Decoded connect(unsigned n) {
    const Decoded forwarded = syn(n);
    EXPECT_EQ(backend(forwarded, kSynAckFlags).verdict, Verdict::transmit);
    EXPECT_EQ(client(n, kTcpAck).verdict, Verdict::transmit);
    return forwarded;
  }
  // SYNs of as many clients of their own, a tick for every eight.
  void flood(unsigned syns) {
    for (unsigned n = 0; n < syns; ++n) {
      syn(flooder_++);
      gateway_.now += n % 8 == 7;
    }
  }
  void expect_alive(unsigned n, const Decoded& flow) {
    const Outcome there = client(n, kTcpAck);
    ASSERT_EQ(there.verdict, Verdict::transmit) << n << ": " << name(there.reason);
    EXPECT_EQ(there.decoded().destination, flow.destination);
    EXPECT_EQ(there.decoded().source_port, flow.source_port);
    ASSERT_EQ(backend(flow, kTcpAck).verdict, Verdict::transmit) << n;
  }
  std::uint32_t records() const { return gateway_.pipelines[0]->nat_records(); }

  Gateway gateway_;
  unsigned flooder_ = 10000;
};
using Kinds = testing::Types<Kind<Ipv4, Mode::nat>, Kind<Ipv6, Mode::nat>, Kind<Ipv4, Mode::dnat>,
                             Kind<Ipv6, Mode::dnat>>;
TYPED_TEST_SUITE(NatFlood, Kinds);

TYPED_TEST(NatFlood, NewHandshakesGetThroughAndWhatIsThereGoesOn) {
  std::map<unsigned, Decoded> flows;
  for (unsigned n = 0; n < 8; ++n) flows[n] = this->connect(n);
  this->gateway_.now += 4;
  for (const auto& [n, flow] : flows) this->expect_alive(n, flow);
  // It shakes hands within a second and then is silent, longer than all of the flood.
  flows[8] = this->connect(8);
  this->flood(5 * kRecords);
  EXPECT_EQ(this->records(), kRecords);

  for (unsigned n = 9; n < 20; ++n) {
    const Decoded flow = this->syn(n);
    this->flood(20);
    ASSERT_EQ(this->backend(flow, kSynAckFlags).verdict, Verdict::transmit) << n;
    this->flood(20);
    this->expect_alive(n, flow);
    flows[n] = flow;
  }
  this->flood(5 * kRecords);
  for (const auto& [n, flow] : flows) this->expect_alive(n, flow);
  EXPECT_EQ(this->records(), kRecords);
  EXPECT_EQ(this->gateway_.pipelines[0]->template flows<typename TypeParam::Family>().size(),
            2 * kRecords);
  EXPECT_EQ(this->gateway_.drops(DropReason::nat_records_exhausted), 0u);
}

TYPED_TEST(NatFlood, TheLongestIdleGivesWay) {
  std::vector<Decoded> flows;
  for (unsigned n = 0; n < kRecords; ++n) {
    flows.push_back(this->syn(n));
    ++this->gateway_.now;
  }
  // Its record is looked at first, but it was seen last.
  ASSERT_EQ(this->backend(flows[0], kSynAckFlags).verdict, Verdict::transmit);
  ++this->gateway_.now;
  this->syn(1000);
  this->expect_alive(0, flows[0]);
  EXPECT_EQ(this->backend(flows[1], kSynAckFlags).verdict, Verdict::drop);
  for (unsigned n = 2; n < kRecords; ++n)
    ASSERT_EQ(this->backend(flows[n], kSynAckFlags).verdict, Verdict::transmit) << n;
}

TYPED_TEST(NatFlood, VerifiedFlowsLoseTheirPlaceToNobody) {
  std::vector<Decoded> flows;
  for (unsigned n = 0; n < kRecords; ++n) flows.push_back(this->connect(n));
  for (unsigned n = 0; n < 100; ++n) {
    ASSERT_EQ(this->client(1000 + n, kTcpSyn).reason, DropReason::nat_records_exhausted);
    this->gateway_.now += 20;
  }
  for (unsigned n = 0; n < kRecords; ++n) this->expect_alive(n, flows[n]);
}

// A backend's few ports, all of them held by a flood.
TYPED_TEST(NatFlood, PortsOfWeakFlowsGiveWay) {
  if (TypeParam::kMode != Mode::nat) return;
  constexpr unsigned kPorts = 12;
  using F = typename TypeParam::Family;
  this->gateway_.template serve<F>(1, Mode::nat);
  this->gateway_.sources.first_port = 20000;
  this->gateway_.sources.last_port = 20000 + kPorts - 1;
  std::map<unsigned, Decoded> flows;
  for (unsigned n = 0; n < 4; ++n) flows[n] = this->connect(n);
  for (unsigned n = 0; n < kPorts - 4; ++n) this->syn(1000 + n);
  // Young ones may yet become connections.
  EXPECT_EQ(this->client(2000, kTcpSyn).reason, DropReason::nat_ports_exhausted);
  this->gateway_.now += kNatPortYields;
  for (unsigned n = 4; n < 8; ++n) {
    flows[n] = this->connect(n);
    this->gateway_.now += kNatPortYields;
  }
  for (const auto& [n, flow] : flows) this->expect_alive(n, flow);
  // Four are left for the flood, however long it goes on.
  for (unsigned n = 0; n < 100; ++n) {
    this->syn(3000 + n);
    this->gateway_.now += kNatPortYields;
  }
  std::set<unsigned> ports;
  for (const auto& [n, flow] : flows) {
    this->expect_alive(n, flow);
    ports.insert(flow.source_port);
  }
  EXPECT_EQ(ports.size(), flows.size());
}

// More flows in one burst than there are records: those that begin end others of the same burst,
// whose packets, and packets behind them, are in it too.
TYPED_TEST(NatFlood, FlowsOfOneBurstMayTakeEachOthersPlace) {
  using F = typename TypeParam::Family;
  Gateway gateway(1, [](PipelineConfig& config) { config.nat_flows = 16; });
  gateway.serve<F>(3, TypeParam::kMode);
  std::vector<Bytes> packets;
  for (unsigned n = 0; n < 40; ++n) packets.push_back(build(from_client<F>(n)));
  for (unsigned n = 0; n < 40; n += 3) packets.push_back(build(from_client<F>(n, kTcpAck)));
  const std::vector<Outcome> out = gateway.process_all(packets);
  ASSERT_EQ(gateway.pipelines[0]->nat_records(), 16u);
  ASSERT_EQ(gateway.pipelines[0]->template flows<F>().size(), 32u);
  std::set<unsigned> alive;
  for (unsigned n = 0; n < 40; ++n) {
    ASSERT_EQ(out[n].verdict, Verdict::transmit) << name(out[n].reason);
    const Outcome reply =
        gateway.process(0, build(from_backend(out[n].decoded(), kSynAckFlags)), 1);
    if (reply.verdict != Verdict::transmit) continue;
    ASSERT_EQ(reply.decoded().destination_port, 1024 + n);
    alive.insert(n);
  }
  EXPECT_EQ(alive.size(), 16u);
  // DNAT takes up flows that it does not know.
  for (unsigned n = 0; n < 40 && TypeParam::kMode == Mode::nat; n += 3) {
    const Outcome& ack = out[40 + n / 3];
    if (alive.contains(n)) {
      ASSERT_EQ(ack.verdict, Verdict::transmit);
      EXPECT_EQ(ack.decoded().source_port, out[n].decoded().source_port);
    } else {
      EXPECT_EQ(ack.reason, DropReason::tcp_no_flow) << n;
    }
  }
}

// Else a quiet connection would go with the flood's, whose entries it shares a quota with.
TYPED_TEST(NatFlood, WhoShookHandsIsVerifiedAtOnce) {
  using F = typename TypeParam::Family;
  Gateway gateway(1, [](PipelineConfig& config) {
    config.flows_ipv4 = config.flows_ipv6 = 800;
    config.nat_flows = 400;
  });
  gateway.serve<F>(3, TypeParam::kMode);
  const ConnectionTable<F>& table = gateway.pipelines[0]->template flows<F>();
  const auto client = [&gateway](unsigned n, std::uint8_t flags) {
    return gateway.process(0, build(from_client<F>(n, flags)));
  };
  std::vector<Decoded> flows;
  for (unsigned n = 0; n < 50; ++n) {
    flows.push_back(client(n, kTcpSyn).decoded());
    EXPECT_EQ(table.weak(), 2u);
    gateway.process(0, build(from_backend(flows[n], kSynAckFlags)), 1);
    client(n, kTcpAck);
    EXPECT_EQ(table.weak(), 0u);
  }
  for (unsigned n = 0; n < 5000; ++n) {
    gateway.now += n % 50 == 0;
    const Outcome out = client(1000 + n, kTcpSyn);
    ASSERT_TRUE(out.verdict == Verdict::transmit || out.reason == DropReason::flow_table_full);
  }
  EXPECT_GT(table.weak(), 100u);
  for (unsigned n = 0; n < 50; ++n) {
    const Outcome there = client(n, kTcpAck);
    ASSERT_EQ(there.reason, DropReason::none) << n;
    ASSERT_EQ(there.decoded().source_port, flows[n].source_port);
    ASSERT_EQ(gateway.process(0, build(from_backend(flows[n], kTcpAck)), 1).verdict,
              Verdict::transmit);
  }
}

// Two SYNs in the name of anybody make a backend send more than its SYN-ACK.
TYPED_TEST(NatFlood, AnAnswerToASecondSynProvesNothing) {
  const Decoded flow = this->syn(1);
  Packet answer = from_backend(flow, kSynAckFlags);
  this->gateway_.process(0, build(answer), 1);
  Packet again = from_client<typename TypeParam::Family>(1);
  again.sequence += 70000;
  this->gateway_.process(0, build(again));
  answer.flags = kTcpAck;
  answer.sequence += 1;
  answer.payload = 0;
  ASSERT_EQ(this->gateway_.process(0, build(answer), 1).verdict, Verdict::transmit);
  EXPECT_EQ(this->gateway_.pipelines[0]->template flows<typename TypeParam::Family>().weak(), 2u);
  this->gateway_.now += 31 * kTicksPerSecond;
  this->gateway_.sweep();
  EXPECT_EQ(this->records(), 0u);
}

}  // namespace
}  // namespace sluice
