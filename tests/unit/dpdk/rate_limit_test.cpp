#include "dataplane/dpdk/rate_limit.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace sluice {
namespace {

constexpr std::uint64_t kHz = 1'000'000'000;

TEST(RateLimit, LongRunIsTheRate) {
  RateLimit limit(kHz, 10'000);
  std::uint64_t admitted = 0;
  for (std::uint64_t now = kHz; now < 11 * kHz; now += kHz / 1000)
    admitted += limit.admit(64, now);                         // 64,000 a second.
  EXPECT_NEAR(static_cast<double>(admitted), 100'000, 1100);  // And what may come at once.
}

TEST(RateLimit, ABurstPassesAtOnceAndNoMore) {
  RateLimit limit(kHz, 100);
  EXPECT_EQ(limit.admit(1000, kHz), 64u);
  EXPECT_EQ(limit.admit(1, kHz), 0u);
  EXPECT_EQ(limit.admit(5, kHz + kHz / 100), 1u);
}

TEST(RateLimit, ZeroLetsNothingPassAndIsNotForever) {
  RateLimit limit(kHz, 0);
  EXPECT_EQ(limit.admit(1, kHz), 0u);
  limit.set(1000);
  EXPECT_EQ(limit.admit(1, kHz), 1u);
}

TEST(RateLimit, ThreadsShareOneBudget) {
  RateLimit limit(kHz, 1000);  // 100 at once.
  std::atomic<unsigned> admitted{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 1000; ++j) admitted += limit.admit(3, kHz);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(admitted, 100u);
}

}  // namespace
}  // namespace sluice
