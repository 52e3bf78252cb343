// What is not forwarded: answers byte by byte, drops with their reasons, what the kernel gets.
#include "dataplane/forward/reply.h"
#include "gateway.h"

namespace sluice {
namespace {

using namespace test;

template <typename Family>
class Refusal : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Refusal, Families);

template <typename Family>
Packet to_unserved(std::uint8_t protocol, std::uint8_t flags = kTcpSyn) {
  Packet p = from_client<Family>(3, flags, protocol);
  p.destination_port = 4444;
  p.sequence = 0xfffffff0;
  return p;
}

// The RST that RFC 9293 3.10.7.1 asks for, made here from scratch.
template <typename Family>
void expect_reset(const Bytes& got, const Packet& asked) {
  Packet want;
  want.source = asked.destination;
  want.destination = asked.source;
  want.source_port = asked.destination_port;
  want.destination_port = asked.source_port;
  const unsigned length =
      asked.payload + ((asked.flags & kTcpSyn) != 0) + ((asked.flags & kTcpFin) != 0);
  if ((asked.flags & kTcpAck) != 0) {
    want.flags = kTcpRst;
    want.sequence = asked.acknowledgment;
    want.acknowledgment = 0;
  } else {
    want.flags = kTcpRst | kTcpAck;
    want.sequence = 0;
    want.acknowledgment = asked.sequence + length;
  }
  const Decoded d = decode(got);
  EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
  EXPECT_EQ(d.source, want.source);
  EXPECT_EQ(d.destination, want.destination);
  EXPECT_EQ(d.ttl, 64u);
  EXPECT_EQ(d.ip_bytes, (Family::kAddressBytes == 4 ? 20u : 40u) + 20u);
  // The TCP header but for its window and checksum.
  const Bytes built = build(want);
  const std::size_t at = decode(built).l4;
  ASSERT_EQ(d.l4, at);
  EXPECT_EQ(
      Bytes(got.begin() + static_cast<long>(at), got.begin() + static_cast<long>(at) + 14),
      Bytes(built.begin() + static_cast<long>(at), built.begin() + static_cast<long>(at) + 14));
  EXPECT_EQ(get16(got, at + 14), 0u);
  EXPECT_EQ(get16(got, at + 18), 0u);
}

TYPED_TEST(Refusal, TcpToAnUnservedPortGetsAReset) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  for (unsigned flags : {kTcpSyn + 0u, kTcpAck + 0u, kTcpFin + 0u, kTcpSyn | kTcpFin | 0u, 0u,
                         kTcpSyn | kTcpAck | 0u}) {
    for (unsigned payload : {0u, 3u, 900u}) {
      Packet asked = to_unserved<TypeParam>(kProtocolTcp, static_cast<std::uint8_t>(flags));
      asked.payload = payload;
      asked.tcp_options = Bytes(8, 1);
      if (TypeParam::kAddressBytes == 4) asked.ip_options = Bytes(4, 1);
      const Outcome out = gateway.process(0, build(asked));
      ASSERT_EQ(out.verdict, Verdict::transmit);
      EXPECT_EQ(out.reason, DropReason::unserved_port);
      EXPECT_EQ(out.out_port, 0);
      EXPECT_EQ(out.bytes[5], Gateway::kToClients);
      expect_reset<TypeParam>(out.bytes, asked);
    }
  }
  EXPECT_EQ(gateway.drops(DropReason::unserved_port), 18u);
  EXPECT_EQ(gateway.counters[0]->answers.read(), 18u);
  const Outcome out = gateway.process(0, build(to_unserved<TypeParam>(kProtocolTcp, kTcpRst)));
  EXPECT_EQ(out.verdict, Verdict::drop) << "a RST is never answered";
}

