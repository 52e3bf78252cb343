#include "dataplane/packet/nat64.h"

#include <gtest/gtest.h>

#include <random>

#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Packet;

template <typename Family>
Endpoint<Family> endpoint(const char* address, std::uint16_t port) {
  Endpoint<Family> e;
  std::memcpy(e.address.data(), IpAddress::parse(address)->data(), Family::kAddressBytes);
  e.port = Be16::from_host(port);
  return e;
}

const auto kClient = endpoint<Ipv6>("2001:db8::1", 40000);
const auto kVip = endpoint<Ipv6>("2001:db8:1::1", 80);
const auto kSource = endpoint<Ipv4>("10.0.0.254", 20000);
const auto kBackend = endpoint<Ipv4>("10.0.0.1", 8080);

// On heap memory of the exact length, so that the address sanitizer sees what goes beyond.
struct Buffer {
  std::unique_ptr<std::uint8_t[]> memory;
  CrossingFrame frame;
  explicit Buffer(const Bytes& packet, std::uint32_t headroom) {
    memory = std::make_unique<std::uint8_t[]>(headroom + packet.size());
    std::memcpy(memory.get() + headroom, packet.data(), packet.size());
    const test::Decoded d = test::decode(packet);
    frame.frame = memory.get() + headroom;
    frame.headroom = headroom;
    frame.length = static_cast<std::uint32_t>(packet.size());
    frame.l3 = static_cast<std::uint32_t>(d.l3);
    frame.l4 = static_cast<std::uint32_t>(d.l4);
    frame.end = static_cast<std::uint32_t>(d.l3 + d.ip_bytes);
    frame.protocol = d.protocol;
  }
  Bytes bytes() const { return Bytes(frame.frame, frame.frame + frame.length); }
};

Packet ipv6_packet(std::uint8_t protocol, unsigned payload) {
  Packet p;
  p.source = "2001:db8::1";
  p.destination = "2001:db8:1::1";
  p.source_port = 40000;
  p.destination_port = 80;
  p.protocol = protocol;
  p.payload = payload;
  return p;
}
Packet ipv4_packet(std::uint8_t protocol, unsigned payload) {
  Packet p;
  p.source = "10.0.0.1";
  p.destination = "10.0.0.254";
  p.source_port = 8080;
  p.destination_port = 20000;
  p.protocol = protocol;
  p.payload = payload;
  return p;
}

TEST(Nat64, ToIpv4) {
  for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
    for (const unsigned payload : {0u, 1u, 1100u, 1300u}) {
      const Bytes before = test::build(ipv6_packet(protocol, payload));
      Buffer b(before, 0);
      ASSERT_EQ(cross<Ipv6>(b.frame, kSource, kBackend, 777), DropReason::none);
      const Bytes after = b.bytes();
      ASSERT_EQ(after.size(), before.size() - 20);
      const test::Decoded d = test::decode(after);
      EXPECT_EQ(d.source, "10.0.0.254");
      EXPECT_EQ(d.destination, "10.0.0.1");
      EXPECT_EQ(d.source_port, 20000u);
      EXPECT_EQ(d.destination_port, 8080u);
      EXPECT_EQ(d.ttl, 63u);
      EXPECT_EQ(d.protocol, protocol);
      EXPECT_EQ(d.l3 + d.ip_bytes, after.size());
      EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
      EXPECT_EQ(d.l4, b.frame.l4);
      EXPECT_EQ(b.frame.end, after.size());
      EXPECT_EQ(b.frame.headroom, 20u);
      // RFC 7915 5.1: the builder's traffic class 0x00, and DF by the size.
      EXPECT_EQ(after[d.l3 + 1], 0x00);
      const bool large = d.ip_bytes > 1260;
      EXPECT_EQ(test::get16(after, d.l3 + 4), large ? 0u : 777u);
      EXPECT_EQ(test::get16(after, d.l3 + 6), large ? 0x4000u : 0u);
    }
  }
}

