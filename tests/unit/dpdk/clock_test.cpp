#include "dataplane/dpdk/clock.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(Clock, TheCounterAgreesWithTheDivision) {
  const Clock clock{12345, 1000};
  TickCounter counter(clock, 12345 + 2500);
  std::uint64_t now = 12345 + 2500;
  for (int i = 0; i < 10000; ++i) {
    EXPECT_EQ(counter.at(now), clock.at(now));
    now += 1 + (i * 7919u) % 1700;
  }
}

TEST(Clock, ALongPauseIsCaughtUpWith) {
  const Clock clock{0, 10};
  TickCounter counter(clock, 0);
  EXPECT_EQ(counter.at(9), 0u);
  EXPECT_EQ(counter.at(10), 1u);
  EXPECT_EQ(counter.at(100'000), 10'000u);
}

}  // namespace
}  // namespace sluice
