#include "control/kubernetes/pace.h"

#include <gtest/gtest.h>

#include "control/agent/status_queue.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
const PaceClock::time_point kStart{1000s};

TEST(TokenBucket, BurstThenRate) {
  TokenBucket bucket(3, 2);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart));
  const auto wait = bucket.wait(kStart);
  EXPECT_GE(wait, 500ms);
  EXPECT_LE(wait, 510ms);
  EXPECT_FALSE(bucket.take(kStart + 400ms));
  EXPECT_TRUE(bucket.take(kStart + wait));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(bucket.take(kStart + 1h));
  EXPECT_FALSE(bucket.take(kStart + 1h));
}

TEST(Contest, WaitsDoubleWhileTheSameIsWrittenAgainAndAgain) {
  Contest contest;
  auto now = kStart;
  EXPECT_EQ(contest.wait(7, now), 0ms);
  contest.written(7, now);
  EXPECT_EQ(contest.wait(7, now), 0ms) << "once may be an accident";
  std::chrono::milliseconds expected = Contest::kFirst;
  for (int i = 0; i < 12; ++i) {
    contest.written(7, now);
    EXPECT_EQ(contest.wait(7, now), expected) << i;
    now += expected;
    EXPECT_EQ(contest.wait(7, now), 0ms);
    expected = std::min(expected * 2, Contest::kLongest);
  }
  EXPECT_EQ(expected, Contest::kLongest);
  EXPECT_EQ(contest.undone(), 12u);
  EXPECT_EQ(contest.wait(8, now), 0ms) << "what is new goes at once";
  contest.written(8, now);
  EXPECT_EQ(contest.undone(), 0u);
}

TEST(Contest, IsForgottenAfterALongPeace) {
  Contest contest;
  for (int i = 0; i < 5; ++i) contest.written(7, kStart);
  EXPECT_EQ(contest.undone(), 4u);
  contest.written(7, kStart + Contest::kForgotten);
  EXPECT_EQ(contest.undone(), 0u);
}

TEST(StatusQueue, EarliestTimeCountsAndEachIsOnceInIt) {
  agent::StatusQueue queue;
  queue.add({"a", "x"}, kStart + 10s);
  queue.add({"a", "y"}, kStart + 1s);
  queue.add({"a", "x"}, kStart + 2s);
  queue.add({"a", "x"}, kStart + 20s);
  EXPECT_EQ(queue.size(), 2u);
  EXPECT_EQ(queue.next(), kStart + 1s);
  EXPECT_TRUE(queue.take(kStart, 9).empty());
  EXPECT_EQ(queue.take(kStart + 5s, 1).front().second, "y");
  EXPECT_EQ(queue.take(kStart + 5s, 9).front().second, "x");
  EXPECT_FALSE(queue.next());
}

}  // namespace
}  // namespace sluice::kube
