// Only one dataplane per socket, device and port name.
#include "dataplane/dpdk/lock_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <set>

namespace sluice {
namespace {

using ::testing::HasSubstr;

class LockFileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/sluice-lock-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(LockFileTest, TheSecondIsRefusedAndToldByWhom) {
  auto first = LockFile::acquire(folder_ + "/a.lock", "the device X");
  ASSERT_TRUE(first.ok()) << first.error();
  auto second = LockFile::acquire(folder_ + "/a.lock", "the device X");
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error(), HasSubstr("the device X"));
  EXPECT_THAT(second.error(), HasSubstr("process " + std::to_string(getpid())));
}

TEST_F(LockFileTest, ADeadProcessHoldsNothing) {
  const pid_t child = fork();
  if (child == 0) {
    auto lock = LockFile::acquire(folder_ + "/a.lock", "the device X");
    raise(lock.ok() ? SIGKILL : SIGABRT);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  EXPECT_TRUE(LockFile::acquire(folder_ + "/a.lock", "the device X").ok());
}

TEST_F(LockFileTest, AMissingFolderIsAnError) {
  EXPECT_FALSE(LockFile::acquire(folder_ + "/none/a.lock", "the device X").ok());
}

std::set<std::string> paths(const v1::Dataplane& config, const std::string& network_namespace) {
  std::set<std::string> out;
  for (const auto& name : lock_names(config, "/run/lock", network_namespace)) out.insert(name.path);
  return out;
}

v1::Dataplane one_port(const std::string& name, const std::string& device) {
  v1::Dataplane config;
  config.set_socket("/run/" + name + ".sock");
  auto* port = config.add_ports();
  port->set_name(name);
  port->set_device(device);
  return config;
}

unsigned shared(const std::set<std::string>& a, const std::set<std::string>& b) {
  unsigned count = 0;
  for (const auto& path : a) count += b.contains(path);
  return count;
}

TEST(LockNames, OneInterfaceIsOneDeviceWhateverTheVdevIsCalled) {
  const auto a = paths(one_port("a", "net_af_packet0,iface=eth1"), "net1");
  const auto b =
      paths(one_port("b", "net_af_packet7,blocksz=65536,iface=eth1,framecnt=512"), "net1");
  EXPECT_EQ(shared(a, b), 1u);
}

TEST(LockNames, InterfacesOfTwoNetworkNamespacesAreTwo) {
  const auto config = one_port("a", "net_af_packet0,iface=eth1");
  EXPECT_EQ(shared(paths(config, "net1"), paths(config, "net2")), 1u);  // The socket's alone.
}

TEST(LockNames, ANicIsOneInEveryNetworkNamespace) {
  EXPECT_EQ(shared(paths(one_port("a", "01:00.0"), "net1"),
                   paths(one_port("b", "0000:01:00.0,x=1"), "net2")),
            1u);
}

TEST(LockNames, DevicesInMemoryAreNobodyElses) {
  EXPECT_EQ(
      shared(paths(one_port("a", "net_null0"), "net1"), paths(one_port("b", "net_null0"), "net1")),
      0u);
}

}  // namespace
}  // namespace sluice