TEST(Nat64, ToIpv6) {
  for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
    for (const bool options : {false, true}) {
      Packet p = ipv4_packet(protocol, 33);
      if (options) p.ip_options = Bytes(24, 1);
      Bytes before = test::build(p);
      before[15] = 0xb9;  // DSCP EF, ECT(1); and the checksum for it.
      before[24] = before[25] = 0;
      const unsigned sum = ~test::plain_sum(before.data() + 14, options ? 44 : 20) & 0xffff;
      before[24] = static_cast<std::uint8_t>(sum >> 8);
      before[25] = static_cast<std::uint8_t>(sum);
      Buffer b(before, options ? 0 : 20);
      ASSERT_EQ(cross<Ipv4>(b.frame, kVip, kClient, 0), DropReason::none);
      const Bytes after = b.bytes();
      const test::Decoded d = test::decode(after);
      EXPECT_EQ(test::get32(after, d.l3), 0x6b900000u);
      EXPECT_EQ(d.source, "2001:db8:1::1");
      EXPECT_EQ(d.destination, "2001:db8::1");
      EXPECT_EQ(d.source_port, 80u);
      EXPECT_EQ(d.destination_port, 40000u);
      EXPECT_EQ(d.ttl, 63u);
      EXPECT_EQ(d.l3 + d.ip_bytes, after.size());
      EXPECT_TRUE(d.l4_checksum_right);
    }
  }
}

TEST(Nat64, NoRoomInFront) {
  Buffer b(test::build(ipv4_packet(kProtocolTcp, 5)), 19);
  const Bytes before = b.bytes();
  EXPECT_EQ(cross<Ipv4>(b.frame, kVip, kClient, 0), DropReason::tunnel_headroom);
  EXPECT_EQ(b.bytes(), before);
}

// RFC 7915 4.5.
TEST(Nat64, UdpWithoutChecksumGetsOne) {
  Packet p = ipv4_packet(kProtocolUdp, 77);
  p.udp_checksum = false;
  Buffer whole(test::build(p), 20);
  ASSERT_EQ(cross<Ipv4>(whole.frame, kVip, kClient, 0), DropReason::none);
  const test::Decoded d = test::decode(whole.bytes());
  EXPECT_FALSE(d.l4_checksum_none);
  EXPECT_TRUE(d.l4_checksum_right);

  Buffer split(test::build(p), 20);
  split.frame.length -= 10;
  EXPECT_EQ(cross<Ipv4>(split.frame, kVip, kClient, 0), DropReason::udp_no_checksum);
  p.fragment = 0x2000;
  Buffer first(test::build(p), 28);
  EXPECT_EQ(cross<Ipv4>(first.frame, kVip, kClient, 0), DropReason::udp_no_checksum);
}

TEST(Nat64, FragmentsThereAndBack) {
  for (const unsigned word : {0x2000u, 0x2010u, 0x0123u}) {
    Packet p = ipv4_packet(kProtocolUdp, 64);
    p.fragment = word;
    const Bytes before = test::build(p);
    Buffer b(before, 28);
    ASSERT_EQ(cross<Ipv4>(b.frame, kVip, kClient, 0x89abcdef), DropReason::none);
    const Bytes six = b.bytes();
    ASSERT_EQ(six.size(), before.size() + 28);
    EXPECT_EQ(six[14 + 6], 44);
    EXPECT_EQ(six[54], kProtocolUdp);
    EXPECT_EQ(test::get16(six, 56), (word & 0x1fff) << 3 | (word & 0x2000) >> 13);
    EXPECT_EQ(test::get32(six, 58), 0x89abcdefu);
    EXPECT_EQ(test::get16(six, 14 + 4), before.size() - 34 + 8);
    // A later fragment's payload is nobody's ports.
    if ((word & 0x1fff) != 0) {
      EXPECT_TRUE(std::equal(six.begin() + 62, six.end(), before.begin() + 34));
    }

    const auto source = endpoint<Ipv4>("10.0.0.1", 8080);
    const auto destination = endpoint<Ipv4>("10.0.0.254", 20000);
    ASSERT_EQ(cross<Ipv6>(b.frame, source, destination, 0x55551234), DropReason::none);
    Bytes back = b.bytes();
    EXPECT_EQ(test::decode(back).ttl, 62u);
    EXPECT_TRUE(test::decode(back).ip_checksum_right);
    std::copy_n(before.begin(), 12, back.begin());  // MACs are left open.
    back[22] = before[22];                          // TTL, and the checksum for it.
    back[24] = before[24];
    back[25] = before[25];
    EXPECT_EQ(back, before);
  }
}

