// Full NAT: both directions, ownership, ports, ends.
#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "gateway.h"

namespace sluice {
namespace {

using namespace test;

template <typename Family>
class Nat : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Nat, Families);

constexpr std::uint8_t kSynAckFlags = kTcpSyn | kTcpAck;

// The handshake of client n; gives its packet as the backend got it.
template <typename Family>
Decoded connect(Gateway& gateway, unsigned n) {
  const Outcome syn = gateway.deliver(build(from_client<Family>(n)));
  EXPECT_EQ(syn.verdict, Verdict::transmit) << name(syn.reason);
  if (syn.verdict != Verdict::transmit) return {};
  EXPECT_EQ(gateway.deliver(build(from_backend(syn.decoded(), kSynAckFlags)), 1).verdict,
            Verdict::transmit);
  EXPECT_EQ(gateway.deliver(build(from_client<Family>(n, kTcpAck))).verdict, Verdict::transmit);
  return syn.decoded();
}

TYPED_TEST(Nat, RewritesBothDirections) {
  using N = Net<TypeParam>;
  for (std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
    Gateway gateway;
    gateway.serve<TypeParam>(3);
    const Packet sent = from_client<TypeParam>(7, kTcpSyn, protocol);
    const Outcome there = gateway.process(0, build(sent));
    ASSERT_EQ(there.verdict, Verdict::transmit) << name(there.reason);
    EXPECT_EQ(there.out_port, 1);
    const Decoded d = there.decoded();
    EXPECT_EQ(d.source, N::source());
    EXPECT_GE(d.source_port, 20000u);
    EXPECT_EQ(d.destination_port, 8080u);
    EXPECT_EQ(d.ttl, 63u);
    EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
    EXPECT_THAT(Bytes(there.bytes.begin(), there.bytes.begin() + 12),
                testing::ElementsAre(2, 0, 0, 0, 1, 2, 2, 0, 0, 0, 2, 1));
    const std::set<std::string> backends = {N::backend(1), N::backend(2), N::backend(3)};
    EXPECT_TRUE(backends.contains(d.destination)) << d.destination;

    const Outcome back = gateway.process(0, build(from_backend(d, kSynAckFlags)), 1);
    ASSERT_EQ(back.verdict, Verdict::transmit) << name(back.reason);
    EXPECT_EQ(back.out_port, 0);
    const Decoded r = back.decoded();
    EXPECT_EQ(r.source, N::vip());
    EXPECT_EQ(r.source_port, sent.destination_port);
    EXPECT_EQ(r.destination, sent.source);
    EXPECT_EQ(r.destination_port, sent.source_port);
    EXPECT_TRUE(r.ip_checksum_right && r.l4_checksum_right);
    const auto& vip = gateway.counters[0]->vips[protocol == kProtocolTcp ? 0 : 1];
    EXPECT_EQ(vip.packets_in.read() +
                  gateway.counters[0]->vips[protocol == kProtocolTcp ? 1 : 0].packets_in.read(),
              1u);
    EXPECT_EQ(gateway.pipelines[0]->nat_records(), 1u);
  }
}

// Bursts in which clients', backends' and nobody's packets alternate, by every instruction set: a
// look-up that misses, or lands on another packet, shows in the addresses and ports.
TYPED_TEST(Nat, EachPacketOfAMixedBurstMeetsItsOwnFlow) {
  constexpr unsigned kFlows = 21;
  for (const InstructionSet set : supported_instruction_sets()) {
    Gateway gateway(1, [set](PipelineConfig& config) { config.instruction_set = set; });
    gateway.serve<TypeParam>(3);
    std::vector<Bytes> burst;
    for (unsigned n = 0; n < kFlows; ++n) {
      const Decoded forwarded = connect<TypeParam>(gateway, n);
      Packet unwanted = from_client<TypeParam>(n);
      unwanted.destination_port = 81;
      burst.push_back(build(from_client<TypeParam>(n, kTcpAck)));
      burst.push_back(build(unwanted));
      burst.push_back(build(from_backend(forwarded, kTcpAck)));
    }
    const std::uint32_t records = gateway.pipelines[0]->nat_records();
    const std::vector<Outcome> all = gateway.process_all(burst);
    EXPECT_EQ(gateway.pipelines[0]->nat_records(), records);
    for (unsigned n = 0; n < kFlows; ++n) {
      ASSERT_EQ(all[3 * n].verdict, Verdict::transmit) << instruction_set_name(set) << " " << n;
      EXPECT_EQ(build(from_backend(all[3 * n].decoded(), kTcpAck)), burst[3 * n + 2]);
      ASSERT_EQ(all[3 * n + 2].verdict, Verdict::transmit);
      const Decoded reply = all[3 * n + 2].decoded();
      EXPECT_EQ(reply.destination, Net<TypeParam>::client(n));
      EXPECT_EQ(reply.destination_port, 1024 + n);
    }
  }
}

TYPED_TEST(Nat, RepliesReachTheOwnerWithTwoWorkers) {
  Gateway gateway(2);
  gateway.serve<TypeParam>(3);
  unsigned handed_client = 0, handed_reply = 0;
  for (unsigned n = 0; n < 3000; ++n) {
    const Bytes syn = build(from_client<TypeParam>(n));
    const Outcome first = gateway.process(n % 2, syn);
    handed_client += first.verdict == Verdict::hand_over;
    const Outcome there = first.verdict == Verdict::hand_over
                              ? gateway.process(first.out_worker, syn, 0, true)
                              : first;
    ASSERT_EQ(there.verdict, Verdict::transmit) << name(there.reason);
    const Bytes reply = build(from_backend(there.decoded(), kSynAckFlags));
    const Outcome arrived = gateway.process((n / 2) % 2, reply, 1);
    handed_reply += arrived.verdict == Verdict::hand_over;
    const Outcome back = arrived.verdict == Verdict::hand_over
                             ? gateway.process(arrived.out_worker, reply, 1, true)
                             : arrived;
    ASSERT_EQ(back.verdict, Verdict::transmit) << n << " " << name(back.reason);
    ASSERT_EQ(back.decoded().destination_port, 1024 + n);
  }
  EXPECT_GT(handed_client, 1000u);
  EXPECT_GT(handed_reply, 1000u);
  EXPECT_GT(gateway.pipelines[0]->nat_records(), 1000u);
  EXPECT_GT(gateway.pipelines[1]->nat_records(), 1000u);
}

TYPED_TEST(Nat, EstablishedSurviveWhenBackendsComeAndGo) {
  constexpr unsigned kConnections = 10000;
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  std::map<unsigned, Decoded> flows;
  std::vector<unsigned> order(kConnections);
  for (unsigned n = 0; n < kConnections; ++n) order[n] = n;
  std::mt19937 random(5);
  const auto open = [&](unsigned from, unsigned to) {
    for (unsigned n = from; n < to; ++n) flows[n] = connect<TypeParam>(gateway, n);
    gateway.now += 3;
  };
  unsigned reset = 0;
  const auto check = [&](unsigned to, const std::string& gone) {
    std::shuffle(order.begin(), order.end(), random);
    for (unsigned n : order) {
      if (n >= to) continue;
      const Outcome out = gateway.process(0, build(from_client<TypeParam>(n, kTcpAck)));
      if (flows[n].destination == gone) {
        ASSERT_EQ(out.reason, DropReason::tcp_no_flow);
        ++reset;
        continue;
      }
      ASSERT_EQ(out.verdict, Verdict::transmit) << name(out.reason);
      ASSERT_EQ(out.decoded().destination, flows[n].destination);
      ASSERT_EQ(out.decoded().source_port, flows[n].source_port);
      ASSERT_EQ(gateway.process(0, build(from_backend(out.decoded(), kTcpAck)), 1).verdict,
                Verdict::transmit);
    }
  };
  open(0, 4000);
  check(4000, "");
  gateway.serve<TypeParam>(4);
  open(4000, 7000);
  gateway.sweep();
  check(7000, "");
  EXPECT_EQ(reset, 0u);
  gateway.serve<TypeParam>(3);
  open(7000, kConnections);
  gateway.sweep();
  check(kConnections, Net<TypeParam>::backend(4));
  EXPECT_GT(reset, 100u);  // Only those of the one that is gone.
}

TYPED_TEST(Nat, DrainingKeepsFlowsAndGetsNoNewOnes) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  std::map<unsigned, Decoded> flows;
  for (unsigned n = 0; n < 300; ++n) flows[n] = connect<TypeParam>(gateway, n);
  gateway.serve<TypeParam>(3, Mode::nat, {2});
  gateway.now += 2;
  unsigned on_draining = 0;
  for (unsigned n = 0; n < 300; ++n) {
    const Outcome out = gateway.process(0, build(from_client<TypeParam>(n, kTcpAck)));
    ASSERT_EQ(out.decoded().destination, flows[n].destination);
    on_draining += flows[n].destination == Net<TypeParam>::backend(2);
  }
  EXPECT_GT(on_draining, 50u);
  for (unsigned n = 300; n < 600; ++n) {
    ASSERT_NE(connect<TypeParam>(gateway, n).destination, Net<TypeParam>::backend(2));
  }
}

