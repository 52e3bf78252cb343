#include "dataplane/forward/tcp_translation.h"

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <random>

#include "../packet/packets.h"

namespace sluice {
namespace {

using test::Bytes;
using test::Packet;

template <typename Family>
struct Names;
template <>
struct Names<Ipv4> {
  static constexpr const char* kClient = "192.0.2.1";
  static constexpr const char* kVip = "198.51.100.1";
};
template <>
struct Names<Ipv6> {
  static constexpr const char* kClient = "2001:db8::1";
  static constexpr const char* kVip = "2001:db8:1::1";
};

template <typename Family>
Endpoint<Family> endpoint(const char* address, std::uint16_t port) {
  Endpoint<Family> e;
  std::memcpy(e.address.data(), IpAddress::parse(address)->data(), Family::kAddressBytes);
  e.port = Be16::from_host(port);
  return e;
}

// A packet with headroom, as it lies in a buffer.
struct Frame {
  Bytes buffer;
  std::size_t at;
  std::size_t l3, l4;
  explicit Frame(const Packet& p) {
    const Bytes b = test::build(p);
    const test::Decoded d = test::decode(b);
    at = 64;
    l3 = d.l3;
    l4 = d.l4;
    buffer.assign(at, 0xee);
    buffer.insert(buffer.end(), b.begin(), b.end());
  }
  std::uint8_t* data() { return buffer.data() + at; }
  std::uint8_t* tcp() { return data() + l4; }
  Bytes bytes() const {
    return Bytes(buffer.begin() + static_cast<std::ptrdiff_t>(at), buffer.end());
  }
  std::uint32_t number(std::size_t offset) { return read32(tcp() + offset); }
};

Bytes timestamps(std::uint32_t value, std::uint32_t echo) {
  Bytes b = {1, 1, 8, 10};
  test::put32(b, value);
  test::put32(b, echo);
  return b;
}

template <typename Family>
Packet from_client() {
  Packet p;
  p.source = Names<Family>::kClient;
  p.destination = Names<Family>::kVip;
  p.source_port = 40000;
  p.destination_port = 443;
  return p;
}
template <typename Family>
Packet from_backend() {
  Packet p;
  p.source = Names<Family>::kVip;
  p.destination = Names<Family>::kClient;
  p.flags = kTcpAck;
  return p;
}

template <typename Family>
class TcpTranslationTest : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(TcpTranslationTest, Families);

template <typename Family>
TcpTranslation begin(std::uint32_t isn, bool proxy, const Bytes& options = {},
                     std::uint32_t milliseconds = 0) {
  Packet syn = from_client<Family>();
  syn.sequence = isn;
  syn.tcp_options = options;
  Frame frame(syn);
  return begin_tcp_translation<Family>(frame.tcp(), proxy, milliseconds);
}

TYPED_TEST(TcpTranslationTest, NothingToDo) {
  EXPECT_FALSE(begin<TypeParam>(1, false).any());
  EXPECT_EQ(begin<TypeParam>(1, false).header_bytes(), 0u);
}

TYPED_TEST(TcpTranslationTest, BackendsSeeTheGatewaysClock) {
  const TcpTranslation t = begin<TypeParam>(1, false, timestamps(0xfffffff0, 0), 5000);
  Packet p = from_client<TypeParam>();
  p.tcp_options = timestamps(0xfffffff0 + 30, 777);
  Frame forward(p);
  translate_tcp_to_backend(t, forward.tcp());
  EXPECT_EQ(forward.number(24), 5030u);
  EXPECT_EQ(forward.number(28), 777u);
  EXPECT_TRUE(test::decode(forward.bytes()).l4_checksum_right);

  Packet r = from_backend<TypeParam>();
  r.tcp_options = timestamps(999, 5030);
  Frame reply(r);
  translate_tcp_to_client(t, reply.tcp());
  EXPECT_EQ(reply.number(24), 999u);
  EXPECT_EQ(reply.number(28), 0xfffffff0u + 30);
  EXPECT_TRUE(test::decode(reply.bytes()).l4_checksum_right);
}

// The bytes of the specification, written out.
TEST(ProxyProtocol, HeaderIpv4) {
  std::uint8_t out[28];
  write_proxy_header<Ipv4>(out, endpoint<Ipv4>("192.0.2.1", 40000),
                           endpoint<Ipv4>("198.51.100.1", 443));
  const Bytes expected = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49,
                          0x54, 0x0a, 0x21, 0x11, 0x00, 0x0c, 192,  0,    2,    1,
                          198,  51,   100,  1,    0x9c, 0x40, 0x01, 0xbb};
  EXPECT_EQ(Bytes(out, out + sizeof(out)), expected);
}

TEST(ProxyProtocol, HeaderIpv6) {
  std::uint8_t out[52];
  write_proxy_header<Ipv6>(out, endpoint<Ipv6>("2001:db8::1", 40000),
                           endpoint<Ipv6>("2001:db8:1::1", 443));
  const Bytes expected = {0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54,
                          0x0a, 0x21, 0x21, 0x00, 0x24, 0x20, 0x01, 0x0d, 0xb8, 0,    0,
                          0,    0,    0,    0,    0,    0,    0,    0,    0,    1,    0x20,
                          0x01, 0x0d, 0xb8, 0,    1,    0,    0,    0,    0,    0,    0,
                          0,    0,    0,    1,    0x9c, 0x40, 0x01, 0xbb};
  EXPECT_EQ(Bytes(out, out + sizeof(out)), expected);
}

TYPED_TEST(TcpTranslationTest, HeaderGoesIntoTheHandshakesAck) {
  for (const unsigned payload : {0u, 1u, 100u}) {
    for (const bool urgent : {false, true}) {
      const TcpTranslation t = begin<TypeParam>(99, true);
      Packet p = from_client<TypeParam>();
      p.sequence = 100;
      p.flags = static_cast<std::uint8_t>(kTcpAck | (urgent ? kTcpUrg : 0));
      p.tcp_options = timestamps(1, 2);
      p.payload = payload;
      const Bytes plain = test::build(p);
      Frame frame(p);
      ASSERT_TRUE(carries_proxy_header(t, frame.tcp()));
      translate_tcp_to_backend(t, frame.tcp());
      const auto client = endpoint<TypeParam>(Names<TypeParam>::kClient, 40000);
      const auto vip = endpoint<TypeParam>(Names<TypeParam>::kVip, 443);
      const std::uint8_t* moved =
          insert_proxy_header<TypeParam>(frame.data(), static_cast<std::uint32_t>(frame.l3),
                                         static_cast<std::uint32_t>(frame.l4), client, vip);
      constexpr std::size_t kBytes = kProxyHeaderBytes<TypeParam>;
      ASSERT_EQ(moved, frame.data() - kBytes);
      frame.at -= kBytes;
      const Bytes b = frame.bytes();
      const test::Decoded d = test::decode(b);
      ASSERT_EQ(b.size(), plain.size() + kBytes);
      EXPECT_EQ(d.l3 + d.ip_bytes, b.size());
      EXPECT_TRUE(d.ip_checksum_right);
      EXPECT_TRUE(d.l4_checksum_right);
      EXPECT_EQ(frame.number(4), 100u);
      EXPECT_EQ(d.flags, p.flags | kTcpPsh);
      EXPECT_EQ(test::get16(b, d.l4 + 18), urgent ? kBytes : 0);
      std::uint8_t header[kBytes];
      write_proxy_header(header, client, vip);
      EXPECT_EQ(std::memcmp(b.data() + d.l4 + 32, header, kBytes), 0);
      EXPECT_TRUE(std::equal(b.end() - payload, b.end(), plain.end() - payload));
    }
  }
}

TYPED_TEST(TcpTranslationTest, HeaderDoesNotFitIntoAnEnormousPacket) {
  Packet p = from_client<TypeParam>();
  p.flags = kTcpAck;
  p.payload = 65535 - 40 - 20;
  Frame frame(p);
  const Bytes before = frame.bytes();
  const auto e = endpoint<TypeParam>(Names<TypeParam>::kClient, 1);
  const bool v4 = TypeParam::kAddressBytes == 4;
  const std::uint8_t* moved =
      insert_proxy_header<TypeParam>(frame.data(), static_cast<std::uint32_t>(frame.l3),
                                     static_cast<std::uint32_t>(frame.l4), e, e);
  EXPECT_EQ(moved, nullptr) << v4;
  EXPECT_EQ(frame.bytes(), before);
}

TYPED_TEST(TcpTranslationTest, WhatCarriesTheHeader) {
  TcpTranslation t = begin<TypeParam>(0xffffffff, true);  // Its first byte is number 0.
  const auto carries = [&t](std::uint32_t sequence, std::uint8_t flags) {
    Packet p = from_client<TypeParam>();
    p.sequence = sequence;
    p.flags = flags;
    Frame frame(p);
    return carries_proxy_header(t, frame.tcp());
  };
  EXPECT_TRUE(carries(0, kTcpAck));
  EXPECT_TRUE(carries(0, kTcpAck | kTcpFin));
  EXPECT_FALSE(carries(0, kTcpAck | kTcpRst));
  EXPECT_FALSE(carries(0, kTcpRst));
  EXPECT_FALSE(carries(0xffffffff, kTcpSyn));
  EXPECT_FALSE(carries(0xffffffff, kTcpAck));  // A keep-alive.
  EXPECT_FALSE(carries(1, kTcpAck));
  const std::uint32_t header = t.header_bytes();
  saw_backend_acknowledgment(t, 0);
  saw_backend_acknowledgment(t, header - 1);
  EXPECT_TRUE(carries(0, kTcpAck));
  saw_backend_acknowledgment(t, header);
  EXPECT_FALSE(carries(0, kTcpAck));
}

// A backend that still holds an older connection of this port answers the SYN with that one's
// numbers.
TYPED_TEST(TcpTranslationTest, AnotherConnectionsNumbersAcknowledgeNoHeader) {
  TcpTranslation t = begin<TypeParam>(999, true);
  const std::uint32_t behind_header = 1000 + t.header_bytes();
  for (const std::uint32_t strange : {behind_header + 0x10001, behind_header + (1u << 29),
                                      behind_header - 1, behind_header + 0x80000000u}) {
    saw_backend_acknowledgment(t, strange);
    EXPECT_FALSE(t.acknowledged()) << strange;
  }
  saw_backend_acknowledgment(t, behind_header + 0x10000);
  EXPECT_TRUE(t.acknowledged());
}

TYPED_TEST(TcpTranslationTest, NumbersBeforeTheHeaderIsAcknowledged) {
  const TcpTranslation t = begin<TypeParam>(999, true);
  const std::uint32_t header = t.header_bytes();
  EXPECT_EQ(t.sequence_for_backend(999), 999u);
  EXPECT_EQ(t.sequence_for_backend(1000), 1000u);  // The header's place.
  EXPECT_EQ(t.sequence_for_backend(1001), 1001 + header);
  EXPECT_EQ(t.acknowledgment_for_client(1000), 1000u);
  EXPECT_EQ(t.acknowledgment_for_client(1001), 1000u);
  EXPECT_EQ(t.acknowledgment_for_client(1000 + header), 1000u);
  EXPECT_EQ(t.acknowledgment_for_client(1000 + header + 5), 1005u);
}

// All numbers come round after 4 GiB, the ones at the start among them.
TYPED_TEST(TcpTranslationTest, NumbersOfALongStream) {
  TcpTranslation t = begin<TypeParam>(0xfffffff0, true);
  const std::uint32_t header = t.header_bytes(), first = 0xfffffff1;
  for (std::uint64_t sent = 0; sent < std::uint64_t{3} << 32; sent += 99991 * 512) {
    const auto backend = static_cast<std::uint32_t>(first + header + sent);
    saw_backend_acknowledgment(t, backend);
    ASSERT_TRUE(t.acknowledged());
    ASSERT_EQ(t.acknowledgment_for_client(backend), static_cast<std::uint32_t>(first + sent));
    ASSERT_EQ(t.sequence_for_backend(static_cast<std::uint32_t>(first + sent)), backend);
  }
  for (std::uint32_t near = 0; near < 200; ++near) {
    saw_backend_acknowledgment(t, first + near);
    ASSERT_EQ(t.acknowledgment_for_client(first + near), first + near - header);
    ASSERT_EQ(t.sequence_for_backend(first + near), first + near + header);
  }
}

TYPED_TEST(TcpTranslationTest, ResetsAndSyns) {
  TcpTranslation t = begin<TypeParam>(99, true, timestamps(5, 0), 100);
  Packet syn = from_client<TypeParam>();
  syn.sequence = 99;
  syn.tcp_options = {34, 4, 1, 2, 1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 0};
  Frame again(syn);
  translate_tcp_to_backend(t, again.tcp());
  EXPECT_EQ(again.number(4), 99u);
  EXPECT_EQ(again.number(20), 0x01010101u);  // No Fast Open.
  EXPECT_EQ(again.number(28), 100u);
  EXPECT_TRUE(test::decode(again.bytes()).l4_checksum_right);

  Packet reset = from_backend<TypeParam>();
  reset.flags = kTcpRst;  // Its acknowledgment field means nothing.
  reset.acknowledgment = 0;
  Frame from(reset);
  const Bytes before = from.bytes();
  translate_tcp_to_client(t, from.tcp());
  EXPECT_EQ(from.bytes(), before);

  saw_backend_acknowledgment(t, 100 + t.header_bytes());
  Packet gone = from_client<TypeParam>();
  gone.sequence = 100;
  gone.flags = kTcpRst;
  Frame to(gone);
  translate_tcp_to_backend(t, to.tcp());
  EXPECT_EQ(to.number(4), 100 + t.header_bytes());
  EXPECT_TRUE(test::decode(to.bytes()).l4_checksum_right);
}

TYPED_TEST(TcpTranslationTest, SackBlocks) {
  TcpTranslation t = begin<TypeParam>(99, true);
  const std::uint32_t header = t.header_bytes();
  Packet p = from_backend<TypeParam>();
  p.acknowledgment = 100;
  p.tcp_options = {1, 1, 5, 18};
  for (const std::uint32_t edge : {100u, 100 + header, 100 + header + 50, 100 + header + 90})
    test::put32(p.tcp_options, edge);
  Frame frame(p);
  translate_tcp_to_client(t, frame.tcp());
  EXPECT_EQ(frame.number(24), 100u);  // The header, twice received: an empty block.
  EXPECT_EQ(frame.number(28), 100u);
  EXPECT_EQ(frame.number(32), 150u);
  EXPECT_EQ(frame.number(36), 190u);
  EXPECT_TRUE(test::decode(frame.bytes()).l4_checksum_right);
}

TEST(Mss, FitsTheMtu) {
  EXPECT_EQ(mss_for<Ipv4>(1500, 0), 1460);
  EXPECT_EQ(mss_for<Ipv6>(1500, 0), 1440);
  EXPECT_EQ(mss_for<Ipv4>(1500, 50 + 28), 1382);
  EXPECT_EQ(mss_for<Ipv4>(9000, 20), 8940);
  EXPECT_EQ(mss_for<Ipv6>(0, 70), 64);
  EXPECT_EQ(mss_for<Ipv4>(1u << 20, 0), 0xffff);
}

TEST(Mss, OfASynIsClamped) {
  Packet p = from_client<Ipv4>();
  p.tcp_options = {2, 4, 0x23, 0x28};
  Frame frame(p);
  clamp_tcp_mss(frame.tcp(), 1382);
  EXPECT_EQ(frame.number(20), 0x02040566u);
  EXPECT_TRUE(test::decode(frame.bytes()).l4_checksum_right);
}

// A client and a server with the gateway between them, over a network that loses and reorders: the
// server's stream is the header and then the client's bytes; the client never believes more
// received than was. The client sends as TCP does: its window from what is acknowledged, old
// segments again; the server acknowledges what it has and tells of what lies behind a gap.
template <typename Family>
class Conversation {
 public:
  Conversation(unsigned seed, std::uint32_t bytes)
      : random_(seed), isn_(static_cast<std::uint32_t>(random_())) {
    for (std::uint32_t i = 0; i < bytes; ++i) stream_.push_back(static_cast<char>(random_()));
    translation_ = begin<Family>(isn_, true);
    expected_.resize(kProxyHeaderBytes<Family>);
    write_proxy_header(reinterpret_cast<std::uint8_t*>(expected_.data()), client_, vip_);
    expected_ += stream_;
  }