TEST(Nat64, ExtensionHeadersAreLeftBehind) {
  Packet p = ipv6_packet(kProtocolTcp, 9);
  p.extensions = {{kIpv6HopByHop, Bytes(8, 0)}, {kIpv6DestinationOptions, Bytes(16, 0)}};
  p.extensions[1].second[1] = 1;
  // An atomic fragment is a whole packet.
  p.extensions.push_back({kIpv6Fragment, Bytes(8, 0)});
  Buffer b(test::build(p), 0);
  ASSERT_EQ(cross<Ipv6>(b.frame, kSource, kBackend, 5), DropReason::none);
  const Bytes after = b.bytes();
  const test::Decoded d = test::decode(after);
  EXPECT_EQ(d.ip_bytes, 20u + 20 + 9);
  EXPECT_EQ(test::get16(after, d.l3 + 6), 0u);
  EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
}

TEST(Nat64, ThereAndBackIsTheSame) {
  std::mt19937 random(5);
  for (unsigned round = 0; round < 3000; ++round) {
    Packet p = ipv6_packet(round % 2 == 0 ? kProtocolTcp : kProtocolUdp, random() % 1400);
    p.sequence = static_cast<std::uint32_t>(random());
    p.ttl = 2 + random() % 253;
    Bytes before = test::build(p);
    Buffer b(before, 0);
    ASSERT_EQ(cross<Ipv6>(b.frame, kSource, kBackend, 1), DropReason::none);
    ASSERT_TRUE(test::decode(b.bytes()).l4_checksum_right);
    ASSERT_EQ(cross<Ipv4>(b.frame, kClient, kVip, 1), DropReason::none);
    const Bytes after = b.bytes();
    before[14] = 0x60;  // The flow label does not cross; the TTL is two less.
    before[15] = before[16] = before[17] = 0;
    before[21] = static_cast<std::uint8_t>(before[21] - 2);
    std::copy_n(after.begin(), 12, before.begin());  // MACs are left open.
    ASSERT_EQ(after, before);
  }
}

struct Meaning {
  std::uint8_t type, code;
  std::uint32_t rest;
};

// RFC 7915 4.2, line by line.
TEST(Nat64, MeaningsFromIpv4) {
  const auto to = [](Meaning from) {
    IcmpMeaning m;
    return cross_meaning<Ipv4>({from.type, from.code, from.rest}, 1500, m)
               ? std::vector<std::uint32_t>{m.type, m.code, m.rest}
               : std::vector<std::uint32_t>{};
  };
  using V = std::vector<std::uint32_t>;
  for (const std::uint8_t code : {0, 1, 5, 6, 7, 8, 11, 12})
    EXPECT_EQ(to({3, code, 0}), (V{1, 0, 0})) << int{code};
  EXPECT_EQ(to({3, 2, 0}), (V{4, 1, 6}));
  EXPECT_EQ(to({3, 3, 0}), (V{1, 4, 0}));
  EXPECT_EQ(to({3, 4, 1400}), (V{2, 0, 1420}));
  EXPECT_EQ(to({3, 4, 576}), (V{2, 0, 1280}));
  EXPECT_EQ(to({3, 4, 0}), (V{2, 0, 1512}));  // The plateau below 1500 is 1492.
  for (const std::uint8_t code : {9, 10, 13, 15}) EXPECT_EQ(to({3, code, 0}), (V{1, 1, 0}));
  EXPECT_EQ(to({3, 14, 0}), V{});
  EXPECT_EQ(to({3, 16, 0}), V{});
  EXPECT_EQ(to({11, 0, 0}), (V{3, 0, 0}));
  EXPECT_EQ(to({11, 1, 0}), (V{3, 1, 0}));
  EXPECT_EQ(to({12, 0, 8u << 24}), (V{4, 0, 7}));
  EXPECT_EQ(to({12, 2, 13u << 24}), (V{4, 0, 8}));
  EXPECT_EQ(to({12, 0, 19u << 24}), (V{4, 0, 24}));
  EXPECT_EQ(to({12, 0, 4u << 24}), V{});
  EXPECT_EQ(to({12, 0, 20u << 24}), V{});
  EXPECT_EQ(to({12, 1, 0}), V{});
  for (const std::uint8_t type : {0, 4, 5, 8, 9, 10, 13}) EXPECT_EQ(to({type, 0, 0}), V{});
}

