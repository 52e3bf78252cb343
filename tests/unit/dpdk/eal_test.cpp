// EAL's arguments as a function of gateway.yaml and the machine.
#include "dataplane/dpdk/eal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

v1::Dataplane config_with(std::initializer_list<const char*> devices, unsigned workers = 1) {
  v1::Dataplane config;
  config.set_socket("/run/test.sock");
  config.set_workers(workers);
  config.set_idle("back-off");
  config.mutable_memory()->set_huge_pages("auto");
  config.mutable_memory()->set_packet_buffers(16384);
  for (const char* device : devices) {
    auto* port = config.add_ports();
    port->set_name("p" + std::to_string(config.ports_size()));
    port->set_device(device);
    port->set_mtu(1500);
  }
  return config;
}

Machine machine_with(std::vector<unsigned> cpus, std::uint64_t pages = 1024) {
  return {std::move(cpus), 2u << 20, pages};
}

std::string lcores(const v1::Dataplane& config, const Machine& machine) {
  auto plan = plan_eal(config, machine);
  if (!plan) return plan.error();
  for (const auto& argument : plan->arguments) {
    if (argument.starts_with("--lcores=")) return argument.substr(9);
  }
  return "none";
}

TEST(Eal, EveryWorkerGetsItsOwnCpuAfterTheMainThreads) {
  EXPECT_EQ(lcores(config_with({}, 1), machine_with({0, 1})), "0@0,1@1");
  EXPECT_EQ(lcores(config_with({}, 2), machine_with({2, 5, 7})), "0@2,1@5,2@7");
}

TEST(Eal, CpusAreSharedWhenThereAreTooFew) {
  EXPECT_EQ(lcores(config_with({}, 2), machine_with({0, 1})), "0@0,1@0,2@1");
  EXPECT_EQ(lcores(config_with({}, 3), machine_with({4})), "0@4,1@4,2@4,3@4");
}

TEST(Eal, SpinningOnASharedCpuIsWarnedOf) {
  auto config = config_with({}, 2);
  config.set_idle("spin");
  auto plan = plan_eal(config, machine_with({0, 1}));
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->warnings, Contains(HasSubstr("back-off")));
}

TEST(Eal, ConfiguredLcoresAreTakenAsTheyAre) {
  auto config = config_with({}, 2);
  config.set_lcores("0@3,1@(4-5),2@6");
  EXPECT_EQ(lcores(config, machine_with({0, 1})), "0@3,1@(4-5),2@6");
}

TEST(Eal, NoCpuIsAnError) {
  EXPECT_FALSE(plan_eal(config_with({}), machine_with({})).ok());
}

TEST(Eal, HugePagesAreUsedWhenThereAreEnough) {
  const auto config = config_with({"net_null0"});
  const std::uint64_t enough = needed_memory(config) / (2u << 20) + 1;
  auto plan = plan_eal(config, machine_with({0, 1}, enough));
  ASSERT_TRUE(plan.ok());
  EXPECT_TRUE(plan->huge_pages);
  EXPECT_THAT(plan->arguments, Contains("--in-memory"));
  EXPECT_TRUE(plan->warnings.empty());
}

TEST(Eal, TooFewHugePagesFallBackAndSayHowManyAreNeeded) {
  auto plan = plan_eal(config_with({"net_null0"}), machine_with({0, 1}, 3));
  ASSERT_TRUE(plan.ok());
  EXPECT_FALSE(plan->huge_pages);
  EXPECT_THAT(plan->arguments, Contains("--no-huge"));
  EXPECT_THAT(plan->arguments, Not(Contains("--in-memory")));  // EAL refuses the two together.
  EXPECT_THAT(plan->warnings, Contains(HasSubstr("vm.nr_hugepages=")));
}

TEST(Eal, HugePagesDemandedButMissingAreAnError) {
  auto config = config_with({"net_null0"});
  config.mutable_memory()->set_huge_pages("on");
  auto plan = plan_eal(config, machine_with({0, 1}, 0));
  ASSERT_FALSE(plan.ok());
  EXPECT_THAT(plan.error(), HasSubstr("vm.nr_hugepages"));
}

TEST(Eal, HugePagesSwitchedOffAreNoReasonForAWarning) {
  auto config = config_with({"net_null0"});
  config.mutable_memory()->set_huge_pages("off");
  auto plan = plan_eal(config, machine_with({0, 1}));
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->arguments, Contains("--no-huge"));
  EXPECT_TRUE(plan->warnings.empty());
}

TEST(Eal, VdevsAloneKeepTheMachinesNicsOut) {
  auto plan = plan_eal(config_with({"net_af_packet0,iface=eth1"}), machine_with({0, 1}));
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->arguments, Contains("--vdev=net_af_packet0,iface=eth1"));
  EXPECT_THAT(plan->arguments, Contains("--no-pci"));
}

TEST(Eal, OnlyTheNamedNicsAreTaken) {
  auto plan = plan_eal(config_with({"0000:01:00.0", "0000:01:00.1,arg=1"}), machine_with({0, 1}));
  ASSERT_TRUE(plan.ok());
  EXPECT_THAT(plan->arguments, Contains("-a").Times(2));
  EXPECT_THAT(plan->arguments, Contains("0000:01:00.1,arg=1"));
  EXPECT_THAT(plan->arguments, Not(Contains("--no-pci")));
  EXPECT_THAT(plan->arguments, Not(Contains(StartsWith("--vdev"))));
}

TEST(Eal, FurtherArgumentsComeLast) {
  auto config = config_with({});
  config.add_eal("--iova-mode=va");
  auto plan = plan_eal(config, machine_with({0, 1}));
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->arguments.back(), "--iova-mode=va");
}

TEST(Eal, DeviceNamesAreThoseOfEal) {
  EXPECT_EQ(device_name("net_af_packet0,iface=eth1"), "net_af_packet0");
  EXPECT_EQ(device_name("01:00.0"), "0000:01:00.0");
  EXPECT_EQ(device_name("0000:0A:00.0,x=y"), "0000:0a:00.0");
  EXPECT_TRUE(is_pci_address("0000:01:00.0"));
  EXPECT_TRUE(is_pci_address("01:00.0"));
  EXPECT_FALSE(is_pci_address("net_tap0"));
  EXPECT_FALSE(is_pci_address(""));
}

TEST(Eal, LargePacketsGetLargeBuffers) {
  auto config = config_with({"net_null0"});
  EXPECT_EQ(packet_buffer_bytes(config), 2048u);
  config.mutable_ports(0)->set_mtu(9000);
  EXPECT_GE(packet_buffer_bytes(config), 9000u + 14 + 8);
}

TEST(Eal, BuffersCoverEveryQueue) {
  auto config = config_with({"net_null0", "net_null1"}, 4);
  config.mutable_memory()->set_packet_buffers(100);
  for (auto& port : *config.mutable_ports()) {
    port.set_rx_descriptors(512);
    port.set_tx_descriptors(256);
  }
  EXPECT_GE(packet_buffers(config), 4u * 2 * (512 + 256));
  config.mutable_memory()->set_packet_buffers(1 << 20);
  EXPECT_EQ(packet_buffers(config), 1u << 20);
}

}  // namespace
}  // namespace sluice
