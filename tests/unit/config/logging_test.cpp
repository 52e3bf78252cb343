#include "config/logging.h"

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "config.pb.h"

namespace sluice {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

TEST(LogLimiter, WritesTheFirstLinesOfAnIntervalAndCountsTheRest) {
  LogLimiter limiter(2, seconds(10));
  const auto start = LogLimiter::Clock::time_point(seconds(1000));
  EXPECT_EQ(limiter.admit(start), std::optional<std::uint64_t>(0));
  EXPECT_EQ(limiter.admit(start + seconds(1)), std::optional<std::uint64_t>(0));
  EXPECT_EQ(limiter.admit(start + seconds(2)), std::nullopt);
  EXPECT_EQ(limiter.admit(start + seconds(9)), std::nullopt);
  EXPECT_EQ(limiter.admit(start + seconds(10)), std::optional<std::uint64_t>(2));
  EXPECT_EQ(limiter.admit(start + seconds(11)), std::optional<std::uint64_t>(0));
  EXPECT_EQ(limiter.admit(start + seconds(12)), std::nullopt);
}

TEST(Logging, JsonLinesStayOneLine) {
  v1::Logging config;
  config.set_level("info");
  config.set_format("json");
  testing::internal::CaptureStderr();
  init_logging(config, "test");
  spdlog::info("said \"{}\"\n{}", "hi\\there", "x");
  spdlog::debug("unseen");
  const std::string out = testing::internal::GetCapturedStderr();
  EXPECT_THAT(
      out, HasSubstr(R"("level":"info","program":"test","message":"said \"hi\\there\"\u000ax"})"));
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 1);
  config.set_format("text");
  init_logging(config, "test");
}

}  // namespace
}  // namespace sluice