  // Rounds it took; 0: it did not end.
  unsigned run() {
    for (unsigned round = 1; round < 20000; ++round) {
      client_sends();
      if (std::optional<Frame> packet = take(to_server_)) gateway_to_server(*packet);
      server_sends();
      if (std::optional<Frame> packet = take(to_client_)) gateway_to_client(*packet);
      if (testing::Test::HasFatalFailure()) return 0;
      if (acknowledged_ == stream_.size() && received_ == expected_.size()) return round;
    }
    return 0;
  }
  const std::string& received() const { return window_; }
  const std::string& expected() const { return expected_; }

 private:
  bool chance(unsigned percent) { return random_() % 100 < percent; }
  std::optional<Frame> take(std::deque<Frame>& queue) {
    if (queue.empty() || chance(30)) return std::nullopt;
    const std::size_t which = chance(20) ? random_() % queue.size() : 0;
    Frame frame = queue[which];
    queue.erase(queue.begin() + static_cast<std::ptrdiff_t>(which));
    if (chance(15)) return std::nullopt;  // Lost.
    return frame;
  }

  void client_sends() {
    Packet p = from_client<Family>();
    p.flags = kTcpAck;
    const std::size_t from = chance(40) ? acknowledged_ : sent_;
    const std::size_t window = std::min<std::size_t>(stream_.size(), acknowledged_ + 900);
    const std::size_t most = window > from ? window - from : 0;
    const std::size_t bytes = chance(20) ? 0 : std::min<std::size_t>(most, random_() % 200);
    p.sequence = static_cast<std::uint32_t>(isn_ + 1 + from);
    p.payload = static_cast<unsigned>(bytes);
    Frame frame(p);
    // The builder's payload is a pattern; the stream's goes over it, with the checksum.
    std::uint8_t* payload = frame.tcp() + 20;
    ChecksumDelta delta;
    for (std::size_t i = 0; i < bytes; ++i) {
      const auto byte = static_cast<std::uint8_t>(stream_[from + i]);
      const unsigned shift = i % 2 == 0 ? 0 : 8;
      delta.replace(Be16{static_cast<std::uint16_t>(payload[i] << shift)},
                    Be16{static_cast<std::uint16_t>(byte << shift)});
      payload[i] = byte;
    }
    apply_tcp(frame.tcp(), delta);
    sent_ = std::max(sent_, from + bytes);
    to_server_.push_back(frame);
  }

