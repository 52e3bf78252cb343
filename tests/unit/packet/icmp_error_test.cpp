// ICMP errors: finding what they quote, and translating it. Expectations are packets built from
// scratch.
#include "dataplane/packet/icmp_error.h"

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice {
namespace {

using namespace test;

template <typename Family>
class IcmpError : public testing::Test {
 public:
  static constexpr bool kV4 = Family::kAddressBytes == 4;
  static std::string address(unsigned n) {
    return (kV4 ? "10.0.0." : "fd00::") + std::to_string(n);
  }
  static typename Family::Address raw(unsigned n) {
    const IpAddress parsed = *IpAddress::parse(address(n));
    return read_address<Family>(parsed.data());
  }
  static Packet quoted(std::uint8_t protocol = kProtocolTcp) {
    Packet p;
    p.source = address(1);
    p.destination = address(2);
    p.source_port = 80;
    p.destination_port = 40000;
    p.protocol = protocol;
    p.payload = 30;
    p.flags = kTcpAck;
    return p;
  }
  // From 9 to 1, about a packet from 1 to 2, of which `bytes` are quoted.
  static Bytes error(const Bytes& quoted_frame, std::size_t bytes = ~std::size_t{0},
                     unsigned source = 9, unsigned destination = 1, std::uint32_t word = 1400,
                     unsigned ttl = 64) {
    const std::size_t l3 = 14;
    bytes = std::min(bytes, quoted_frame.size() - l3);
    Packet p;
    p.source = address(source);
    p.destination = address(destination);
    p.protocol = kV4 ? kProtocolIcmp : kProtocolIcmp6;
    p.ttl = ttl;
    p.payload = static_cast<unsigned>(bytes);
    Bytes b = build(p);
    const std::size_t l4 = decode(b).l4;
    b[l4] = kV4 ? 3 : 2;
    b[l4 + 1] = kV4 ? 4 : 0;
    for (unsigned i = 0; i < 4; ++i)
      b[l4 + 4 + i] = static_cast<std::uint8_t>(word >> (24 - 8 * i));
    std::copy_n(quoted_frame.begin() + static_cast<long>(l3), bytes,
                b.begin() + static_cast<long>(l4) + 8);
    b[l4 + 2] = b[l4 + 3] = 0;
    unsigned sum = plain_sum(b.data() + l4, b.size() - l4);
    if (!kV4) {
      const std::uint8_t rest[4] = {0, 58, static_cast<std::uint8_t>((b.size() - l4) >> 8),
                                    static_cast<std::uint8_t>(b.size() - l4)};
      sum = plain_sum(rest, 4, plain_sum(b.data() + 22, 32, sum));
    }
    b[l4 + 2] = static_cast<std::uint8_t>(~sum >> 8);
    b[l4 + 3] = static_cast<std::uint8_t>(~sum);
    return b;
  }
  // On an exact heap copy, so that reads beyond it are seen.
  static DropReason find(const Bytes& frame, Quote<Family>& out, std::size_t contiguous = 0) {
    if (contiguous == 0) contiguous = frame.size();
    const auto copy = exact(frame, contiguous);
    const Decoded d = decode(frame);
    return find_quote<Family>(copy.get(), static_cast<std::uint32_t>(contiguous),
                              static_cast<std::uint32_t>(d.l4),
                              static_cast<std::uint32_t>(d.l3 + d.ip_bytes), out);
  }
  static std::uint32_t transport_at(const Bytes& frame) {
    const Decoded d = decode(frame);
    return static_cast<std::uint32_t>(d.l4 + 8 + (kV4 ? 20 : 40));
  }
};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(IcmpError, Families);

TYPED_TEST(IcmpError, FindsTheTuple) {
  for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
    const Bytes frame = this->error(build(this->quoted(protocol)));
    Quote<TypeParam> quote;
    ASSERT_EQ(this->find(frame, quote), DropReason::none);
    EXPECT_EQ(quote.protocol, protocol);
    EXPECT_EQ(quote.source, this->raw(1));
    EXPECT_EQ(quote.destination, this->raw(2));
    EXPECT_EQ(quote.source_port.host(), 80);
    EXPECT_EQ(quote.destination_port.host(), 40000);
    EXPECT_EQ(quote.l4, this->transport_at(frame));
    EXPECT_EQ(quote.end, frame.size());
    EXPECT_TRUE(quote.has_ports());
  }
}

TYPED_TEST(IcmpError, ReadsOverOptionsAndExtensionHeaders) {
  Packet p = this->quoted();
  p.ip_options = Bytes(12, 1);
  p.extensions = {{kIpv6HopByHop, Bytes{0, 0, 1, 4, 0, 0, 0, 0}},
                  {kIpv6DestinationOptions, Bytes{0, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
                  {kIpv6Fragment, Bytes{0, 0, 0, 1, 0, 0, 0, 9}}};
  Quote<TypeParam> quote;
  const Bytes frame = this->error(build(p));
  ASSERT_EQ(this->find(frame, quote), DropReason::none);
  EXPECT_EQ(quote.source_port.host(), 80);
  EXPECT_EQ(quote.protocol, kProtocolTcp);
  EXPECT_EQ(quote.l4, this->transport_at(frame) + (this->kV4 ? 12 : 32));
}

TYPED_TEST(IcmpError, ALaterFragmentHasNoPorts) {
  Packet p = this->quoted();
  p.fragment = 100;
  p.extensions = {{kIpv6Fragment, Bytes{0, 0, 0x10, 0, 0, 0, 0, 9}}};
  Quote<TypeParam> quote;
  ASSERT_EQ(this->find(this->error(build(p)), quote), DropReason::none);
  EXPECT_TRUE(quote.later_fragment);
  EXPECT_FALSE(quote.has_ports());
  EXPECT_EQ(quote.source_port.host(), 0);
}

TYPED_TEST(IcmpError, NeedsEightBytesOfTransport) {
  const Bytes whole = build(this->quoted());
  const std::size_t headers = this->kV4 ? 20 : 40;
  for (std::size_t bytes = 0; bytes < whole.size() - 14; ++bytes) {
    Quote<TypeParam> quote;
    const DropReason reason = this->find(this->error(whole, bytes), quote);
    EXPECT_EQ(reason, bytes >= headers + 8 ? DropReason::none : DropReason::icmp_quote) << bytes;
  }
}

TYPED_TEST(IcmpError, LiesAreRefused) {
  const Bytes good = this->error(build(this->quoted()));
  const std::size_t at = decode(good).l4 + 8;
  Quote<TypeParam> quote;
  const auto lie = [&](std::size_t byte, std::uint8_t value) {
    Bytes bad = good;
    bad.at(at + byte) = value;
    return this->find(bad, quote);
  };
  if (this->kV4) {
    EXPECT_EQ(lie(0, 0x65), DropReason::icmp_quote) << "version";
    EXPECT_EQ(lie(0, 0x44), DropReason::icmp_quote) << "header too short";
    EXPECT_EQ(lie(0, 0x4f), DropReason::none) << "options for all we know";
    EXPECT_EQ(lie(3, 19), DropReason::icmp_quote) << "total length below the header's";
    EXPECT_EQ(lie(3, 27), DropReason::icmp_quote) << "too little transport";
  } else {
    EXPECT_EQ(lie(0, 0x40), DropReason::icmp_quote) << "version";
    EXPECT_EQ(lie(5, 7), DropReason::icmp_quote) << "too little transport";
    EXPECT_EQ(lie(6, kIpv6Routing), DropReason::icmp_quote) << "extension beyond the quote";
  }
}

TYPED_TEST(IcmpError, NothingIsReadBeyondTheFirstBuffer) {
  const Bytes frame = this->error(build(this->quoted()));
  const std::uint32_t enough = this->transport_at(frame) + 8;
  for (std::size_t contiguous = decode(frame).l4 + 8; contiguous < frame.size(); ++contiguous) {
    Quote<TypeParam> quote;
    EXPECT_EQ(this->find(frame, quote, contiguous),
              contiguous >= enough ? DropReason::none : DropReason::split_header);
    if (contiguous >= enough) {
      EXPECT_EQ(quote.end, contiguous);
    }
  }
}

// A translated error equals the error about the translated packet, byte for byte.
TYPED_TEST(IcmpError, TranslatesInsideAndOut) {
  const std::size_t headers = this->kV4 ? 20 : 40;
  for (const std::uint8_t protocol : {kProtocolTcp, kProtocolUdp}) {
    for (const std::size_t bytes :
         {headers + 8, headers + 16, headers + 18, headers + 21, ~headers}) {
      SCOPED_TRACE(std::to_string(protocol) + " " + std::to_string(bytes));
      const Packet before = this->quoted(protocol);
      Packet after = before;
      after.source = this->address(21);
      after.source_port = 8080;
      after.destination = this->address(22);
      after.destination_port = 20001;
      if (protocol == kProtocolTcp) after.sequence = before.sequence + 0xfffffff0;
      Bytes frame = this->error(build(before), bytes);
      Quote<TypeParam> quote;
      ASSERT_EQ(this->find(frame, quote), DropReason::none);
      ErrorTranslation<TypeParam> translation;
      translation.quoted_source = {this->raw(21), Be16::from_host(8080)};
      translation.quoted_destination = {this->raw(22), Be16::from_host(20001)};
      translation.source = this->raw(22);
      translation.destination = this->raw(21);
      translation.sequence_delta = 0xfffffff0;
      const Decoded d = decode(frame);
      translate_error<TypeParam>(frame.data(), static_cast<std::uint32_t>(d.l3),
                                 static_cast<std::uint32_t>(d.l4), quote, translation);
      EXPECT_EQ(frame, this->error(build(after), bytes, 22, 21, 1400, 63));
    }
  }
}

TYPED_TEST(IcmpError, WithoutAUdpChecksumStaysWithout) {
  if (!this->kV4) GTEST_SKIP();
  Packet before = this->quoted(kProtocolUdp), after = before;
  before.udp_checksum = after.udp_checksum = false;
  after.source = this->address(21);
  Bytes frame = this->error(build(before));
  Quote<TypeParam> quote;
  ASSERT_EQ(this->find(frame, quote), DropReason::none);
  translate_error<TypeParam>(frame.data(), 14, static_cast<std::uint32_t>(decode(frame).l4), quote,
                             {{this->raw(21), Be16::from_host(80)},
                              {this->raw(2), Be16::from_host(40000)},
                              this->raw(9),
                              this->raw(1),
                              0});
  EXPECT_EQ(frame, this->error(build(after), ~std::size_t{0}, 9, 1, 1400, 63));
}

TYPED_TEST(IcmpError, AWrongChecksumStaysWrong) {
  Bytes frame = this->error(build(this->quoted()));
  const Decoded d = decode(frame);
  const auto right = [&] {
    return icmp_checksum_right<TypeParam>(frame.data() + d.l3, frame.data() + d.l4,
                                          static_cast<std::uint32_t>(frame.size() - d.l4));
  };
  EXPECT_TRUE(right());
  frame.back() ^= 1;
  EXPECT_FALSE(right());
  Quote<TypeParam> quote;
  ASSERT_EQ(this->find(frame, quote), DropReason::none);
  translate_error<TypeParam>(frame.data(), 14, static_cast<std::uint32_t>(d.l4), quote,
                             {{this->raw(21), Be16::from_host(81)},
                              {this->raw(2), Be16::from_host(4)},
                              this->raw(9),
                              this->raw(3),
                              0});
  EXPECT_FALSE(right());
}

TYPED_TEST(IcmpError, MtuIsReadAndWritten) {
  Bytes frame = this->error(build(this->quoted()), 60, 9, 1, 0x0000'0578);
  std::uint8_t* icmp = frame.data() + decode(frame).l4;
  EXPECT_EQ(read_mtu<TypeParam>(icmp), 1400u);
  write_mtu<TypeParam>(icmp, 1380);
  EXPECT_EQ(frame, this->error(build(this->quoted()), 60, 9, 1, 1380));
  write_mtu<TypeParam>(icmp, 100000);
  EXPECT_EQ(read_mtu<TypeParam>(icmp), this->kV4 ? 65535u : 100000u);
  EXPECT_TRUE(decode(frame).l4_checksum_right);
}

TYPED_TEST(IcmpError, TypesThatAreErrors) {
  std::vector<unsigned> errors, silent;
  for (unsigned type = 0; type < 256; ++type) {
    if (is_icmp_error<TypeParam>(static_cast<std::uint8_t>(type))) errors.push_back(type);
    if (never_answered<TypeParam>(static_cast<std::uint8_t>(type))) silent.push_back(type);
  }
  using List = std::vector<unsigned>;
  EXPECT_EQ(errors, this->kV4 ? (List{3, 11, 12}) : (List{1, 2, 3, 4}));
  if (this->kV4) {
    EXPECT_EQ(silent, (List{3, 4, 5, 11, 12}));
  } else {
    EXPECT_EQ(silent.size(), 129u);
  }
}

}  // namespace
}  // namespace sluice
