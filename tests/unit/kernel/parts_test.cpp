// The small parts of the slow path: frames, the token bucket, waiting packets, NAT sources, ports.
#include <gtest/gtest.h>
#include <linux/if_addr.h>

#include <algorithm>
#include <memory>

#include "dataplane/kernel/frame.h"
#include "dataplane/kernel/nat_source_table.h"
#include "dataplane/kernel/sysctl.h"
#include "dataplane/kernel/token_bucket.h"
#include "dataplane/kernel/tunnel_source_table.h"
#include "dataplane/kernel/waiting_packets.h"
#include "tests/unit/kernel/wire.h"

namespace sluice::test {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

Bytes tagged(Bytes frame, int tags) {
  const std::uint8_t tag[] = {0x81, 0x00, 0, 7};
  for (int i = 0; i < tags; ++i) frame.insert(frame.begin() + 12, tag, tag + sizeof tag);
  return frame;
}

TEST(Frame, DestinationBehindTags) {
  const Bytes v4 = echo_request({}, {}, ip("10.0.0.1"), ip("10.0.0.2"));
  const Bytes v6 = echo_request({}, {}, ip("2001:db8::1"), ip("2001:db8::2"));
  for (int tags = 0; tags <= 2; ++tags) {
    const Bytes a = tagged(v4, tags), b = tagged(v6, tags);
    EXPECT_EQ(frame_destination(a.data(), a.size()), ip("10.0.0.2"));
    EXPECT_EQ(frame_destination(b.data(), b.size()), ip("2001:db8::2"));
  }
  const Bytes deep = tagged(v4, 3);
  EXPECT_EQ(frame_destination(deep.data(), deep.size()), std::nullopt);
}

// On heap copies of the exact length, so that the address sanitizer sees a byte read beyond.
TEST(Frame, NoTruncationIsReadBeyond) {
  for (const Bytes& whole :
       {echo_request({}, {}, ip("10.0.0.1"), ip("10.0.0.2")),
        tagged(neighbour_solicitation({}, ip("2001:db8::1"), ip("2001:db8::2")), 2),
        arp_request({}, ip("10.0.0.1"), ip("10.0.0.2"))}) {
    for (std::size_t length = 0; length <= whole.size(); ++length) {
      const auto copy = std::make_unique<std::uint8_t[]>(length);
      std::copy_n(whole.begin(), length, copy.get());
      (void)frame_destination(copy.get(), length);
      (void)frame_is_control(copy.get(), length);
    }
  }
}

TEST(Frame, WhatTheNetworkLivesByIsControl) {
  const Bytes arp = arp_request({}, ip("10.0.0.1"), ip("10.0.0.2"));
  const Bytes solicitation = neighbour_solicitation({}, ip("2001:db8::1"), ip("2001:db8::2"));
  const Bytes vrrp = echo_request({}, {}, ip("10.0.0.1"), ip("224.0.0.18"));
  const Bytes ping = echo_request({}, {}, ip("10.0.0.1"), ip("10.0.0.2"));
  const Bytes ping6 = echo_request({}, {}, ip("2001:db8::1"), ip("2001:db8::2"));
  EXPECT_TRUE(frame_is_control(arp.data(), arp.size()));
  EXPECT_TRUE(frame_is_control(solicitation.data(), solicitation.size()));
  EXPECT_TRUE(frame_is_control(vrrp.data(), vrrp.size()));
  EXPECT_FALSE(frame_is_control(ping.data(), ping.size()));
  EXPECT_FALSE(frame_is_control(ping6.data(), ping6.size()));
  Bytes bgp = ping;
  bgp[14 + 9] = 6;  // TCP
  bgp[14 + 22] = 0;
  bgp[14 + 23] = 179;
  EXPECT_TRUE(frame_is_control(bgp.data(), bgp.size()));
}

TEST(TokenBucket, HoldsItsRateAndAReserve) {
  TokenBucket bucket(1000);  // A burst of 100, 25 of them reserved.
  int ordinary = 0, reserved = 0;
  for (int i = 0; i < 1000; ++i) ordinary += bucket.take(kSecond, false);
  for (int i = 0; i < 1000; ++i) reserved += bucket.take(kSecond, true);
  EXPECT_EQ(ordinary, 75);
  EXPECT_EQ(reserved, 25);
  // Ten seconds of a flood, a packet each 0.1 ms.
  int taken = 0;
  for (std::int64_t t = kSecond; t <= 11 * kSecond; t += kSecond / 10000) {
    taken += bucket.take(t, false);
  }
  EXPECT_NEAR(taken, 10000, 200);
}

TEST(WaitingPackets, BoundedPerNeighbourAndInAll) {
  WaitingPackets waiting(2);
  int packet = 0;
  const NeighbourKey key{ip("10.0.0.1"), 1};
  EXPECT_TRUE(waiting.add(key, {&packet, nullptr, 0}));
  EXPECT_TRUE(waiting.add(key, {&packet, nullptr, kSecond}));
  EXPECT_FALSE(waiting.add(key, {&packet, nullptr, kSecond}));
  for (int link = 2; link < 1000; ++link)
    (void)waiting.add({ip("10.0.0.1"), link}, {&packet, nullptr, kSecond});
  EXPECT_EQ(waiting.size(), WaitingPackets::kMaxNeighbours + 1);
  int dropped = 0;
  waiting.expire(3 * kSecond, [&](const WaitingPackets::Packet&) { ++dropped; });
  EXPECT_EQ(dropped, 1);
  waiting.drain([&](const WaitingPackets::Packet&) { ++dropped; });
  EXPECT_EQ(static_cast<std::size_t>(dropped), WaitingPackets::kMaxNeighbours + 1);
  EXPECT_EQ(waiting.size(), 0u);
}

TEST(WaitingPackets, AsksOncePerSecond) {
  WaitingPackets waiting(2);
  int packet = 0;
  const NeighbourKey key{ip("10.0.0.1"), 1};
  EXPECT_FALSE(waiting.due_to_ask(key, 0));
  ASSERT_TRUE(waiting.add(key, {&packet, nullptr, 0}));
  EXPECT_TRUE(waiting.due_to_ask(key, 0));
  EXPECT_FALSE(waiting.due_to_ask(key, kSecond / 2));
  EXPECT_TRUE(waiting.due_to_ask(key, kSecond));
}

class NatSourceTableTest : public testing::Test {
 protected:
  static AddressEvent address(const char* text, int link = 10, std::uint32_t flags = 0) {
    AddressEvent event;
    event.link = link;
    event.address = ip(text);
    event.flags = flags;
    return event;
  }
  std::unique_ptr<const NatSources> update() { return table.update(own.choose()); }