TYPED_TEST(Nat, PortsRunOutForTheNewFlowAlone) {
  Gateway gateway;
  gateway.sources.first_port = 30000;
  gateway.sources.last_port = 30031;
  gateway.serve<TypeParam>(1);
  std::set<unsigned> ports;
  for (unsigned n = 0; n < 32; ++n) ports.insert(connect<TypeParam>(gateway, n).source_port);
  EXPECT_EQ(ports.size(), 32u);
  const Outcome refused = gateway.process(0, build(from_client<TypeParam>(99)));
  EXPECT_EQ(refused.verdict, Verdict::drop);
  EXPECT_EQ(refused.reason, DropReason::nat_ports_exhausted);
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 32u);
  for (unsigned n = 0; n < 32; ++n) {
    ASSERT_EQ(gateway.process(0, build(from_client<TypeParam>(n, kTcpAck))).verdict,
              Verdict::transmit);
  }
}

TYPED_TEST(Nat, ExpiryFreesBothEntriesAndTheRecord) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  const ConnectionTable<TypeParam>& table = gateway.pipelines[0]->template flows<TypeParam>();
  for (unsigned n = 0; n < 500; ++n) {
    gateway.process(0, build(from_client<TypeParam>(n)));
    gateway.process(0, build(from_client<TypeParam>(n, 0, kProtocolUdp)));
  }
  EXPECT_EQ(table.size(), 2000u);
  EXPECT_EQ(table.weak(), 2000u);
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 1000u);
  gateway.now += 20 * kTicksPerSecond;
  gateway.sweep();
  EXPECT_EQ(table.size(), 2000u);
  gateway.now += 11 * kTicksPerSecond;
  gateway.sweep();
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.weak(), 0u);
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 0u);
}

