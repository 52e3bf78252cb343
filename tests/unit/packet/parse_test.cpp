#include "dataplane/packet/parse.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Packet;

struct Parsed {
  PacketKind kind;
  DropReason reason, not_for_vip;
  Form form;
  std::unique_ptr<ParsedBurst> all;
};

// Parses the first `bytes` of the packet on memory of exactly that length.
Parsed parse(const Bytes& packet, std::size_t bytes, std::size_t contiguous) {
  const auto copy = test::exact(packet, contiguous);
  const std::uint8_t* data = copy.get();
  const auto length = static_cast<std::uint32_t>(contiguous);
  const auto total = static_cast<std::uint32_t>(bytes);
  auto out = std::make_unique<ParsedBurst>();
  const std::uint8_t place = 0;
  parse_burst(&data, &length, &total, &place, 1, *out);
  return {out->kind[0], out->reason[0], out->not_for_vip[0], out->form[0], std::move(out)};
}
Parsed parse(const Bytes& packet, std::size_t bytes) {
  return parse(packet, bytes, bytes);
}
Parsed parse(const Bytes& packet) {
  return parse(packet, packet.size());
}

Bytes extension(std::size_t bytes) {
  Bytes e(bytes, 0);
  e[1] = static_cast<std::uint8_t>(bytes / 8 - 1);
  return e;
}

// Every shape that is valid, both families.
std::vector<Packet> valid_packets() {
  std::vector<Packet> all;
  for (bool v6 : {false, true}) {
    Packet base;
    if (v6) {
      base.source = "2001:db8::1";
      base.destination = "2001:db8:1::1";
    }
    for (std::uint8_t protocol :
         {kProtocolTcp, kProtocolUdp, v6 ? kProtocolIcmp6 : kProtocolIcmp}) {
      Packet p = base;
      p.protocol = protocol;
      p.payload = 11;
      all.push_back(p);
      p.vlans = {5};
      all.push_back(p);
      p.vlans = {7, 5};
      all.push_back(p);
      p.vlans = {};
      p.tcp_options = Bytes(12, 1);
      if (v6) {
        p.extensions = {{kIpv6HopByHop, extension(8)},
                        {kIpv6DestinationOptions, extension(24)},
                        {kIpv6Routing, extension(24)},
                        {kIpv6Fragment, Bytes(8, 0)}};
      } else {
        p.ip_options = Bytes(8, 1);
      }
      all.push_back(p);
    }
  }
  return all;
}

// The reason a cut at `at` bytes must be refused for, worked out from the packet's layers.
std::set<DropReason> expected(const Packet& p, std::size_t at) {
  const std::size_t l3 = 14 + 4 * p.vlans.size();
  if (at < l3) return {DropReason::ethernet_truncated};
  if (p.source.find(':') == std::string::npos) {
    if (at < l3 + 20) return {DropReason::ipv4_truncated};
    return {DropReason::ipv4_total_length};  // From here on the length field is readable, and lies.
  }
  if (at < l3 + 40) return {DropReason::ipv6_truncated};
  return {DropReason::ipv6_payload_length};
}

TEST(Parse, AcceptsEveryValidShape) {
  for (const Packet& p : valid_packets()) {
    const Bytes b = test::build(p);
    const Parsed parsed = parse(b);
    const test::Decoded d = test::decode(b);
    ASSERT_EQ(parsed.reason, DropReason::none) << name(parsed.reason);
    EXPECT_EQ(parsed.kind,
              p.source.find(':') == std::string::npos ? PacketKind::ipv4 : PacketKind::ipv6);
    EXPECT_EQ(parsed.not_for_vip, DropReason::none);
    EXPECT_EQ(parsed.all->l3[0], d.l3);
    EXPECT_EQ(parsed.all->l4[0], d.l4);
    EXPECT_EQ(parsed.all->end[0], d.l3 + d.ip_bytes);
    EXPECT_EQ(parsed.all->protocol[0], p.protocol);
    EXPECT_EQ(parsed.all->source_port[0].host(), d.source_port);
    EXPECT_EQ(parsed.all->destination_port[0].host(), d.destination_port);
    EXPECT_EQ(parsed.all->tcp_flags[0], d.flags);
    EXPECT_EQ(parsed.all->vlan_tags[0], p.vlans.size());
  }
}

TEST(Parse, RefusesEveryTruncationAtEveryLength) {
  for (const Packet& p : valid_packets()) {
    const Bytes b = test::build(p);
    for (std::size_t at = 0; at < b.size(); ++at) {
      const Parsed parsed = parse(b, at);
      ASSERT_EQ(parsed.kind, PacketKind::refused) << "cut at " << at << " of " << b.size();
      ASSERT_TRUE(expected(p, at).contains(parsed.reason))
          << "cut at " << at << ": " << name(parsed.reason);
    }
  }
}

