#include "control/cli/age.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

using namespace std::chrono_literals;
using std::chrono::seconds;

TEST(Age, AsKubectlShowsIt) {
  const std::pair<seconds, const char*> cases[] = {
      {-2s, "<invalid>"},
      {-1s, "0s"},
      {0s, "0s"},
      {119s, "119s"},
      {120s, "2m"},
      {121s, "2m1s"},
      {10min - 1s, "9m59s"},
      {10min, "10m"},
      {3h - 1s, "179m"},
      {3h, "3h"},
      {3h + 5min, "3h5m"},
      {8h, "8h"},
      {48h - 1s, "47h"},
      {48h, "2d"},
      {49h, "2d1h"},
      {8 * 24h, "8d"},
      {729 * 24h, "729d"},
      {730 * 24h, "2y"},
      {731 * 24h, "2y1d"},
      {8 * 365 * 24h, "8y"},
      {9 * 365 * 24h, "9y"},
  };
  for (const auto& [age, text] : cases) EXPECT_EQ(age_text(age), text) << age.count();
}

TEST(Rfc3339, ReadsOffsetsAndFractions) {
  const auto base = parse_rfc3339("2026-01-02T03:04:05Z");
  ASSERT_TRUE(base);
  EXPECT_EQ(rfc3339_text(*base), "2026-01-02T03:04:05Z");
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.678901Z"), base);
  EXPECT_EQ(parse_rfc3339("2026-01-02T05:04:05+02:00"), base);
  EXPECT_EQ(parse_rfc3339("2026-01-01T22:34:05-04:30"), base);
}

TEST(Rfc3339, RefusesWhatIsNone) {
  for (const char* text : {"", "now", "2026-01-02", "2026-02-30T00:00:00Z", "2026-01-02T24:00:00Z",
                           "2026-01-02T03:04:05", "2026-01-02T03:04:05Zx",
                           "2026-01-02T03:04:05+2:00", "2026-13-02T03:04:05Z"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
}

TEST(Age, SinceUnreadableInstantsIsUnknown) {
  const auto now = *parse_rfc3339("2026-01-02T03:04:05Z");
  EXPECT_EQ(age_since("2026-01-02T03:03:05Z", now), "60s");
  EXPECT_EQ(age_since("", now), "<unknown>");
  EXPECT_EQ(age_since_unix_ms(0, now), "<unknown>");
}

}  // namespace
}  // namespace sluice