TYPED_TEST(Nat, PortRestsAfterTheEnd) {
  Gateway gateway;
  gateway.sources.first_port = gateway.sources.last_port = 30000;  // One port: reuse shows at once.
  gateway.serve<TypeParam>(1);
  const Decoded flow = connect<TypeParam>(gateway, 1);
  gateway.process(0, build(from_client<TypeParam>(1, kTcpFin | kTcpAck)));
  gateway.process(0, build(from_backend(flow, kTcpFin | kTcpAck)), 1);
  gateway.process(0, build(from_client<TypeParam>(1, kTcpAck)));
  const Ticks closed = gateway.now;
  const ConnectionTable<TypeParam>& table = gateway.pipelines[0]->template flows<TypeParam>();
  for (;;) {
    gateway.now += 2;
    gateway.sweep();
    if (gateway.now - closed >= 120 * kTicksPerSecond) break;
    ASSERT_EQ(gateway.process(0, build(from_client<TypeParam>(2))).reason,
              DropReason::nat_ports_exhausted)
        << (gateway.now - closed) / kTicksPerSecond << " s";
    if (gateway.now - closed < 60 * kTicksPerSecond) continue;
    // The record is free long before the port.
    ASSERT_EQ(gateway.pipelines[0]->nat_records(), 0u);
    ASSERT_EQ(table.size(), 1u);
    ASSERT_EQ(gateway.process(0, build(from_backend(flow, kTcpAck)), 1).reason,
              DropReason::nat_no_flow);
  }
  gateway.now += 2;
  gateway.sweep();
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(2))).verdict, Verdict::transmit);
}