// The same cuts with length fields that agree with the cut: the deeper layers must notice.
TEST(Parse, RefusesTruncationInsideTheIpPacket) {
  for (const Packet& p : valid_packets()) {
    const Bytes whole = test::build(p);
    const test::Decoded d = test::decode(whole);
    const bool v6 = p.source.find(':') != std::string::npos;
    const std::size_t l4_header = p.protocol == kProtocolTcp ? 20 + p.tcp_options.size() : 8;
    for (std::size_t at = d.l3 + (v6 ? 40 : 20); at < d.l4 + l4_header; ++at) {
      Bytes b(whole.begin(), whole.begin() + static_cast<long>(at));
      const std::size_t field = v6 ? at - d.l3 - 40 : at - d.l3;
      b[d.l3 + (v6 ? 4 : 2)] = static_cast<std::uint8_t>(field >> 8);
      b[d.l3 + (v6 ? 5 : 3)] = static_cast<std::uint8_t>(field);
      if (!v6) {
        b[d.l3 + 10] = b[d.l3 + 11] = 0;
        const std::size_t header = std::min<std::size_t>(d.l4 - d.l3, at - d.l3);
        const unsigned checksum = ~test::plain_sum(b.data() + d.l3, header) & 0xffff;
        b[d.l3 + 10] = static_cast<std::uint8_t>(checksum >> 8);
        b[d.l3 + 11] = static_cast<std::uint8_t>(checksum);
      }
      const DropReason want =
          at < d.l4 ? (v6 ? DropReason::ipv6_extension_truncated : DropReason::ipv4_header_length)
          : p.protocol == kProtocolTcp
              ? (at < d.l4 + 20 ? DropReason::tcp_truncated : DropReason::tcp_data_offset)
          : p.protocol == kProtocolUdp ? DropReason::udp_truncated
                                       : DropReason::icmp_truncated;
      const Parsed parsed = parse(b);
      ASSERT_EQ(parsed.kind, PacketKind::refused);
      ASSERT_EQ(parsed.reason, want) << name(parsed.reason) << " at " << at;
    }
  }
}

TEST(Parse, HeadersMustBeContiguousButPayloadNeedNot) {
  for (const Packet& p : valid_packets()) {
    const Bytes b = test::build(p);
    const test::Decoded d = test::decode(b);
    const std::size_t fixed = p.protocol == kProtocolTcp ? 20 : 8;
    for (std::size_t contiguous = 0; contiguous <= b.size(); ++contiguous) {
      const Parsed parsed = parse(b, b.size(), contiguous);
      if (contiguous < d.l4 + fixed) {
        ASSERT_EQ(parsed.reason, DropReason::split_header) << contiguous;
      } else {
        ASSERT_EQ(parsed.reason, DropReason::none) << contiguous << " " << name(parsed.reason);
      }
    }
  }
}

TEST(Parse, EachLieHasItsReason) {
  const auto reason_with = [](Packet p, std::size_t at, std::uint8_t value,
                              bool fix_checksum = true) {
    Bytes b = test::build(p);
    b[at] = value;
    if (fix_checksum && p.source.find(':') == std::string::npos) {
      b[24] = b[25] = 0;
      const std::size_t header = std::min<std::size_t>((b[14] & 15u) * 4u, b.size() - 14);
      const unsigned c = ~test::plain_sum(b.data() + 14, header) & 0xffff;
      b[24] = static_cast<std::uint8_t>(c >> 8);
      b[25] = static_cast<std::uint8_t>(c);
    }
    return parse(b).reason;
  };
  Packet v4;
  Packet v6;
  v6.source = "2001:db8::1";
  v6.destination = "2001:db8::2";
  EXPECT_EQ(reason_with(v4, 14, 0x65), DropReason::ipv4_version);
  EXPECT_EQ(reason_with(v4, 14, 0x44), DropReason::ipv4_header_length);
  EXPECT_EQ(reason_with(v4, 14, 0x4f), DropReason::ipv4_header_length);
  EXPECT_EQ(reason_with(v4, 17, 19), DropReason::ipv4_header_length);
  EXPECT_EQ(reason_with(v4, 17, 41), DropReason::ipv4_total_length);
  EXPECT_EQ(reason_with(v4, 16, 0xff), DropReason::ipv4_total_length);
  EXPECT_EQ(reason_with(v4, 22, 63, false), DropReason::ipv4_checksum);
  EXPECT_EQ(reason_with(v4, 34 + 12, 0x40), DropReason::tcp_data_offset);
  EXPECT_EQ(reason_with(v4, 34 + 12, 0x60), DropReason::tcp_data_offset);
  EXPECT_EQ(reason_with(v6, 14, 0x45), DropReason::ipv6_version);
  EXPECT_EQ(reason_with(v6, 19, 21), DropReason::ipv6_payload_length);
  for (Packet p : {v4, v6}) {
    p.protocol = kProtocolUdp;
    p.payload = 4;
    const std::size_t l4 = test::decode(test::build(p)).l4;
    EXPECT_EQ(reason_with(p, l4 + 5, 7), DropReason::udp_length);
    EXPECT_EQ(reason_with(p, l4 + 5, 13), DropReason::udp_length);
    EXPECT_EQ(reason_with(p, l4 + 5, 11), DropReason::none);
  }
}