TYPED_TEST(Refusal, UdpToAnUnservedPortGetsPortUnreachable) {
  constexpr bool kV4 = TypeParam::kAddressBytes == 4;
  constexpr std::size_t kIp = kV4 ? 20 : 40, kLongest = kV4 ? 576 : 1280;
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  for (unsigned payload : {0u, 1u, 10u, 500u, 1400u}) {
    for (std::uint32_t tailroom : {0u, 20u, 128u}) {
      Packet asked = to_unserved<TypeParam>(kProtocolUdp);
      asked.payload = payload;
      const Bytes sent = build(asked);
      const Outcome out = gateway.process(0, sent, 0, false, tailroom);
      const std::size_t ip_bytes = sent.size() - 14;
      const std::size_t room = sent.size() + tailroom;
      if (room < 14 + kIp + 8 + kIp + 8) {
        EXPECT_EQ(out.verdict, Verdict::drop);  // No room for even the headers.
        EXPECT_EQ(out.reason, DropReason::unserved_port);
        EXPECT_EQ(out.bytes, sent);
        continue;
      }
      ASSERT_EQ(out.verdict, Verdict::transmit);
      const std::size_t quoted = std::min({ip_bytes, kLongest - kIp - 8, room - 14 - kIp - 8});
      const Decoded d = decode(out.bytes);
      EXPECT_EQ(d.source, asked.destination);
      EXPECT_EQ(d.destination, asked.source);
      EXPECT_EQ(d.protocol, kV4 ? kProtocolIcmp : kProtocolIcmp6);
      EXPECT_EQ(d.ip_bytes, kIp + 8 + quoted);
      EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
      EXPECT_EQ(out.bytes[d.l4], kV4 ? 3 : 1);
      EXPECT_EQ(out.bytes[d.l4 + 1], kV4 ? 3 : 4);
      EXPECT_EQ(get32(out.bytes, d.l4 + 4), 0u);
      EXPECT_EQ(Bytes(out.bytes.begin() + static_cast<long>(d.l4) + 8,
                      out.bytes.begin() + static_cast<long>(d.l4 + 8 + quoted)),
                Bytes(sent.begin() + 14, sent.begin() + 14 + static_cast<long>(quoted)));
    }
  }
}

TYPED_TEST(Refusal, PolicyDropIsSilent) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  gateway.change([](StateBuilder& builder) {
    builder.upsert(AddressSpec{ip(Net<TypeParam>::vip()), Unserved::drop});
  });
  EXPECT_EQ(gateway.process(0, build(to_unserved<TypeParam>(kProtocolTcp))).verdict, Verdict::drop);
  EXPECT_EQ(gateway.process(0, build(to_unserved<TypeParam>(kProtocolUdp)), 0, false, 128).verdict,
            Verdict::drop);
  EXPECT_EQ(gateway.process(0, build(from_client<TypeParam>(1, kTcpAck))).verdict, Verdict::drop);
  EXPECT_EQ(gateway.drops(DropReason::unserved_port), 2u);
}

TYPED_TEST(Refusal, NoBackendIsRefusedAndCounted) {
  Gateway gateway;
  gateway.serve<TypeParam>(0);
  const Packet syn = from_client<TypeParam>(1);
  const Outcome tcp = gateway.process(0, build(syn));
  EXPECT_EQ(tcp.reason, DropReason::no_backend);
  ASSERT_EQ(tcp.verdict, Verdict::transmit);
  expect_reset<TypeParam>(tcp.bytes, syn);
  const Outcome udp =
      gateway.process(0, build(from_client<TypeParam>(1, 0, kProtocolUdp)), 0, false, 64);
  EXPECT_EQ(udp.reason, DropReason::no_backend);
  EXPECT_EQ(udp.verdict, Verdict::transmit);
  EXPECT_EQ(gateway.counters[0]->vips[0].no_backend.read() +
                gateway.counters[0]->vips[1].no_backend.read(),
            2u);
}

TYPED_TEST(Refusal, AnswersAreLimited) {
  Gateway gateway(1, [](PipelineConfig& config) { config.icmp_per_second = 10; });
  gateway.serve<TypeParam>(3);
  unsigned answered = 0;
  for (unsigned n = 0; n < 100; ++n) {
    answered += gateway.process(0, build(to_unserved<TypeParam>(kProtocolTcp))).verdict ==
                Verdict::transmit;
  }
  EXPECT_EQ(answered, 10u);
  gateway.now += 1;
  for (unsigned n = 0; n < 100; ++n) {
    answered += gateway.process(0, build(to_unserved<TypeParam>(kProtocolTcp))).verdict ==
                Verdict::transmit;
  }
  EXPECT_EQ(answered, 15u);
  EXPECT_EQ(gateway.counters[0]->answers_limited.read(), 185u);
}