  MirrorPort ports[2] = {{10, 0, {}}, {11, 1, {}}};
  OwnAddresses own{ports};
  NatSourceTable table{{}, 20000, 30000};
};

TEST_F(NatSourceTableTest, TheFirstUsableOfEachPortAndFamily) {
  own.apply(address("fe80::1"));
  own.apply(address("2001:db8::1", 10, IFA_F_TENTATIVE));
  own.apply(address("10.0.0.1"));
  own.apply(address("10.0.0.2"));
  own.apply(address("10.1.0.1", 11));
  own.apply(address("10.2.0.1", 12));  // Not a port.
  auto sources = update();
  ASSERT_NE(sources, nullptr);
  ASSERT_EQ(sources->ipv4.size(), 2u);
  EXPECT_EQ(sources->ipv4[0].address, (Ipv4::Address{10, 0, 0, 1}));
  EXPECT_EQ(sources->ipv4[1].port_id, 1);
  EXPECT_TRUE(sources->ipv6.empty());
  EXPECT_EQ(update(), nullptr);
  own.apply(address("2001:db8::1"));
  sources = update();
  ASSERT_NE(sources, nullptr);
  EXPECT_EQ(sources->ipv6.size(), 1u);
}

TEST_F(NatSourceTableTest, AChoiceStaysWhileItLivesAndItsNumberIsNotGivenAgainSoon) {
  own.apply(address("10.0.0.5"));
  const auto first = update();
  own.apply(address("10.0.0.1"));
  EXPECT_EQ(update(), nullptr);
  AddressEvent gone = address("10.0.0.5");
  gone.removed = true;
  own.apply(gone);
  const auto second = update();
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->ipv4[0].address, (Ipv4::Address{10, 0, 0, 1}));
  EXPECT_NE(second->ipv4[0].number, first->ipv4[0].number);
}

