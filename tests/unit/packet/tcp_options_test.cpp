#include "dataplane/packet/tcp_options.h"

#include <gtest/gtest.h>

#include <random>

#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Packet;

// A SYN with these options, a multiple of four bytes long; the TCP header is at `l4`.
struct Segment {
  Bytes bytes;
  std::size_t l4;
  explicit Segment(const Bytes& options, const char* source = "192.0.2.1",
                   const char* destination = "198.51.100.1") {
    Packet p;
    p.source = source;
    p.destination = destination;
    p.tcp_options = options;
    p.payload = 7;
    bytes = test::build(p);
    l4 = test::decode(bytes).l4;
  }
  std::uint8_t* tcp() { return bytes.data() + l4; }
  Bytes options() const {
    const std::size_t end = l4 + (bytes[l4 + 12] >> 4) * 4u;
    return Bytes(bytes.begin() + static_cast<std::ptrdiff_t>(l4 + 20),
                 bytes.begin() + static_cast<std::ptrdiff_t>(end));
  }
  bool right() const { return test::decode(bytes).l4_checksum_right; }
};

TEST(TcpOptions, WalkNamesEachOptionOnce) {
  Segment s({2, 4, 5, 180, 1, 3, 3, 7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 9, 9});
  std::vector<std::pair<int, int>> seen;
  for_each_tcp_option(s.tcp(), [&seen](std::uint8_t* option, std::uint32_t bytes) {
    seen.emplace_back(option[0], bytes);
  });
  EXPECT_EQ(seen, (std::vector<std::pair<int, int>>{{2, 4}, {3, 3}, {4, 2}, {8, 10}}));
}

// On heap memory of exactly the header's length, for the address sanitizer.
TEST(TcpOptions, WalkStaysInsideTheHeader) {
  std::mt19937 random(1);
  for (unsigned round = 0; round < 20000; ++round) {
    const std::uint32_t words = 5 + random() % 11;
    Bytes header(words * 4);
    for (auto& byte : header) byte = static_cast<std::uint8_t>(random() % (round % 2 ? 12 : 256));
    header[12] = static_cast<std::uint8_t>(words << 4);
    const auto copy = test::exact(header, header.size());
    ChecksumDelta delta;
    for_each_tcp_option(copy.get(), [&](std::uint8_t* option, std::uint32_t bytes) {
      ASSERT_GE(bytes, 2u);
      ASSERT_GE(option, copy.get() + 20);
      ASSERT_LE(option + bytes, copy.get() + header.size());
    });
    clamp_mss(copy.get(), 1000, delta);
    shift_timestamps(copy.get(), 5, 6, delta);
    translate_sack(
        copy.get(), [](std::uint32_t edge) { return edge - 1; }, delta);
    remove_fast_open(copy.get(), delta);
    for (unsigned i = 0; i < 20; ++i) ASSERT_EQ(copy[i], header[i]);
  }
}

TEST(TcpOptions, MssIsLoweredAndNeverRaised) {
  for (const unsigned odd : {0u, 1u}) {
    Bytes options(odd, 1);
    options.insert(options.end(), {2, 4, 0x05, 0xb4});
    options.resize(8, 0);
    Segment lower(options), keep(options);
    ChecksumDelta delta;
    clamp_mss(lower.tcp(), 1200, delta);
    apply_tcp(lower.tcp(), delta);
    EXPECT_EQ(test::get16(lower.bytes, lower.l4 + 20 + odd + 2), 1200u);
    EXPECT_TRUE(lower.right());
    ChecksumDelta none;
    clamp_mss(keep.tcp(), 1460, none);
    apply_tcp(keep.tcp(), none);
    EXPECT_EQ(keep.options(), options);
    EXPECT_TRUE(keep.right());
  }
}

TEST(TcpOptions, TimestampsAreShiftedWhereverTheyStand) {
  for (unsigned before = 0; before < 4; ++before) {
    Bytes options(before, 1);
    options.insert(options.end(), {8, 10, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 9});
    options.resize(16, 0);
    for (const char* source : {"192.0.2.1", "2001:db8::1"}) {
      const bool v4 = std::string(source).find(':') == std::string::npos;
      Segment s(options, source, v4 ? "198.51.100.1" : "2001:db8::2");
      ChecksumDelta delta;
      shift_timestamps(s.tcp(), 5, 0u - 7, delta);
      apply_tcp(s.tcp(), delta);
      EXPECT_EQ(test::get32(s.bytes, s.l4 + 20 + before + 2), 3u);
      EXPECT_EQ(test::get32(s.bytes, s.l4 + 20 + before + 6), 2u);
      EXPECT_TRUE(s.right()) << before;
    }
  }
}

TEST(TcpOptions, EchoOfNothingStaysNothing) {
  Segment s({1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0});
  ChecksumDelta delta;
  shift_timestamps(s.tcp(), 0, 77, delta);
  apply_tcp(s.tcp(), delta);
  EXPECT_EQ(s.options(), (Bytes{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0}));
}

TEST(TcpOptions, AllSackEdgesAreTranslated) {
  Segment s({1, 1, 5, 18, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 8, 0});
  ChecksumDelta delta;
  translate_sack(
      s.tcp(), [](std::uint32_t edge) { return edge - 0x10; }, delta);
  apply_tcp(s.tcp(), delta);
  EXPECT_EQ(s.options(),
            (Bytes{1, 1, 5, 18, 0, 0, 0, 0xf0, 0, 0, 1, 0xf0, 0, 0, 3, 0xf0, 0, 0, 7, 0xf0}));
  EXPECT_TRUE(s.right());
}

TEST(TcpOptions, FastOpenIsTakenOut) {
  Segment s({2, 4, 5, 180, 34, 6, 1, 2, 3, 4, 254, 4, 0xf9, 0x89, 254, 4, 0x12, 0x34, 1, 1});
  ChecksumDelta delta;
  remove_fast_open(s.tcp(), delta);
  apply_tcp(s.tcp(), delta);
  EXPECT_EQ(s.options(),
            (Bytes{2, 4, 5, 180, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 254, 4, 0x12, 0x34, 1, 1}));
  EXPECT_TRUE(s.right());
}

}  // namespace
}  // namespace sluice