TYPED_TEST(Nat, SynAfterTheEndStartsAnewOnAnotherPort) {
  Gateway gateway;
  gateway.serve<TypeParam>(1);
  const Decoded flow = connect<TypeParam>(gateway, 1);
  gateway.now += 4;
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(1))).decoded().source_port,
            flow.source_port)
      << "a SYN must not move a live flow";
  gateway.process(0, build(from_client<TypeParam>(1, kTcpRst)));
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(1))).decoded().source_port,
            flow.source_port)
      << "nor after a reset that anybody may have sent";
  gateway.process(0, build(from_client<TypeParam>(1, kTcpFin | kTcpAck)));
  gateway.process(0, build(from_backend(flow, kTcpFin | kTcpAck)), 1);
  const Outcome anew = gateway.process(0, build(from_client<TypeParam>(1)));
  ASSERT_EQ(anew.verdict, Verdict::transmit);
  EXPECT_NE(anew.decoded().source_port, flow.source_port);
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 1u);
}

TYPED_TEST(Nat, IdleAfterTheHandshakeIsNotForgotten) {
  Gateway gateway;
  gateway.serve<TypeParam>(1);
  connect<TypeParam>(gateway, 1);  // Within one tick; then nothing for an hour.
  gateway.process(0, build(from_client<TypeParam>(2)));
  gateway.process(0,
                  build(from_client<TypeParam>(2, kTcpAck)));  // An ACK of nothing: proves nothing.
  gateway.now += 3600 * kTicksPerSecond;
  gateway.sweep();
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(1, kTcpAck))).verdict,
            Verdict::transmit);
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(2, kTcpAck))).reason,
            DropReason::tcp_no_flow);
}

TYPED_TEST(Nat, WhatBelongsToNoFlow) {
  using N = Net<TypeParam>;
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  const Outcome reset = gateway.process(0, build(from_client<TypeParam>(1, kTcpAck)));
  EXPECT_EQ(reset.reason, DropReason::tcp_no_flow);
  EXPECT_EQ(reset.verdict, Verdict::transmit);
  EXPECT_EQ(reset.decoded().flags, kTcpRst);
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 0u);
  Packet reply;
  reply.source = N::backend(1);
  reply.destination = N::source();
  reply.destination_port = 20000;
  const Outcome none = gateway.process(0, build(reply), 1);
  EXPECT_EQ(none.verdict, Verdict::drop);
  EXPECT_EQ(none.reason, DropReason::nat_no_flow);
  reply.destination_port = 19999;  // The gateway's own sockets.
  EXPECT_EQ(gateway.process(0, build(reply), 1).verdict, Verdict::punt);
}

TYPED_TEST(Nat, NothingIsKeptOfAFlowThatCannotLeave) {
  Gateway gateway;
  gateway.serve<TypeParam>(1);
  const auto with_hop = [&](NextHopIndex hop) {
    gateway.routing.set_backend_next_hop(1, hop);
    return gateway.process(0, build(from_client<TypeParam>(1)));
  };
  EXPECT_EQ(with_hop(kNoNextHop).reason, DropReason::no_route);
  EXPECT_EQ(with_hop(Gateway::kBlackhole).reason, DropReason::route_blackhole);
  EXPECT_EQ(with_hop(Gateway::kLocal).reason, DropReason::route_local);
  Packet old = from_client<TypeParam>(1);
  old.ttl = 1;
  gateway.routing.set_backend_next_hop(1, Gateway::kToBackends);
  EXPECT_EQ(gateway.process(0, build(old)).reason, DropReason::ttl_expired);
  gateway.routing.nat_sources = nullptr;
  EXPECT_EQ(with_hop(Gateway::kToBackends).reason, DropReason::nat_no_source);
  gateway.routing.nat_sources = &gateway.sources;
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 0u);
  EXPECT_EQ(gateway.pipelines[0]->template flows<TypeParam>().size(), 0u);
  const Outcome waiting = with_hop(Gateway::kUnresolved);
  EXPECT_EQ(waiting.verdict, Verdict::resolve);
  EXPECT_EQ(waiting.next_hop, Gateway::kUnresolved);
  EXPECT_EQ(waiting.decoded().destination,
            Net<TypeParam>::backend(1));  // Complete but for its MACs.
}

