#include "dataplane/dpdk/reload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Reload, WhatCanChangeWhileRunningDoes) {
  const std::vector<std::string> changed{"logging.level", "logging.format", "dataplane.idle",
                                         "dataplane.slowPath.packetsPerSecond"};
  const Reload reload = sort_changes(changed);
  EXPECT_EQ(reload.applied, changed);
  EXPECT_THAT(reload.need_restart, IsEmpty());
}

TEST(Reload, TheRestIsNamed) {
  const Reload reload = sort_changes({"dataplane.workers", "dataplane.ports",
                                      "dataplane.slowPath.vipInterface", "dataplane.idleness"});
  EXPECT_THAT(reload.applied, IsEmpty());
  EXPECT_THAT(reload.need_restart,
              ElementsAre("dataplane.workers", "dataplane.ports", "dataplane.slowPath.vipInterface",
                          "dataplane.idleness"));
}

TEST(Reload, OtherProgramsFieldsAreTheirs) {
  const Reload reload = sort_changes({"redis.address", "control.pools", "gateway.name"});
  EXPECT_THAT(reload.applied, IsEmpty());
  EXPECT_THAT(reload.need_restart, IsEmpty());
}

}  // namespace
}  // namespace sluice
