// Ports, rings, RCU and memory over a running EAL: no huge pages, devices in memory only.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <set>

#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/packet_ring.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/dpdk/rcu.h"
#include "dataplane/dpdk/table_memory.h"
#include "dataplane/dpdk/transmitter.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

v1::Dataplane running_config() {
  v1::Dataplane config;
  config.set_socket("/tmp/sluice-unit-" + std::to_string(getpid()) + ".sock");
  config.set_workers(3);
  config.set_idle("back-off");
  config.mutable_memory()->set_huge_pages("off");
  config.mutable_memory()->set_packet_buffers(4096);
  // net_null hashes and has as many queues as one likes; the ring has one pair and no hash.
  for (const char* device : {"net_null0", "net_ring_lone"}) {
    auto* port = config.add_ports();
    port->set_name(device);
    port->set_device(device);
    port->set_mtu(1500);
    port->set_rx_descriptors(64);
    port->set_tx_descriptors(64);
  }
  return config;
}

// Opened by the first test that wants them; closed before EAL ends.
std::unique_ptr<Ports> opened_ports;

std::unique_ptr<Ports>& ports() {
  if (opened_ports == nullptr) {
    auto result = Ports::open(running_config(), 3);
    EXPECT_TRUE(result.ok()) << (result.ok() ? "" : result.error());
    if (result.ok()) opened_ports = std::move(*result);
  }
  return opened_ports;
}

class Running : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto config = running_config();
    config.mutable_ports()->RemoveLast();
    auto plan = plan_eal(config, this_machine());
    ASSERT_TRUE(plan.ok()) << plan.error();
    auto started = start_eal(*plan);
    ASSERT_TRUE(started.ok()) << started.error();
    rte_ring* ring = rte_ring_create("lone", 64, SOCKET_ID_ANY, 0);
    ASSERT_NE(ring, nullptr);
    ASSERT_GE(rte_eth_from_rings("lone", &ring, 1, &ring, 1, 0), 0);
  }
  static void TearDownTestSuite() {
    opened_ports.reset();
    stop_eal();
  }
};

TEST_F(Running, APortThatHashesIsFollowed) {
  ASSERT_NE(ports(), nullptr);
  const Port& port = ports()->all()[0];
  EXPECT_EQ(port.rx_queues, 3);
  EXPECT_TRUE(port.rss);
  std::set<std::uint16_t> owners;
  for (std::uint32_t hash = 0; hash < 128; ++hash) {
    EXPECT_EQ(port.steering->owner(hash), hash % 3);
    owners.insert(port.steering->owner(hash));
  }
  EXPECT_EQ(owners.size(), 3u);
}

TEST_F(Running, APortThatDoesNotIsSteeredBySoftware) {
  ASSERT_NE(ports(), nullptr);
  const Port& port = ports()->all()[1];
  EXPECT_EQ(port.rx_queues, 1);
  EXPECT_FALSE(port.rss);
  std::set<std::uint16_t> owners;
  for (std::uint32_t hash = 0; hash < 512; ++hash) owners.insert(port.steering->owner(hash));
  EXPECT_EQ(owners, (std::set<std::uint16_t>{0, 1, 2}));
}

TEST_F(Running, AMissingDeviceIsNamed) {
  auto config = running_config();
  config.mutable_ports(0)->set_name("wan");
  config.mutable_ports(0)->set_device("0000:ff:1f.7");
  auto result = Ports::open(config, 1);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error(), HasSubstr("port wan (0000:ff:1f.7)"));
}

TEST_F(Running, AWorkerWithoutAQueueSendsThroughOneThatHas) {
  ASSERT_NE(ports(), nullptr);
  const Port& port = ports()->all()[1];
  std::vector<std::unique_ptr<PacketRing>> rings;
  for (int i = 0; i < 3; ++i) {
    auto ring = PacketRing::create("t" + std::to_string(i), 64, SOCKET_ID_ANY);
    ASSERT_TRUE(ring.ok()) << ring.error();
    rings.push_back(std::move(*ring));
  }
  WorkerCounters counters(1, 1);
  Transmitter second(1, *ports(), rings, counters);
  rte_mbuf* packet = rte_pktmbuf_alloc(ports()->pool());
  ASSERT_NE(packet, nullptr);
  second.add(port.id, packet);
  second.flush();
  EXPECT_EQ(counters.transmitted.read(), 0u);
  rte_mbuf* out = nullptr;
  ASSERT_EQ(rings[0]->dequeue(&out, 1), 1u);
  EXPECT_EQ(out, packet);
  EXPECT_EQ(out->port, port.id);

  Transmitter first(0, *ports(), rings, counters);
  first.add(port.id, out);
  first.flush();
  EXPECT_EQ(counters.transmitted.read(), 1u);
  ASSERT_EQ(rte_eth_rx_burst(port.id, 0, &out, 1), 1u);  // net_ring gives back what it was sent.
  EXPECT_EQ(out, packet);
  rte_pktmbuf_free(out);
}

TEST_F(Running, PacketsNobodyTakesAreCountedAndFreed) {
  ASSERT_NE(ports(), nullptr);
  const unsigned before = rte_mempool_avail_count(ports()->pool());
  std::vector<std::unique_ptr<PacketRing>> rings;
  auto ring = PacketRing::create("full", 4, SOCKET_ID_ANY);  // Three fit.
  ASSERT_TRUE(ring.ok());
  rings.push_back(std::move(*ring));
  WorkerCounters counters(1, 1);
  {
    Transmitter second(1, *ports(), rings, counters);
    for (int i = 0; i < 5; ++i)
      second.add(ports()->all()[1].id, rte_pktmbuf_alloc(ports()->pool()));
    second.add(31, rte_pktmbuf_alloc(ports()->pool()));  // No such port.
    second.flush();
  }
  EXPECT_EQ(counters.drops[static_cast<unsigned>(DropReason::tx_full)].read(), 3u);
  rings.clear();
  EXPECT_EQ(rte_mempool_avail_count(ports()->pool()), before);
}

TEST_F(Running, AGracePeriodWaitsForOnlineReadersOnly) {
  auto rcu = Rcu::create(2);
  ASSERT_TRUE(rcu.ok()) << rcu.error();
  (*rcu)->online(0);
  const std::uint64_t token = (*rcu)->start();
  EXPECT_FALSE((*rcu)->passed(token));
  (*rcu)->quiescent(0);
  EXPECT_TRUE((*rcu)->passed(token));

  (*rcu)->online(1);
  const std::uint64_t second = (*rcu)->start();
  (*rcu)->quiescent(0);
  EXPECT_FALSE((*rcu)->passed(second));
  (*rcu)->offline(1);
  EXPECT_TRUE((*rcu)->passed(second));
}

TEST_F(Running, TableMemoryFallsBackToTheHeap) {
  TableMemory memory = dpdk_table_memory(0);
  for (const std::size_t bytes :
       {std::size_t{1} << 16, std::size_t{1} << 28}) {  // The second is more than EAL has.
    auto* taken = static_cast<std::uint8_t*>(memory.allocate(bytes));
    ASSERT_NE(taken, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(taken) % 64, 0u);
    EXPECT_EQ(taken[0], 0);
    EXPECT_EQ(taken[bytes - 1], 0);
    memory.release(taken, bytes);
  }
}

TEST_F(Running, PortsAreDescribed) {
  ASSERT_NE(ports(), nullptr);
  const auto all = ports()->describe();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].driver(), "net_null");
  EXPECT_TRUE(all[0].rss());
  EXPECT_EQ(all[0].mac().size(), 6u);
  ports().reset();
}

}  // namespace
}  // namespace sluice