  void gateway_to_server(Frame& frame) {
    const bool carries = carries_proxy_header(translation_, frame.tcp());
    translate_tcp_to_backend(translation_, frame.tcp());
    if (carries) {
      ASSERT_NE(insert_proxy_header<Family>(frame.data(), static_cast<std::uint32_t>(frame.l3),
                                            static_cast<std::uint32_t>(frame.l4), client_, vip_),
                nullptr);
      frame.at -= kProxyHeaderBytes<Family>;
    }
    const Bytes b = frame.bytes();
    ASSERT_TRUE(test::decode(b).l4_checksum_right);
    const std::uint32_t at = frame.number(4) - (isn_ + 1);
    ASSERT_LE(at, expected_.size());
    if (window_.size() < expected_.size()) window_.resize(expected_.size());
    have_.resize(expected_.size());
    for (std::size_t i = frame.l4 + 20; i < b.size(); ++i) {
      const std::size_t place = at + (i - frame.l4 - 20);
      ASSERT_LT(place, expected_.size());
      ASSERT_EQ(static_cast<char>(b[i]), expected_[place]) << place;
      window_[place] = static_cast<char>(b[i]);
      have_[place] = true;
    }
    while (received_ < have_.size() && have_[received_]) ++received_;
  }

  void server_sends() {
    Packet p = from_backend<Family>();
    p.acknowledgment = static_cast<std::uint32_t>(isn_ + 1 + received_);
    std::size_t from = received_, to;
    while (from < have_.size() && !have_[from]) ++from;
    for (to = from; to < have_.size() && have_[to];) ++to;
    if (to > from) {
      p.tcp_options = {1, 1, 5, 10};
      test::put32(p.tcp_options, static_cast<std::uint32_t>(isn_ + 1 + from));
      test::put32(p.tcp_options, static_cast<std::uint32_t>(isn_ + 1 + to));
    }
    to_client_.emplace_back(p);
  }