TEST_F(NatSourceTableTest, ADumpForgetsWhatItDoesNotTell) {
  own.apply(address("10.0.0.5"));
  (void)update();
  own.begin_dump();
  own.end_dump(false);
  EXPECT_EQ(update(), nullptr);
  own.begin_dump();
  own.end_dump(true);
  EXPECT_TRUE(update()->ipv4.empty());
}

TEST_F(NatSourceTableTest, ConfiguredAddressesAreForAnyPort) {
  NatSourceTable configured({ip("192.0.2.1"), ip("2001:db8::1")}, 20000, 30000);
  own.apply(address("10.0.0.5"));
  const auto sources = configured.update(own.choose());
  ASSERT_EQ(sources->ipv4.size(), 1u);
  EXPECT_EQ(sources->ipv4[0].port_id, 0xffff);
  EXPECT_EQ(sources->ipv6.size(), 1u);
  EXPECT_EQ(sources->last_port, 30000);
}

using TunnelSourceTableTest = NatSourceTableTest;

TEST_F(TunnelSourceTableTest, ThePortsOwnAddressUnlessAPrefixIsConfigured) {
  TunnelSourceTable tunnels(ports, {});
  own.apply(address("10.1.0.1", 11));
  own.apply(address("2001:db8::1", 11));
  const auto sources = tunnels.update(own.choose());
  ASSERT_EQ(sources->ports.size(), 2u);
  EXPECT_FALSE(sources->ports[0].ipv4.present);
  EXPECT_FALSE(sources->ports[0].ipv6.present);
  EXPECT_TRUE(sources->ports[1].ipv4.present);
  EXPECT_EQ(sources->ports[1].ipv4.address, (Ipv4::Address{10, 1, 0, 1}));
  EXPECT_EQ(sources->ports[1].ipv4.varies, Ipv4::Address{});
  EXPECT_TRUE(sources->ports[1].ipv6.present);
  EXPECT_EQ(tunnels.update(own.choose()), nullptr);
  own.apply(address("10.0.0.1"));
  EXPECT_TRUE(tunnels.update(own.choose())->ports[0].ipv4.present);
}

TEST_F(TunnelSourceTableTest, HostBitsOfAPrefixVaryUpToAMeasure) {
  const auto varies = [&](const char* text) {
    const IpPrefix prefix = *IpPrefix::parse(text);
    TunnelSourceTable tunnels(ports, {&prefix, 1});
    own.apply(address("10.0.0.1"));
    const auto sources = tunnels.update(own.choose());
    const TunnelSources::Port& port = sources->ports[1];
    EXPECT_NE(port.ipv4.present, port.ipv6.present) << "the other family has no address here";
    if (!port.ipv4.present) return IpAddress::v6(port.ipv6.varies.data());
    EXPECT_EQ(IpAddress::v4(port.ipv4.address.data()), prefix.address());
    return IpAddress::v4(port.ipv4.varies.data());
  };
  EXPECT_EQ(varies("198.51.100.64/26"), ip("0.0.0.63"));
  EXPECT_EQ(varies("198.51.100.64/31"), ip("0.0.0.1"));
  EXPECT_EQ(varies("198.18.0.0/15"), ip("0.0.255.255"));
  EXPECT_EQ(varies("2001:db8::/64"), ip("::ffff:ffff"));
  EXPECT_EQ(varies("2001:db8::/112"), ip("::ffff"));
}

TEST(KernelPortRange, TheKernelMovesOnlyWhenItMust) {
  const auto beside = [](std::uint32_t low, std::uint32_t high, std::uint16_t first,
                         std::uint16_t last) {
    return range_beside({low, high}, first, last);
  };
  EXPECT_EQ(beside(32768, 60999, 20000, 30000), std::nullopt);
  EXPECT_EQ(beside(32768, 60999, 50000, 65535), (KernelPortRange{32768, 49999}));
  EXPECT_EQ(beside(32768, 60999, 20000, 40000), (KernelPortRange{40001, 60999}));
  EXPECT_EQ(beside(32768, 60999, 20000, 65535), (KernelPortRange{10000, 19999}));
  EXPECT_EQ(beside(32768, 60999, 5000, 65535), (KernelPortRange{1024, 4999}));
  const auto nothing = beside(32768, 60999, 1024, 65535);
  ASSERT_TRUE(nothing.has_value());
  EXPECT_LT(nothing->high, nothing->low);
}

}  // namespace
}  // namespace sluice::test
