#include "dataplane/packet/quic.h"

#include <gtest/gtest.h>

#include "packets.h"

namespace sluice {
namespace {

using test::Bytes;

QuicServer server_of(const Bytes& payload) {
  const auto copy = test::exact(payload, payload.size());
  return quic_server(copy.get(), static_cast<std::uint32_t>(payload.size()));
}

// A short header with spin bit and a connection ID whose server ID is 10.1.2.3.
TEST(Quic, ShortHeaderNamesIpv4Backend) {
  const QuicServer server = server_of({0x40, 0x07, 10, 1, 2, 3, 0xaa, 0xbb, 0xcc, 0xdd, 1, 2});
  ASSERT_EQ(server.bytes, 8);
  const std::uint8_t address[] = {10, 1, 2, 3};
  EXPECT_EQ(quic_server_key(server.id, 4), quic_server_key_of(address, 4));
}

TEST(Quic, ShortHeaderNamesIpv6Backend) {
  const QuicServer server = server_of({0x61, 0x29, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  ASSERT_EQ(server.bytes, 8);
  const std::uint8_t address[] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(quic_server_key(server.id, 8), quic_server_key_of(address, 16));
}

TEST(Quic, WhatNamesNoServer) {
  // Long header: RFC 9000's Initial.
  EXPECT_EQ(server_of({0xc3, 0, 0, 0, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0}).bytes, 0);
  // Configuration 0b111 is not routable.
  EXPECT_EQ(server_of({0x40, 0xe7, 10, 1, 2, 3, 4, 5, 6, 7, 8}).bytes, 0);
  // Too short, at every length.
  const Bytes all = {0x40, 7, 10, 1, 2, 3, 4, 5, 6, 7, 8};
  EXPECT_EQ(quic_server(all.data(), 0).bytes, 0);
  for (std::size_t bytes = 1; bytes < 6; ++bytes)
    EXPECT_EQ(server_of(Bytes(all.begin(), all.begin() + static_cast<long>(bytes))).bytes, 0);
  EXPECT_EQ(server_of(Bytes(all.begin(), all.begin() + 6)).bytes, 4);
  EXPECT_EQ(server_of(Bytes(all.begin(), all.begin() + 9)).bytes, 7);
}

}  // namespace
}  // namespace sluice