// RFC 7915 5.2.
TEST(Nat64, MeaningsFromIpv6) {
  const auto to = [](Meaning from) {
    IcmpMeaning m;
    return cross_meaning<Ipv6>({from.type, from.code, from.rest}, 1500, m)
               ? std::vector<std::uint32_t>{m.type, m.code, m.rest}
               : std::vector<std::uint32_t>{};
  };
  using V = std::vector<std::uint32_t>;
  EXPECT_EQ(to({1, 0, 0}), (V{3, 1, 0}));
  EXPECT_EQ(to({1, 1, 0}), (V{3, 10, 0}));
  EXPECT_EQ(to({1, 2, 0}), (V{3, 1, 0}));
  EXPECT_EQ(to({1, 3, 0}), (V{3, 1, 0}));
  EXPECT_EQ(to({1, 4, 0}), (V{3, 3, 0}));
  EXPECT_EQ(to({1, 5, 0}), V{});
  EXPECT_EQ(to({2, 0, 1400}), (V{3, 4, 1380}));
  EXPECT_EQ(to({2, 0, 3}), (V{3, 4, 68}));
  EXPECT_EQ(to({2, 0, 0xffffffff}), (V{3, 4, 65535}));
  EXPECT_EQ(to({3, 1, 0}), (V{11, 1, 0}));
  EXPECT_EQ(to({4, 1, 0}), (V{3, 2, 0}));
  EXPECT_EQ(to({4, 0, 7}), (V{12, 0, 8u << 24}));
  EXPECT_EQ(to({4, 0, 39}), (V{12, 0, 16u << 24}));
  EXPECT_EQ(to({4, 0, 2}), V{});
  EXPECT_EQ(to({4, 0, 0xffffffff}), V{});
  EXPECT_EQ(to({4, 2, 0}), V{});
  for (const std::uint8_t type : {128, 129, 133, 137}) EXPECT_EQ(to({type, 0, 0}), V{});
}

// A router's error about a packet that went from the NAT source to the backend; `quoted` bytes of
// it.
Bytes error_from_ipv4(std::uint8_t type, std::uint8_t code, const Bytes& about,
                      std::size_t quoted) {
  Packet p;
  p.source = "10.0.0.9";
  p.destination = "10.0.0.254";
  p.protocol = kProtocolIcmp;
  p.icmp_type = type;
  Bytes b = test::build(p);
  b[35] = code;
  b.insert(b.end(), about.begin() + 14, about.begin() + 14 + static_cast<long>(quoted));
  const auto total = static_cast<unsigned>(b.size() - 14);
  b[16] = static_cast<std::uint8_t>(total >> 8);
  b[17] = static_cast<std::uint8_t>(total);
  b[38] = b[39] = b[40] = 0;
  b[41] = type == 3 && code == 4 ? 0xdc : 0;
  b[40] = type == 3 && code == 4 ? 0x05 : 0;  // 1500.
  return b;
}

