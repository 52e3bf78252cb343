// What a worker refuses by itself: packets that a ring to another thread, or the limit towards the
// kernel, has no room for. One worker runs over a port made of rings; the threads at the other ends
// do not.
#include <gtest/gtest.h>
#include <rte_cycles.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "../packet/packets.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/exchange.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/dpdk/worker.h"
#include "dataplane/forward/state_builder.h"

namespace sluice {
namespace {

constexpr unsigned kPackets = 20;
constexpr unsigned kFit = 3;  // In a ring of four.
constexpr char kVip[] = "198.51.100.1";

class WorkerRefusal : public ::testing::Test {
 protected:
  static v1::Dataplane config() {
    v1::Dataplane config;
    config.set_socket("/tmp/sluice-unit-" + std::to_string(getpid()) + ".sock");
    config.set_workers(2);
    config.set_idle("back-off");
    config.mutable_memory()->set_huge_pages("off");
    config.mutable_memory()->set_packet_buffers(4096);
    return config;
  }
  static void SetUpTestSuite() {
    auto plan = plan_eal(config(), this_machine());
    ASSERT_TRUE(plan.ok()) << plan.error();
    auto started = start_eal(*plan);
    ASSERT_TRUE(started.ok()) << started.error();
    wire_in = rte_ring_create("wire_in", 64, SOCKET_ID_ANY, 0);
    rte_ring* wire_out = rte_ring_create("wire_out", 64, SOCKET_ID_ANY, 0);
    ASSERT_GE(rte_eth_from_rings("wire", &wire_in, 1, &wire_out, 1, 0), 0);
    v1::Dataplane with_port = config();
    auto* port = with_port.add_ports();
    port->set_name("wire");
    port->set_device("net_ring_wire");
    port->set_mtu(1500);
    port->set_rx_descriptors(64);
    port->set_tx_descriptors(64);
    auto opened = Ports::open(with_port, 2);
    ASSERT_TRUE(opened.ok()) << opened.error();
    ports = std::move(*opened);
  }
  static void TearDownTestSuite() {
    ports.reset();
    stop_eal();
  }

  static std::unique_ptr<PacketRing> ring(const std::string& name, unsigned size) {
    auto made = PacketRing::create(name, size, SOCKET_ID_ANY);
    EXPECT_TRUE(made.ok()) << made.error();
    return made.ok() ? std::move(*made) : nullptr;
  }

  // One VIP in full NAT, whose only backend is next hop 1.
  void SetUp() override {
    ASSERT_NE(ports, nullptr);
    StateBuilder builder(nullptr, StateLimits{.vips = 8, .backends = 8});
    const IpAddress vip = *IpAddress::parse(kVip), backend = *IpAddress::parse("10.0.0.1");
    builder.upsert(AddressSpec{vip, Unserved::drop});
    builder.upsert(BackendSpec{1, backend, 8080, {"10.0.0.1:8080", ""}});
    VipSpec spec;
    spec.key = {vip, kProtocolTcp, 80};
    spec.id = 1;
    spec.service = "manual/default/web";
    spec.maglev_size = 3;
    spec.members = {{1, 1, false, false}};
    builder.upsert(spec);
    auto built = builder.build(1, indexes);
    ASSERT_TRUE(built.ok()) << built.error();
    state = built->state;
  }

