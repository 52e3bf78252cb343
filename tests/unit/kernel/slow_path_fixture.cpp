#include "tests/unit/kernel/slow_path_fixture.h"

#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>

namespace sluice::test {

std::string shell(const std::string& command) {
  std::FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << "cannot run " << command;
    return {};
  }
  std::string output;
  std::array<char, 512> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) output += buffer.data();
  EXPECT_EQ(pclose(pipe), 0) << command << ": " << output;
  return output;
}

void SlowPathTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, for a network namespace and TAPs";
  ASSERT_EQ(unshare(CLONE_NEWNET), 0) << std::strerror(errno);
  shell("ip link set lo up");
  for (const auto& [name, mac] : {std::pair{"wan", kWanMac}, std::pair{"lan", kLanMac}}) {
    PortInfo& port = ports_.emplace_back();
    port.id = static_cast<std::uint16_t>(ports_.size() - 1);
    port.name = name;
    std::memcpy(port.mac, mac.data(), mac.size());
  }
  restart();
}

void SlowPathTest::restart() {
  slow_path_.reset();
  wire_ = std::make_unique<Wire>();
  routing_ = std::make_unique<Routing>(1024, 64, 1024);
  routing_->fib_ipv4 = std::make_unique<PlainFib<Ipv4>>();
  routing_->fib_ipv6 = std::make_unique<PlainFib<Ipv6>>();
  slow_path_ = std::make_unique<SlowPath>(config_, ports_, *wire_, *routing_);
  const Status status = slow_path_->start();
  ASSERT_TRUE(status.ok()) << status.error();
}

void SlowPathTest::TearDown() {
  if (slow_path_ == nullptr) return;
  slow_path_->stop();
  EXPECT_EQ(wire_->outstanding(), 0u) << "packets neither sent nor released";
  EXPECT_LT(wire_->released(), 1000000u) << "a packet was released twice";
}

NextHopIndex SlowPathTest::lookup(const char* text) const {
  const IpAddress address = ip(text);
  NextHopIndex found = kNoNextHop;
  if (address.is_v4()) {
    Ipv4::Address key;
    std::memcpy(key.data(), address.data(), key.size());
    routing_->fib_ipv4->lookup(&key, &found, 1);
  } else {
    Ipv6::Address key;
    std::memcpy(key.data(), address.data(), key.size());
    routing_->fib_ipv6->lookup(&key, &found, 1);
  }
  return found;
}

bool SlowPathTest::eventually(const char* address, NextHopState state) const {
  return Wire::wait_until([&] { return hop(address).state == state; });
}

NextHop SlowPathTest::backend(std::uint32_t id) const {
  return routing_->hop(routing_->backend_next_hop(id));
}

std::uint64_t SlowPathTest::counter(const std::string& name) const {
  for (const SlowPathCounter& c : slow_path_->counters()) {
    if (name == c.name) return c.value;
  }
  ADD_FAILURE() << "no counter " << name;
  return 0;
}

}  // namespace sluice::test