  void gateway_to_client(Frame& frame) {
    saw_backend_acknowledgment(translation_, frame.number(8));
    const bool sack = frame.tcp()[12] == 0x80 && frame.number(20) == 0x0101050a;
    translate_tcp_to_client(translation_, frame.tcp());
    ASSERT_TRUE(test::decode(frame.bytes()).l4_checksum_right);
    const std::uint32_t acknowledged = frame.number(8) - (isn_ + 1);
    // What the server truly has of the client's bytes.
    const std::size_t header = kProxyHeaderBytes<Family>;
    ASSERT_LE(acknowledged, received_ < header ? 0 : received_ - header);
    acknowledged_ = std::max<std::size_t>(acknowledged_, acknowledged);
    if (!sack) return;
    const std::uint32_t from = frame.number(24) - (isn_ + 1), to = frame.number(28) - (isn_ + 1);
    ASSERT_LE(from, to);
    ASSERT_LE(to, sent_);
    for (std::uint32_t i = from; i < to; ++i) ASSERT_TRUE(have_[header + i]);
  }

  std::mt19937 random_;
  std::uint32_t isn_;
  std::string stream_, expected_, window_;
  std::vector<bool> have_;
  std::size_t acknowledged_ = 0, sent_ = 0, received_ = 0;
  std::deque<Frame> to_server_, to_client_;
  TcpTranslation translation_;
  const Endpoint<Family> client_ = endpoint<Family>(Names<Family>::kClient, 40000),
                         vip_ = endpoint<Family>(Names<Family>::kVip, 443);
};

TYPED_TEST(TcpTranslationTest, StreamsSurviveLossAndReordering) {
  for (unsigned seed = 0; seed < 60; ++seed) {
    Conversation<TypeParam> conversation(seed, seed % 7 == 0 ? 0 : 1 + seed * 97);
    ASSERT_NE(conversation.run(), 0u) << seed;
    ASSERT_EQ(conversation.received(), conversation.expected());
  }
}

}  // namespace
}  // namespace sluice
