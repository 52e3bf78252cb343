#include "dataplane/packet/rewrite.h"

#include <gtest/gtest.h>

#include <random>

#include "dataplane/packet/flow_hash.h"
#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Packet;

template <typename Family>
class Rewrite : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Rewrite, Families);

template <typename Family>
Endpoint<Family> random_endpoint(std::mt19937& random) {
  Endpoint<Family> e;
  for (auto& byte : e.address) byte = static_cast<std::uint8_t>(random());
  e.port = Be16::from_host(static_cast<std::uint16_t>(random()));
  return e;
}
template <typename Family>
std::string text(const Endpoint<Family>& e) {
  return IpAddress::from_bytes({reinterpret_cast<const char*>(e.address.data()), e.address.size()})
      ->text();
}

TYPED_TEST(Rewrite, ChecksumsEqualFullRecomputation) {
  std::mt19937 random(1);
  for (unsigned round = 0; round < 20000; ++round) {
    Packet p;
    p.source = text(random_endpoint<TypeParam>(random));
    p.destination = text(random_endpoint<TypeParam>(random));
    p.source_port = random() & 0xffff;
    p.destination_port = random() & 0xffff;
    p.protocol = round % 2 == 0 ? kProtocolTcp : kProtocolUdp;
    p.udp_checksum = random() % 4 != 0;
    p.payload = random() % 50;
    p.ttl = 1 + random() % 255;
    p.sequence = static_cast<std::uint32_t>(random());
    if (std::is_same_v<TypeParam, Ipv4> && random() % 4 == 0) p.ip_options = Bytes(12, 1);
    Bytes b = test::build(p);
    const test::Decoded before = test::decode(b);
    const bool had_none = before.protocol == kProtocolUdp && before.l4_checksum_none;
    const auto source = random_endpoint<TypeParam>(random),
               destination = random_endpoint<TypeParam>(random);
    translate<TypeParam>(b.data() + before.l3, b.data() + before.l4, p.protocol, source,
                         destination);
    const test::Decoded after = test::decode(b);
    ASSERT_EQ(after.source, text(source));
    ASSERT_EQ(after.destination, text(destination));
    ASSERT_EQ(after.source_port, source.port.host());
    ASSERT_EQ(after.destination_port, destination.port.host());
    ASSERT_EQ(after.ttl, before.ttl - 1);
    ASSERT_TRUE(after.ip_checksum_right) << round;
    if (p.protocol == kProtocolUdp) {
      ASSERT_EQ(after.l4_checksum_none, had_none);
    }
    if (!had_none) {
      ASSERT_TRUE(after.l4_checksum_right) << round;
    }
  }
}

// A UDP checksum whose new value computes to zero must be sent as 0xffff: search for such a
// rewrite.
TYPED_TEST(Rewrite, UdpChecksumNeverBecomesNone) {
  std::mt19937 random(2);
  Packet p;
  p.source = text(random_endpoint<TypeParam>(random));
  p.destination = text(random_endpoint<TypeParam>(random));
  p.protocol = kProtocolUdp;
  p.payload = 5;
  auto source = random_endpoint<TypeParam>(random);
  const auto destination = random_endpoint<TypeParam>(random);
  unsigned all_ones = 0;
  for (unsigned port = 0; port < 65536; ++port) {
    source.port = Be16::from_host(static_cast<std::uint16_t>(port));
    Bytes b = test::build(p);
    const test::Decoded d = test::decode(b);
    translate<TypeParam>(b.data() + d.l3, b.data() + d.l4, kProtocolUdp, source, destination);
    ASSERT_NE(test::get16(b, d.l4 + 6), 0u);
    if (test::get16(b, d.l4 + 6) == 0xffff) ++all_ones;
  }
  EXPECT_GE(all_ones, 1u);
}

TYPED_TEST(Rewrite, WrongChecksumStaysWrong) {
  std::mt19937 random(3);
  Packet p;
  p.source = text(random_endpoint<TypeParam>(random));
  p.destination = text(random_endpoint<TypeParam>(random));
  Bytes b = test::build(p);
  const test::Decoded d = test::decode(b);
  b[d.l4 + 16] ^= 0x55;
  translate<TypeParam>(b.data() + d.l3, b.data() + d.l4, kProtocolTcp,
                       random_endpoint<TypeParam>(random), random_endpoint<TypeParam>(random));
  EXPECT_FALSE(test::decode(b).l4_checksum_right);
}

// The value is part of the protocol between gateways: it must never change.
TEST(FlowHash, IsFixed) {
  const Ipv4::Address client{192, 0, 2, 1}, vip{198, 51, 100, 1};
  const Ipv6::Address client6{0x20, 1, 0xd, 0xb8}, vip6{0x20, 1, 0xd, 0xb8, 1};
  const Be16 port = Be16::from_host(40000), service = Be16::from_host(80);
  EXPECT_EQ(flow_hash<Ipv4>(0, client, port, vip, service, kProtocolTcp), 9467494132712159391u);
  EXPECT_EQ(flow_hash<Ipv6>(1, client6, port, vip6, service, kProtocolUdp), 13510800355242910011u);
}

TYPED_TEST(Rewrite, FlowHashSpreadsEvenlyOverNeighbouringClients) {
  constexpr unsigned kBins = 64, kFlows = 64 * 1024;
  unsigned bins[kBins] = {};
  typename TypeParam::Address client{10}, vip{192};
  for (unsigned i = 0; i < kFlows; ++i) {
    client[TypeParam::kAddressBytes - 1] = static_cast<std::uint8_t>(i >> 10);
    const auto port = Be16::from_host(static_cast<std::uint16_t>(20000 + (i & 1023)));
    ++bins[flow_hash<TypeParam>(42, client, port, vip, Be16::from_host(80), kProtocolTcp) >> 58];
  }
  double chi = 0;
  for (unsigned n : bins) chi += (n - 1024.0) * (n - 1024.0) / 1024.0;
  EXPECT_LT(chi, 117.0);  // 63 degrees of freedom, p = 0.00005.
}

}  // namespace
}  // namespace sluice