TEST(Parse, TagsExtensionsAndFragments) {
  Packet p;
  p.vlans = {1, 2, 3};
  EXPECT_EQ(parse(test::build(p)).reason, DropReason::vlan_depth);

  Packet fragment;
  for (unsigned field : {0x2000u, 0x2010u, 0x0010u}) {
    fragment.fragment = field;
    EXPECT_EQ(parse(test::build(fragment)).form,
              field == 0x2000 ? Form::first_fragment : Form::later_fragment);
  }
  fragment.fragment = kIpv4DontFragment;
  EXPECT_EQ(parse(test::build(fragment)).form, Form::whole);

  Packet v6;
  v6.source = "2001:db8::1";
  v6.destination = "2001:db8::2";
  Bytes header(8, 0);
  header[3] = 1;  // More fragments.
  v6.extensions = {{kIpv6Fragment, header}};
  EXPECT_EQ(parse(test::build(v6)).form, Form::first_fragment);
  EXPECT_EQ(parse(test::build(v6)).all->fragment[0], 54);
  v6.extensions[0].second[3] = 9;  // Offset 8.
  EXPECT_EQ(parse(test::build(v6)).form, Form::later_fragment);
  v6.extensions[0].second[3] = 0;
  EXPECT_EQ(parse(test::build(v6)).form, Form::whole) << "atomic, RFC 6946";
  Bytes routing = extension(24);
  routing[3] = 1;
  v6.extensions = {{kIpv6Routing, routing}};
  EXPECT_EQ(parse(test::build(v6)).not_for_vip, DropReason::ipv6_routing_header);
  v6.extensions.assign(8, {kIpv6DestinationOptions, extension(8)});
  EXPECT_EQ(parse(test::build(v6)).reason, DropReason::none);
  v6.extensions.assign(9, {kIpv6DestinationOptions, extension(8)});
  EXPECT_EQ(parse(test::build(v6)).reason, DropReason::ipv6_extension_count);
}

TEST(Parse, OthersAndPaddingPass) {
  Packet p;
  p.padding = 6;
  const Parsed padded = parse(test::build(p));
  EXPECT_EQ(padded.kind, PacketKind::ipv4);
  EXPECT_EQ(padded.all->end[0], 54u);
  Bytes arp(42, 0);
  std::fill_n(arp.begin(), 6, 0xff);
  arp[12] = 0x08;
  arp[13] = 0x06;
  const Parsed other = parse(arp);
  EXPECT_EQ(other.kind, PacketKind::other);
  EXPECT_TRUE(other.all->group[0]);
}

// Whatever the bytes: an accepted packet's offsets lie inside it.
TEST(Parse, RandomDamageNeverLeadsOutside) {
  std::mt19937 random(7);
  const auto packets = valid_packets();
  for (unsigned round = 0; round < 50000; ++round) {
    Bytes b = test::build(packets[random() % packets.size()]);
    for (unsigned n = random() % 4 + 1; n > 0; --n)
      b[random() % b.size()] = static_cast<std::uint8_t>(random());
    const Parsed parsed = parse(b, 1 + random() % b.size());
    if (parsed.kind != PacketKind::ipv4 && parsed.kind != PacketKind::ipv6) continue;
    ASSERT_LE(parsed.all->l3[0], parsed.all->l4[0]);
    ASSERT_LE(parsed.all->l4[0], parsed.all->end[0]);
    ASSERT_LE(parsed.all->end[0], b.size());
  }
}

TEST(DropReasons, HaveDistinctNamesAndHelp) {
  std::set<std::string> names;
  for (unsigned i = 0; i < static_cast<unsigned>(DropReason::count); ++i) {
    const auto reason = static_cast<DropReason>(i);
    EXPECT_TRUE(names.insert(name(reason)).second) << name(reason);
    EXPECT_GT(std::strlen(help(reason)), 5u);
    EXPECT_EQ(std::string(name(reason)).find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace sluice
