#include "dataplane/packet/split.h"

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Packet;

struct Piece {
  Bytes frame;
  std::uint32_t offset = 0, l3_bytes = 0, id = 0;
  bool more = false;
  Bytes payload;
};

template <typename Family>
Piece read(const Bytes& frame) {
  Piece piece;
  piece.frame = frame;
  if constexpr (Family::kAddressBytes == 4) {
    const std::size_t header = (frame.at(14) & 15u) * 4u;
    EXPECT_EQ(test::plain_sum(frame.data() + 14, header), 0xffffu);
    piece.l3_bytes = test::get16(frame, 16);
    piece.id = test::get16(frame, 18);
    piece.offset = (test::get16(frame, 20) & 0x1fff) * 8;
    piece.more = (test::get16(frame, 20) & 0x2000) != 0;
    EXPECT_EQ(test::get16(frame, 20) & 0xc000, 0u);
    piece.payload.assign(frame.begin() + 14 + static_cast<long>(header), frame.end());
  } else {
    piece.l3_bytes = 40 + test::get16(frame, 18);
    EXPECT_EQ(frame.at(20), 44);
    EXPECT_EQ(frame.at(54), 17);
    EXPECT_EQ(frame.at(55), 0);
    piece.id = test::get32(frame, 58);
    piece.offset = test::get16(frame, 56) & 0xfff8;
    piece.more = (test::get16(frame, 56) & 1) != 0;
    piece.payload.assign(frame.begin() + 62, frame.end());
  }
  EXPECT_EQ(frame.size(), 14 + piece.l3_bytes);
  return piece;
}

template <typename Family>
std::vector<Piece> split(const Bytes& packet, std::uint32_t mtu, std::uint32_t id = 0,
                         std::size_t contiguous = ~std::size_t{0}) {
  contiguous = std::min(contiguous, packet.size());
  const auto front = test::exact(packet, contiguous);
  Splitter<Family> splitter(front.get(), static_cast<std::uint32_t>(contiguous),
                            static_cast<std::uint32_t>(packet.size()), mtu, id);
  std::vector<Piece> pieces;
  std::uint8_t headers[kMostFragmentHeaders];
  for (FragmentPiece piece; splitter.next(headers, piece);) {
    Bytes frame(headers, headers + piece.header_bytes);
    frame.insert(frame.end(), packet.begin() + piece.begin, packet.begin() + piece.end);
    pieces.push_back(read<Family>(frame));
  }
  EXPECT_EQ(splitter.ok(), !pieces.empty());
  return pieces;
}

template <typename Family>
Packet datagram(unsigned payload) {
  Packet p;
  p.protocol = kProtocolUdp;
  p.payload = payload;
  if constexpr (Family::kAddressBytes == 16) {
    p.source = "2001:db8::1";
    p.destination = "2001:db8:1::1";
  }
  return p;
}

// Put together again, as a receiver does it.
Bytes join(const std::vector<Piece>& pieces, std::uint32_t mtu, std::uint32_t first = 0) {
  Bytes all;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_LE(pieces[i].l3_bytes, mtu);
    EXPECT_EQ(pieces[i].offset, first + all.size());
    EXPECT_EQ(pieces[i].id, pieces[0].id);
    if (i + 1 < pieces.size()) {
      EXPECT_TRUE(pieces[i].more);
      EXPECT_EQ(pieces[i].payload.size() % 8, 0u);
    }
    all.insert(all.end(), pieces[i].payload.begin(), pieces[i].payload.end());
  }
  return all;
}

template <typename Family>
class SplitTest : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(SplitTest, Families);

TYPED_TEST(SplitTest, FragmentsFitAndGiveTheDatagram) {
  for (unsigned payload = 1390; payload < 3000; payload += 37) {
    for (const std::uint32_t mtu : {1280u, 1400u, 1406u, 1407u}) {
      const Bytes packet = test::build(datagram<TypeParam>(payload));
      const std::size_t l4 = test::decode(packet).l4;
      const std::vector<Piece> pieces = split<TypeParam>(packet, mtu, 0xabcdef01, l4);
      ASSERT_GE(pieces.size(), 2u);
      EXPECT_EQ(join(pieces, mtu), Bytes(packet.begin() + static_cast<long>(l4), packet.end()));
      EXPECT_FALSE(pieces.back().more);
      EXPECT_EQ(pieces[0].id, TypeParam::kAddressBytes == 4 ? 0x1234u : 0xabcdef01u);
    }
  }
}

