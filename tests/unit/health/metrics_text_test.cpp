// Histograms, and the text Prometheus reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/health/latency_histogram.h"
#include "control/health/metric_families.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

TEST(LatencyHistogram, ABoundBelongsToItsBucketAndTheLastTakesTheRest) {
  LatencyHistogram latency;
  latency.add(0ns);
  latency.add(5ms);
  latency.add(5ms + 1ns);
  latency.add(1h);
  LatencyHistogram::Counts expected{};
  expected[0] = 1;
  expected[6] = 1;  // Up to 5 ms.
  expected[7] = 1;  // Up to 7.5 ms.
  expected.back() = 1;
  EXPECT_EQ(latency.counts(), expected);
  EXPECT_NEAR(latency.sum(), 3600.01, 1e-6);
}

TEST(MetricFamilies, OneFamilyHasOneHeadAndCumulatedBuckets) {
  LatencyHistogram fast, slow;
  fast.add(1ms);
  fast.add(18ms);
  slow.add(10s);
  MetricFamilies out;
  out.gauge("up", "Whether.", {}, 1);
  out.histogram("took_seconds", "How long.", {{"hop", "fast"}}, fast);
  out.histogram("took_seconds", "How long.", {{"hop", "slow"}}, slow);
  out.counter("things_total", "Things.", {{"kind", "a\"b"}}, 7);
  const std::string text = out.text();
  EXPECT_THAT(text, HasSubstr("# TYPE up gauge\nup 1\n"));
  EXPECT_THAT(text, HasSubstr("took_seconds_bucket{hop=\"fast\",le=\"0.0005\"} 0\n"
                              "took_seconds_bucket{hop=\"fast\",le=\"0.001\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("took_seconds_bucket{hop=\"fast\",le=\"0.02\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("took_seconds_bucket{hop=\"slow\",le=\"5\"} 0\n"
                              "took_seconds_bucket{hop=\"slow\",le=\"+Inf\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("took_seconds_count{hop=\"slow\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("things_total{kind=\"a\\\"b\"} 7\n"));
  EXPECT_EQ(text.find("# TYPE took_seconds"), text.rfind("# TYPE took_seconds"));
}

}  // namespace
}  // namespace sluice
