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

TEST(Clock, MillisecondsAreRealTime) {
  const std::uint64_t cycles_per_second = 2'500'000'000;
  const std::uint64_t real = 1'700'000'000'123;
  const Clock clock{777, cycles_per_second / kTicksPerSecond, real};
  const TickCounter counter(clock, 777);
  const auto at = [&](std::uint64_t seconds, std::uint64_t cycles) {
    return counter.milliseconds(777 + seconds * cycles_per_second + cycles);
  };
  EXPECT_EQ(at(0, 0), static_cast<std::uint32_t>(real));
  EXPECT_NEAR(at(3, 10'000), static_cast<std::uint32_t>(real + 3000), 1);
  constexpr std::uint64_t kYear = 365 * 86400;
  EXPECT_NEAR(at(kYear, 2'500'000), static_cast<std::uint32_t>(real + kYear * 1000 + 1), 1);
}

}  // namespace
}  // namespace sluice