TYPED_TEST(Nat, MultipathKeepsAFlowOnOneWay) {
  Gateway gateway;
  gateway.serve<TypeParam>(1);
  gateway.routing.multipath[0].count = 2;
  gateway.routing.multipath[0].hops[0] = Gateway::kToBackends;
  gateway.routing.multipath[0].hops[1] = Gateway::kRouted;
  gateway.routing.set_backend_next_hop(1, kMultipath);
  std::map<NextHopIndex, unsigned> ways;
  for (unsigned n = 0; n < 200; ++n) {
    const NextHopIndex way = gateway.process(0, build(from_client<TypeParam>(n))).next_hop;
    ++ways[way];
    ASSERT_EQ(gateway.process(0, build(from_client<TypeParam>(n, kTcpAck))).next_hop, way);
  }
  EXPECT_GT(ways[Gateway::kToBackends], 50u);
  EXPECT_GT(ways[Gateway::kRouted], 50u);
}

// Packets of one burst see each other's flows, though their look-ups ran before.
TYPED_TEST(Nat, OneBurstHoldsAWholeConversation) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  std::vector<Bytes> packets;
  for (unsigned n = 0; n < 16; ++n) {
    packets.push_back(build(from_client<TypeParam>(n % 4)));
    packets.push_back(build(from_client<TypeParam>(n % 4, 0, kProtocolUdp)));
  }
  const auto out = gateway.process_all(packets);
  for (unsigned i = 0; i < out.size(); ++i) {
    ASSERT_EQ(out[i].verdict, Verdict::transmit);
    ASSERT_EQ(out[i].decoded().source_port, out[i % 8].decoded().source_port);
  }
  EXPECT_EQ(gateway.pipelines[0]->nat_records(), 8u);
}

// Any sequence of packets, time, sweeps and changes, in a table far too small: records and entries
// agree.
TYPED_TEST(Nat, EntriesAndRecordsAgreeUnderPressure) {
  Gateway gateway(1, [](PipelineConfig& config) {
    config.flows_ipv4 = config.flows_ipv6 = 400;
    config.nat_flows = 150;
  });
  gateway.sources.first_port = 20000;
  gateway.sources.last_port = 20200;
  gateway.serve<TypeParam>(3);
  const Pipeline& pipeline = *gateway.pipelines[0];
  std::mt19937 random(11);
  std::map<unsigned, Decoded> sent;
  for (unsigned round = 0; round < 30000; ++round) {
    const unsigned n = random() % 400;
    const std::uint8_t flags[] = {kTcpSyn, kTcpSyn,           kTcpAck, kTcpAck,
                                  kTcpAck, kTcpFin | kTcpAck, kTcpRst};
    if (random() % 3 == 0 && !sent.empty()) {
      const Decoded& to =
          std::next(sent.begin(), static_cast<long>(random() % sent.size()))->second;
      const std::uint8_t f = random() % 4 == 0 ? kSynAckFlags : flags[random() % 7];
      gateway.process(0, build(from_backend(to, f)), 1);
    } else {
      const std::uint8_t protocol = random() % 4 == 0 ? kProtocolUdp : kProtocolTcp;
      const Outcome out =
          gateway.process(0, build(from_client<TypeParam>(n, flags[random() % 7], protocol)));
      if (out.verdict == Verdict::transmit && out.out_port == 1) sent[n] = out.decoded();
    }
    if (random() % 20 == 0) gateway.now += random() % 8;
    if (random() % 500 == 0) gateway.serve<TypeParam>(1 + random() % 4, Mode::nat);
    if (random() % 50 == 0) gateway.pipelines[0]->sweep(*gateway.state, gateway.now);
    if (random() % 1000 != 0) continue;
    gateway.sweep();
    const auto& table = pipeline.flows<TypeParam>();
    std::map<std::uint32_t, unsigned> uses;
    unsigned tombstones = 0;
    for (Slot slot = 0; slot < table.slots(); ++slot) {
      typename ConnectionTable<TypeParam>::Entry entry;
      if (!table.peek(slot, entry)) continue;
      ASSERT_TRUE(entry.link.is_nat());
      if (entry.link == kNatTombstone) {
        ++tombstones;
        continue;
      }
      const auto& record = pipeline.records<TypeParam>()[entry.link.index()];
      ASSERT_NE(record.state, FlowState::empty);
      ASSERT_TRUE(entry.key == record.forward || entry.key == record.reverse());
      ++uses[entry.link.index()];
    }
    for (const auto& [record, count] : uses) ASSERT_EQ(count, 2u) << record;
    ASSERT_EQ(uses.size(), pipeline.nat_records());
    ASSERT_EQ(table.size(), 2 * uses.size() + tombstones);
  }
}

}  // namespace
}  // namespace sluice