TEST(Nat64, ErrorsCrossWithTheirQuotes) {
  Packet inner = ipv4_packet(kProtocolTcp, 1300);
  std::swap(inner.source, inner.destination);
  std::swap(inner.source_port, inner.destination_port);
  const Bytes about = test::build(inner);
  for (const std::size_t quoted : {28u, 40u, 548u, 1340u}) {
    Buffer b(error_from_ipv4(3, 4, about, quoted), 0);
    Quote<Ipv4> quote;
    ASSERT_EQ(find_quote<Ipv4>(b.frame.frame, b.frame.length, b.frame.l4, b.frame.end, quote),
              DropReason::none);
    ErrorTranslation<Ipv6> t;
    t.quoted_source = kClient;
    t.quoted_destination = kVip;
    t.source = kVip.address;
    t.destination = kClient.address;
    Bytes out(14 + kMostErrorBytes, 0);
    out[12] = 0x86;
    out[13] = 0xdd;
    const std::uint32_t bytes =
        cross_error<Ipv4>(b.frame, quote, t, 0, out.data() + 14, kMostErrorBytes);
    ASSERT_EQ(bytes, std::min<std::size_t>(40 + 8 + quoted + 20, 1280));
    out.resize(14 + bytes);
    const test::Decoded d = test::decode(out);
    EXPECT_EQ(d.ip_bytes, bytes);
    EXPECT_EQ(d.source, "2001:db8:1::1");
    EXPECT_EQ(d.destination, "2001:db8::1");
    EXPECT_EQ(d.protocol, kProtocolIcmp6);
    EXPECT_EQ(d.ttl, 63u);
    EXPECT_TRUE(d.l4_checksum_right);
    EXPECT_EQ(out[54], kIcmp6TooBig);
    EXPECT_EQ(test::get32(out, 58), 1520u);
    // The quote is what the client sent, as far as it goes.
    Packet sent = ipv6_packet(kProtocolTcp, 1300);
    Bytes expected = test::build(sent);
    expected[15] = expected[16] = expected[17] = 0;
    expected[14] = 0x60;
    Bytes got(out.begin() + 62, out.end());
    Bytes want(expected.begin() + 14, expected.begin() + 14 + static_cast<long>(got.size()));
    if (quoted < 38) got.resize(40), want.resize(40);  // Its checksum was not quoted.
    EXPECT_EQ(got, want) << quoted;
  }
}

TEST(Nat64, ErrorsOfIpv6CrossToo) {
  Packet inner = ipv6_packet(kProtocolUdp, 100);
  const Bytes about = test::build(inner);
  Packet p;
  p.source = "2001:db8::99";
  p.destination = "2001:db8:1::1";
  p.protocol = kProtocolIcmp6;
  p.icmp_type = kIcmp6Unreachable;
  Bytes error = test::build(p);
  error[55] = 4;
  error.resize(62);
  error[58] = error[59] = error[60] = error[61] = 0;
  error.insert(error.end(), about.begin() + 14, about.end());
  error[18] = 0;
  error[19] = static_cast<std::uint8_t>(error.size() - 54);
  Buffer b(error, 0);
  Quote<Ipv6> quote;
  ASSERT_EQ(find_quote<Ipv6>(b.frame.frame, b.frame.length, b.frame.l4, b.frame.end, quote),
            DropReason::none);
  ErrorTranslation<Ipv4> t;
  t.quoted_source = kBackend;
  t.quoted_destination = kSource;
  t.source = kSource.address;
  t.destination = kBackend.address;
  Bytes out(14 + 1280, 0);
  out[12] = 8;
  const std::uint32_t bytes = cross_error<Ipv6>(b.frame, quote, t, 0x4321, out.data() + 14, 1280);
  ASSERT_EQ(bytes, 20u + 8 + 20 + 8 + 100);
  out.resize(14 + bytes);
  const test::Decoded d = test::decode(out);
  EXPECT_TRUE(d.ip_checksum_right);
  EXPECT_EQ(test::plain_sum(out.data() + 34, bytes - 20), 0xffffu);
  EXPECT_EQ(test::get16(out, 18), 0x4321);
  EXPECT_EQ(test::get16(out, 20), 0);  // It may be fragmented, so its id counts.
  EXPECT_EQ(out[34], 3);
  EXPECT_EQ(out[35], 3);
  Bytes quoted(out.begin(), out.begin() + 14);
  quoted.insert(quoted.end(), out.begin() + 42, out.end());
  const test::Decoded q = test::decode(quoted);
  EXPECT_EQ(q.source, "10.0.0.1");
  EXPECT_EQ(q.source_port, 8080u);
  EXPECT_EQ(q.destination, "10.0.0.254");
  EXPECT_EQ(q.destination_port, 20000u);
  EXPECT_EQ(q.ttl, 64u);
  EXPECT_TRUE(q.ip_checksum_right && q.l4_checksum_right);
}

}  // namespace
}  // namespace sluice
