#include "dataplane/packet/sctp.h"

#include <gtest/gtest.h>

#include <random>

#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;

void put_checksum(Bytes& packet) {
  std::memset(packet.data() + 8, 0, 4);
  const std::uint32_t crc = crc32c(packet.data(), packet.size());
  for (unsigned i = 0; i < 4; ++i) packet[8 + i] = static_cast<std::uint8_t>(crc >> (8 * i));
}

// RFC 3720 B.4: CRC examples of iSCSI, which uses the same CRC32c.
TEST(Sctp, Crc32cOfKnownBytes) {
  Bytes bytes(32, 0);
  EXPECT_EQ(crc32c(bytes.data(), bytes.size()), 0x8a9136aau);
  bytes.assign(32, 0xff);
  EXPECT_EQ(crc32c(bytes.data(), bytes.size()), 0x62a8ab43u);
  for (unsigned i = 0; i < 32; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  EXPECT_EQ(crc32c(bytes.data(), bytes.size()), 0x46dd794eu);
  const std::string digits = "123456789";
  EXPECT_EQ(crc32c(reinterpret_cast<const std::uint8_t*>(digits.data()), digits.size()),
            0xe3069283u);
}

TEST(Sctp, ChecksumEqualsFullRecomputation) {
  std::mt19937 random(3);
  for (unsigned round = 0; round < 400; ++round) {
    const std::size_t bytes = round < 300 ? 12 + round : 12 + random() % 65524;
    Bytes packet(bytes);
    for (auto& byte : packet) byte = static_cast<std::uint8_t>(random());
    put_checksum(packet);
    const auto source = Be16::from_host(static_cast<std::uint16_t>(random()));
    const auto destination = Be16::from_host(static_cast<std::uint16_t>(random()));
    Bytes translated = packet;
    translate_sctp_ports(translated.data(), static_cast<std::uint32_t>(bytes), source, destination);
    Bytes expected = packet;
    std::memcpy(expected.data(), &source, 2);
    std::memcpy(expected.data() + 2, &destination, 2);
    put_checksum(expected);
    ASSERT_EQ(translated, expected) << bytes;
  }
}

TEST(Sctp, WrongChecksumStaysWrongAndNoneStaysNone) {
  Bytes packet(100, 0x5a);
  put_checksum(packet);
  packet[50] ^= 1;  // On the way.
  translate_sctp_ports(packet.data(), 100, Be16::from_host(1), Be16::from_host(2));
  Bytes recomputed = packet;
  put_checksum(recomputed);
  EXPECT_NE(packet, recomputed);

  Bytes none(100, 0x5a);
  std::memset(none.data() + 8, 0, 4);
  translate_sctp_ports(none.data(), 100, Be16::from_host(1), Be16::from_host(2));
  EXPECT_EQ(test::get32(none, 8), 0u);
  EXPECT_EQ(test::get32(none, 0), 0x00010002u);
}

}  // namespace
}  // namespace sluice