// What is in the Ethernet frame behind the packet is none of it.
TYPED_TEST(SplitTest, PaddingIsLeftOut) {
  Packet p = datagram<TypeParam>(2000);
  const Bytes plain = test::build(p);
  p.padding = 6;
  const std::vector<Piece> pieces = split<TypeParam>(test::build(p), 1400, 5);
  EXPECT_EQ(join(pieces, 1400),
            Bytes(plain.begin() + static_cast<long>(test::decode(plain).l4), plain.end()));
}

TYPED_TEST(SplitTest, HeadersThatContradictThemselvesAreRefused) {
  const Bytes packet = test::build(datagram<TypeParam>(2000));
  EXPECT_TRUE(split<TypeParam>(packet, 27).empty());
  EXPECT_TRUE(split<TypeParam>(packet, 1400, 1, 20).empty());
  Bytes longer = packet;
  longer.resize(longer.size() - 1);
  EXPECT_TRUE(split<TypeParam>(longer, 1400).empty());
}

TEST(Split, AFragmentIsSplitFurther) {
  for (const bool more : {false, true}) {
    Packet p = datagram<Ipv4>(1492);
    p.fragment = 185 | (more ? kIpv4MoreFragments : 0);
    const Bytes packet = test::build(p);
    const std::vector<Piece> pieces = split<Ipv4>(packet, 1280);
    ASSERT_EQ(pieces.size(), 2u);
    EXPECT_EQ(join(pieces, 1280, 185 * 8), Bytes(packet.begin() + 34, packet.end()));
    EXPECT_EQ(pieces.back().more, more);
  }
}

TEST(Split, AFragmentOfIpv6KeepsItsHeader) {
  Packet p = datagram<Ipv6>(1492);
  p.extensions = {{44, {0, 0, 0x05, 0xc9, 1, 2, 3, 4}}};
  const Bytes packet = test::build(p);
  EXPECT_TRUE(split<Ipv6>(packet, 1280, 9, 60).empty());  // The header is not all there.
  const std::vector<Piece> pieces = split<Ipv6>(packet, 1280, 9);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(join(pieces, 1280, 0x5c8), Bytes(packet.begin() + 62, packet.end()));
  EXPECT_EQ(pieces[0].id, 0x01020304u);
  EXPECT_TRUE(pieces.back().more);
}

// RFC 791 3.1: the highest bit of an option's type says whether it stands in all fragments.
TEST(Split, OptionsThatAreToBeCopiedAre) {
  Packet p = datagram<Ipv4>(2000);
  p.ip_options = {1, 7, 7, 4, 0, 0, 0, 0, 1, 0x83, 7, 4, 192, 0, 2, 9, 0x88, 4, 1, 2, 0, 0, 0, 0};
  const std::vector<Piece> pieces = split<Ipv4>(test::build(p), 1400);
  ASSERT_EQ(pieces.size(), 2u);
  const Bytes& first = pieces[0].frame;
  const Bytes& later = pieces[1].frame;
  EXPECT_EQ(Bytes(first.begin() + 34, first.begin() + 58), p.ip_options);
  EXPECT_EQ(later[14], 0x48);
  EXPECT_EQ(Bytes(later.begin() + 34, later.begin() + 46),
            (Bytes{0x83, 7, 4, 192, 0, 2, 9, 0x88, 4, 1, 2, 0}));
  join(pieces, 1400);
}

TEST(Split, BrokenOptionsEndTheCopying) {
  Packet p = datagram<Ipv4>(2000);
  p.ip_options = {0x83, 1, 0x83, 200};
  const std::vector<Piece> pieces = split<Ipv4>(test::build(p), 1400);
  ASSERT_EQ(pieces.size(), 2u);
  EXPECT_EQ(pieces[1].frame[14], 0x45);
}

}  // namespace
}  // namespace sluice
