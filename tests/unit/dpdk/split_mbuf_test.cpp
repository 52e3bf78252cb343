// Packets longer than their way, as fragments in buffers of their own. Over a running EAL without
// huge pages.
#include "dataplane/dpdk/split_mbuf.h"

#include <gtest/gtest.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <cstring>

#include "../packet/packets.h"
#include "dataplane/dpdk/eal.h"

namespace sluice {
namespace {

constexpr unsigned kBuffers = 16;

class SplitMbuf : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    v1::Dataplane config;
    config.set_socket("/tmp/sluice-unit-" + std::to_string(getpid()) + ".sock");
    config.set_workers(1);
    config.mutable_memory()->set_huge_pages("off");
    config.mutable_memory()->set_packet_buffers(1024);
    auto plan = plan_eal(config, this_machine());
    ASSERT_TRUE(plan.ok()) << plan.error();
    auto started = start_eal(*plan);
    ASSERT_TRUE(started.ok()) << started.error();
    pool =
        rte_pktmbuf_pool_create("few", kBuffers, 0, 0, 1024 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
    ASSERT_NE(pool, nullptr);
  }
  static void TearDownTestSuite() { stop_eal(); }

  // In buffers of at most so many bytes.
  static rte_mbuf* place(const test::Bytes& bytes, std::size_t each) {
    rte_mbuf* whole = nullptr;
    for (std::size_t at = 0; at < bytes.size(); at += each) {
      const std::size_t count = std::min(each, bytes.size() - at);
      rte_mbuf* part = rte_pktmbuf_alloc(pool);
      std::memcpy(rte_pktmbuf_append(part, static_cast<std::uint16_t>(count)), bytes.data() + at,
                  count);
      if (whole == nullptr) {
        whole = part;
      } else {
        EXPECT_EQ(rte_pktmbuf_chain(whole, part), 0);
      }
    }
    return whole;
  }
  static test::Bytes payload_of(const rte_mbuf* fragment, std::size_t headers) {
    EXPECT_EQ(fragment->nb_segs, 1);
    const auto* begin = rte_pktmbuf_mtod(fragment, const std::uint8_t*);
    return test::Bytes(begin + headers, begin + fragment->data_len);
  }
  static test::Bytes datagram(const char* source, const char* destination, unsigned payload) {
    test::Packet p;
    p.source = source;
    p.destination = destination;
    p.protocol = kProtocolUdp;
    p.payload = payload;
    return test::build(p);
  }
  static void free(SplitResult result, rte_mbuf** made, rte_mbuf* packet) {
    if (result.count != 0) rte_pktmbuf_free_bulk(made, result.count);
    rte_pktmbuf_free(packet);
    EXPECT_EQ(rte_mempool_avail_count(pool), kBuffers);
  }

  static inline rte_mempool* pool = nullptr;
};

TEST_F(SplitMbuf, FromOneBufferAndFromSeveral) {
  struct Family {
    const char *source, *destination;
    std::size_t l4, headers;
  };
  for (const Family& family : {Family{"192.0.2.1", "198.51.100.1", 34, 34},
                               Family{"2001:db8::1", "2001:db8:1::1", 54, 62}}) {
    const test::Bytes bytes = datagram(family.source, family.destination, 900);
    for (const std::size_t each : {1000u, 300u, 101u}) {
      rte_mbuf* packet = place(bytes, each);
      rte_mbuf* made[kMostFragments];
      const SplitResult result = split_mbuf(packet, 500, 7, made);
      ASSERT_EQ(result.count, family.l4 == 34 ? 2u : 3u);
      test::Bytes all;
      for (unsigned i = 0; i < result.count; ++i) {
        EXPECT_LE(made[i]->pkt_len, 514u);
        const test::Bytes part = payload_of(made[i], family.headers);
        all.insert(all.end(), part.begin(), part.end());
      }
      EXPECT_EQ(all, test::Bytes(bytes.begin() + static_cast<long>(family.l4), bytes.end()));
      free(result, made, packet);
    }
  }
}

// An MTU may be larger than a buffer.
TEST_F(SplitMbuf, FragmentsFitIntoBuffers) {
  rte_mbuf* packet = place(datagram("192.0.2.1", "198.51.100.1", 3000), 1000);
  rte_mbuf* made[kMostFragments];
  const SplitResult result = split_mbuf(packet, 2000, 0, made);
  EXPECT_EQ(result.count, 4u);
  for (unsigned i = 0; i < result.count; ++i) EXPECT_LE(made[i]->pkt_len, 1024u);
  free(result, made, packet);
}

TEST_F(SplitMbuf, WithoutBuffersNothingIsMade) {
  rte_mbuf* packet = place(datagram("192.0.2.1", "198.51.100.1", 1000), 600);
  rte_mbuf* others[kBuffers - 4];
  ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool, others, kBuffers - 4), 0);
  rte_mbuf* made[kMostFragments];
  SplitResult result = split_mbuf(packet, 300, 0, made);
  EXPECT_EQ(result.count, 0u);
  EXPECT_EQ(result.reason, DropReason::fragment_no_buffer);
  EXPECT_EQ(rte_mempool_avail_count(pool), 2u);
  rte_pktmbuf_free_bulk(others, kBuffers - 4);
  free(result, made, packet);
}

TEST_F(SplitMbuf, WhatNothingCanBeMadeOfIsTooBig) {
  rte_mbuf* packet = place(datagram("192.0.2.1", "198.51.100.1", 1000), 500);
  rte_mbuf* made[kMostFragments];
  const SplitResult result = split_mbuf(packet, 20, 0, made);
  EXPECT_EQ(result.count, 0u);
  EXPECT_EQ(result.reason, DropReason::too_big);
  free(result, made, packet);
}

}  // namespace
}  // namespace sluice