TYPED_TEST(Refusal, AnswerWithoutAWayIsDroppedUnderItsOwnReason) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  NextHop none{};
  gateway.routing.set_hop(Gateway::kToClients, none);
  const Outcome out = gateway.process(0, build(to_unserved<TypeParam>(kProtocolTcp)));
  EXPECT_EQ(out.verdict, Verdict::drop);
  EXPECT_EQ(out.reason, DropReason::unserved_port);
  EXPECT_EQ(gateway.drops(DropReason::no_route), 0u);
}

TYPED_TEST(Refusal, WhatTheKernelGetsOfAVipAddress) {
  constexpr bool kV4 = TypeParam::kAddressBytes == 4;
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  Packet p = from_client<TypeParam>(1);
  p.protocol = kV4 ? kProtocolIcmp : kProtocolIcmp6;
  p.icmp_type = kV4 ? 8 : 128;
  EXPECT_EQ(gateway.process(0, build(p)).verdict, Verdict::punt);
  p.protocol = 47;
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::unserved_protocol);
  p = from_client<TypeParam>(1);
  if (kV4) {
    p.fragment = kIpv4MoreFragments;
  } else {
    p.extensions = {{kIpv6Fragment, {0, 0, 0, 1, 0, 0, 0, 9}}};
  }
  p.payload = 12;  // 32 bytes with the TCP header: fragments but the last have a multiple of 8.
  EXPECT_EQ(gateway.process(0, build(p)).verdict, Verdict::transmit) << "as its flow's packets are";
  p.destination = Net<TypeParam>::client(99);
  EXPECT_EQ(gateway.process(0, build(p)).verdict, Verdict::punt);
  p = from_client<TypeParam>(1);
  std::fill_n(p.destination_mac, 6, 0xff);
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::ethernet_group);
  p.destination_port = 4444;
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::ethernet_group);
}

TYPED_TEST(Refusal, OthersGoToTheKernelButNeverWithAnAddressOfOurs) {
  using N = Net<TypeParam>;
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  Packet p = from_client<TypeParam>(1);
  p.destination = N::client(77);
  EXPECT_EQ(gateway.process(0, build(p)).verdict, Verdict::punt);
  p.source = N::vip();
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::martian_source);
  p.source = N::source();
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::martian_source);
  p = from_client<TypeParam>(1);
  p.source = TypeParam::kAddressBytes == 4 ? "224.0.0.1" : "ff02::1";
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::martian_source);
  p.source = N::vip();
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::martian_source);
  Bytes arp(60, 0);
  arp[12] = 8;
  arp[13] = 6;
  EXPECT_EQ(gateway.process(0, arp).verdict, Verdict::punt);
  EXPECT_EQ(gateway.counters[0]->punted.read(), 2u);
}

TYPED_TEST(Refusal, FramesForOtherMacs) {
  Gateway gateway(1, [](PipelineConfig& config) {
    config.port_mac = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 1}};
  });
  gateway.serve<TypeParam>(3);
  Packet p = from_client<TypeParam>(1);
  EXPECT_EQ(gateway.process(0, build(p)).verdict, Verdict::transmit);
  p.destination_mac[5] = 9;
  EXPECT_EQ(gateway.process(0, build(p)).reason, DropReason::ethernet_destination);
}

TYPED_TEST(Refusal, TagsAreTakenOffWhatLeaves) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  Packet p = from_client<TypeParam>(1);
  const Bytes plain = gateway.process(0, build(p)).bytes;
  p.vlans = {3, 4};
  EXPECT_EQ(gateway.process(0, build(p)).bytes, plain);
  Packet unserved = to_unserved<TypeParam>(kProtocolTcp);
  unserved.vlans = {4};
  expect_reset<TypeParam>(gateway.process(0, build(unserved)).bytes, unserved);
  p.destination = Net<TypeParam>::client(77);
  EXPECT_EQ(gateway.process(0, build(p)).bytes, build(p));  // The kernel gets it as it came.
}

TYPED_TEST(Refusal, MalformedPacketsAreCountedByReason) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  Bytes b = build(from_client<TypeParam>(1));
  b.resize(b.size() - 1);
  const Outcome out = gateway.process(0, b);
  const DropReason want = TypeParam::kAddressBytes == 4 ? DropReason::ipv4_total_length
                                                        : DropReason::ipv6_payload_length;
  EXPECT_EQ(out.reason, want);
  EXPECT_EQ(out.verdict, Verdict::drop);
  EXPECT_EQ(gateway.drops(want), 1u);
}

}  // namespace
}  // namespace sluice