  // Lets worker 0 take these frames from the wire, with small rings to everybody else.
  void run(const std::vector<test::Bytes>& frames, std::uint32_t to_kernel_per_second) {
    Exchange exchange(rte_get_tsc_hz(), to_kernel_per_second);
    exchange.clock.start = rte_rdtsc();
    exchange.clock.cycles_per_tick = rte_get_tsc_hz() / kTicksPerSecond;
    auto rcu = Rcu::create(2);
    ASSERT_TRUE(rcu.ok());
    exchange.rcu = std::move(*rcu);
    exchange.hand_over.push_back(ring("to0", 64));
    exchange.hand_over.push_back(ring("to1", kFit + 1));
    exchange.transmit.push_back(ring("out0", 64));
    exchange.transmit.push_back(ring("out1", 64));
    exchange.punt_control = ring("control", 64);
    exchange.punt = ring("punt", kFit + 1);
    exchange.resolve = ring("resolve", 64);
    Routing routing(8, 2, 8);
    exchange.routing = &routing;
    exchange.state = state.get();

    PipelineConfig pipeline;
    pipeline.workers = 2;
    pipeline.flows_ipv4 = pipeline.flows_ipv6 = pipeline.nat_flows = 1024;
    pipeline.backend_capacity = 8;
    pipeline.steering.resize(ports->id_limit());
    pipeline.steering[ports->all()[0].id] = ports->all()[0].steering;
    auto counters = std::make_unique<WorkerCounters>(8, 8);
    auto made = Pipeline::create(pipeline, *counters);
    ASSERT_NE(made, nullptr);
    Worker worker(0, *ports, exchange, std::move(counters), std::move(made));

    const unsigned before = rte_mempool_avail_count(ports->pool());
    for (const test::Bytes& frame : frames) receive(frame);
    std::thread thread([&worker] { worker.run(); });
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (worker.counters().received.read() < frames.size() &&
           std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    exchange.stop = true;
    thread.join();
    EXPECT_EQ(worker.counters().received.read(), frames.size());
    for (unsigned i = 0; i < static_cast<unsigned>(DropReason::count); ++i)
      drops[i] = worker.counters().drops[i].read();
    rte_mbuf* taken[kPackets];
    handed_over = exchange.hand_over[1]->dequeue(taken, kPackets);
    rte_pktmbuf_free_bulk(taken, handed_over);
    punted = exchange.punt->dequeue(taken, kPackets);
    rte_pktmbuf_free_bulk(taken, punted);
    EXPECT_EQ(rte_mempool_avail_count(ports->pool()), before) << "a refused packet was not freed";
  }

  void receive(const test::Bytes& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(ports->pool());
    ASSERT_NE(packet, nullptr);
    char* to = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(frame.size()));
    std::memcpy(to, frame.data(), frame.size());
    packet->port = ports->all()[0].id;
    ASSERT_EQ(rte_ring_enqueue(wire_in, packet), 0);
  }
  std::uint64_t dropped(DropReason reason) const { return drops[static_cast<unsigned>(reason)]; }

  static inline rte_ring* wire_in = nullptr;
  static inline std::unique_ptr<Ports> ports;
  CounterIndexes indexes{8};
  std::shared_ptr<const ForwardingState> state;
  std::uint64_t drops[static_cast<unsigned>(DropReason::count)] = {};
  unsigned handed_over = 0, punted = 0;
};

// Frames to an address that is no VIP: the kernel's.
std::vector<test::Bytes> for_the_kernel() {
  test::Packet packet;
  packet.destination = "203.0.113.9";
  return std::vector<test::Bytes>(kPackets, test::build(packet));
}

TEST_F(WorkerRefusal, CountsWhatTheOwnersRingDoesNotTake) {
  const Steering& steering = *ports->all()[0].steering;
  test::Packet packet;
  packet.destination = kVip;
  Ipv4::Address source, vip;
  std::memcpy(source.data(), IpAddress::parse(packet.source)->data(), source.size());
  std::memcpy(vip.data(), IpAddress::parse(kVip)->data(), vip.size());
  std::vector<test::Bytes> frames;
  for (packet.source_port = 1024; frames.size() < kPackets; ++packet.source_port) {
    const std::uint32_t hash = steering.toeplitz().hash<Ipv4>(
        source, vip, Be16::from_host(static_cast<std::uint16_t>(packet.source_port)),
        Be16::from_host(80));
    if (steering.owner(hash) == 1) frames.push_back(test::build(packet));
  }
  run(frames, 1000);
  EXPECT_EQ(handed_over, kFit);
  EXPECT_EQ(dropped(DropReason::hand_over_full), kPackets - kFit);
}

TEST_F(WorkerRefusal, CountsWhatTheRingToTheSlowPathDoesNotTake) {
  run(for_the_kernel(), 1000);
  EXPECT_EQ(punted, kFit);
  EXPECT_EQ(dropped(DropReason::slow_path_full), kPackets - kFit);
  EXPECT_EQ(dropped(DropReason::slow_path_rate), 0u);
}

TEST_F(WorkerRefusal, CountsWhatIsBeyondTheLimitTowardsTheKernel) {
  run(for_the_kernel(), 0);
  EXPECT_EQ(punted, 0u);
  EXPECT_EQ(dropped(DropReason::slow_path_rate), kPackets);
}

}  // namespace
}  // namespace sluice
