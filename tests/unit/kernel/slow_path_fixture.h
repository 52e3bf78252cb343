// A SlowPath in a network namespace of its own, with two ports and the network beyond emulated by
// Wire. Needs root; skips with a message otherwise. The namespace ends with the test's process or
// the next test.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "config.pb.h"
#include "dataplane/kernel/plain_fib.h"
#include "dataplane/kernel/slow_path.h"
#include "tests/unit/kernel/wire.h"

namespace sluice::test {

inline IpAddress ip(const char* text) {
  return IpAddress::parse(text).value();
}

// Runs a shell command in the test's namespace; its output, or "" and a failure of the test.
std::string shell(const std::string& command);

class SlowPathTest : public testing::Test {
 protected:
  static constexpr Mac kWanMac = {0x02, 0, 0, 0, 0, 1};
  static constexpr Mac kLanMac = {0x02, 0, 0, 0, 0, 2};
  static constexpr Mac kPeerMac = {0x02, 0, 0, 0, 1, 1};
  static constexpr Mac kOtherMac = {0x02, 0, 0, 0, 1, 2};

  void SetUp() override;
  void TearDown() override;

  // As a new process would.
  void restart();
  NextHopIndex lookup(const char* address) const;
  NextHop hop(const char* address) const { return routing_->hop(lookup(address)); }
  bool eventually(const char* address, NextHopState state) const;
  NextHop backend(std::uint32_t id) const;
  std::uint64_t counter(const std::string& name) const;

  v1::Dataplane config_;
  std::vector<PortInfo> ports_;
  std::unique_ptr<Wire> wire_;
  std::unique_ptr<Routing> routing_;
  std::unique_ptr<SlowPath> slow_path_;
};

}  // namespace sluice::test
