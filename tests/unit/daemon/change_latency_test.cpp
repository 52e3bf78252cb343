// How long changes take, hop by hop, and what control says of itself.
#include "control/daemon/change_latency.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/daemon/metrics.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using Clock = ChangeLatency::Clock;

class ChangeLatencyTest : public testing::Test {
 protected:
  // Arrived so long before it was sent, and that so long before it was read, just at `now`.
  store::TimedChange change(std::chrono::microseconds writer, std::chrono::microseconds redis) {
    store::TimedChange change;
    change.read = wall;
    change.times.sent = wall - redis;
    change.times.arrived = change.times.sent - writer;
    change.read_steady = now;
    return change;
  }
  std::uint64_t count(ChangeLatency::Hop hop) const {
    std::uint64_t sum = 0;
    for (const std::uint64_t n : latency.of(hop).counts()) sum += n;
    return sum;
  }
  double seconds(ChangeLatency::Hop hop) const { return latency.of(hop).sum(); }

  ChangeLatency latency;
  const store::ChangeTimes::Time wall{std::chrono::microseconds(1'800'000'000'000'000)};
  const Clock::time_point now = Clock::now();
};

TEST_F(ChangeLatencyTest, EachHopHasItsShare) {
  latency.add(change(100us, 200us));
  latency.begin();
  latency.done(now + 3ms, now + 7ms);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kWriter), 0.0001);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kRedis), 0.0002);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kControl), 0.003);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kDataplane), 0.004);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kAll), 0.0073);
  EXPECT_EQ(latency.waiting(), 0u);
}

TEST_F(ChangeLatencyTest, WhatNeededNoTransactionHasNoHopOfTheDataplane) {
  latency.add(change(1ms, 1ms));
  latency.begin();
  latency.done(std::nullopt, now + 2ms);
  EXPECT_EQ(count(ChangeLatency::kDataplane), 0u);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kControl), 0.002);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kAll), 0.004);
}

TEST_F(ChangeLatencyTest, ATransactionHasWhatWasAddedBeforeItBegan) {
  latency.add(change(1ms, 1ms));
  latency.begin();
  latency.add(change(1ms, 1ms));
  latency.done(now, now);
  EXPECT_EQ(count(ChangeLatency::kAll), 1u);
  EXPECT_EQ(latency.waiting(), 1u);
  latency.begin();
  latency.done(now, now);
  EXPECT_EQ(count(ChangeLatency::kAll), 2u);
}

TEST_F(ChangeLatencyTest, ARefusedChangeIsMeasuredUpToTheTransactionThatBringsIt) {
  latency.add(change(1ms, 1ms));
  latency.begin();
  latency.add(change(1ms, 1ms));
  latency.failed();
  EXPECT_EQ(count(ChangeLatency::kAll), 0u);
  EXPECT_EQ(latency.waiting(), 2u);
  latency.begin();
  latency.done(now + 2s, now + 3s);
  EXPECT_EQ(count(ChangeLatency::kAll), 2u);
  EXPECT_NEAR(seconds(ChangeLatency::kAll), 6.004, 1e-9);
}

TEST_F(ChangeLatencyTest, ClocksThatDisagreeCountAsNothingAndAreTold) {
  latency.add(change(1ms, -5ms));
  latency.begin();
  latency.done(now + 1ms, now + 2ms);
  EXPECT_EQ(seconds(ChangeLatency::kRedis), 0.0);
  EXPECT_EQ(seconds(ChangeLatency::kAll), 0.0);  // -2 ms.
  EXPECT_EQ(count(ChangeLatency::kAll), 1u);
  EXPECT_DOUBLE_EQ(seconds(ChangeLatency::kDataplane), 0.001);
  EXPECT_EQ(latency.counters().negative, 2u);
  EXPECT_EQ(latency.counters().unmeasured, 0u);
}

TEST_F(ChangeLatencyTest, AClockThatIsDaysOffIsNotMeasured) {
  latency.add(change(1ms, 48h));
  store::TimedChange oldest = change(1ms, 1ms);
  oldest.times.arrived = {};  // 1970.
  latency.add(oldest);
  latency.begin();
  latency.done(now, now);
  EXPECT_EQ(count(ChangeLatency::kAll), 0u);
  EXPECT_EQ(latency.counters().unmeasured, 2u);
}

TEST_F(ChangeLatencyTest, ABoundedNumberWaits) {
  for (std::size_t i = 0; i < ChangeLatency::kMaxWaiting; ++i) latency.add(change(1ms, 1ms));
  latency.begin();
  latency.add(change(1ms, 1ms));
  EXPECT_EQ(latency.waiting(), ChangeLatency::kMaxWaiting);
  EXPECT_EQ(latency.counters().unmeasured, 1u);
  latency.done(now, now);
  EXPECT_EQ(count(ChangeLatency::kAll), ChangeLatency::kMaxWaiting);
}

class ControlMetricsTest : public ChangeLatencyTest {
 protected:
  ControlMetricsTest() {
    state.version = "1.2.3";
    state.gateway = "edge-1";
    state.redis_connected = state.objects_read = state.ledger_known = true;
    state.dataplane_connected = state.programmed = state.secret_known = true;
    state.ledger = store::LedgerState::kReady;
    state.addresses = 12;
    state.generation = 42;
    state.vips = 9;
    state.programs.generations = 40;
    state.programs.refusals = 2;
    state.planned = 77;
    state.worked_out.full = 3;
    state.dataplane_failed = ControlState::Time(std::chrono::seconds(1'700'000'000));
    store::SourceView view;
    view.state.set_source("prod");
    view.state.set_state("synced");
    view.complete = {v1::KIND_SERVICE};
    view.objects[v1::KIND_SERVICE] = 5;
    view.held = 1;
    state.sources.push_back(view);
    latency.add(change(1ms, 1ms));
    latency.begin();
    latency.done(now + 1ms, now + 2ms);
    state.latency = &latency;
  }
  ControlState state;
};

TEST_F(ControlMetricsTest, EverythingIsInTheText) {
  const std::string text = control_metrics(state);
  for (const char* line :
       {"sluice_control_info{gateway=\"edge-1\",version=\"1.2.3\"} 1\n",
        "sluice_control_change_seconds_bucket{hop=\"all\",le=\"0.004\"} 1\n",
        "sluice_control_change_seconds_bucket{hop=\"all\",le=\"0.003\"} 0\n",
        "sluice_control_change_seconds_count{hop=\"agent\"} 1\n",
        "sluice_control_change_seconds_count{hop=\"dataplane\"} 1\n",
        "sluice_control_generations_applied_total 40\n",
        "sluice_control_generations_refused_total 2\n", "sluice_control_full_rebuilds_total 3\n",
        "sluice_control_services_planned_total 77\n", "sluice_control_ledger_records 12\n",
        "sluice_control_ledger_state{state=\"ready\"} 1\n",
        "sluice_control_ledger_state{state=\"rebuild\"} 0\n",
        "sluice_control_objects{source=\"prod\",kind=\"Service\"} 5\n",
        "sluice_control_objects{source=\"prod\",kind=\"Node\"} 0\n",
        "sluice_control_complete{source=\"prod\",kind=\"Service\"} 1\n",
        "sluice_control_complete{source=\"prod\",kind=\"Node\"} 0\n",
        "sluice_control_held_objects{source=\"prod\"} 1\n",
        "sluice_control_last_error_timestamp_seconds{part=\"dataplane\"} 1700000000\n",
        "sluice_control_last_error_timestamp_seconds{part=\"redis\"} 0\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST_F(ControlMetricsTest, ReadyNeedsObjectsLedgerAndDataplane) {
  EXPECT_TRUE(control_readiness(state).ready);
  ControlState other = state;
  other.redis_connected = other.objects_read = false;
  EXPECT_FALSE(control_readiness(other).ready);
  EXPECT_THAT(control_readiness(other).text,
              AllOf(HasSubstr("[-]objects: not known yet"), HasSubstr("\nnot ready\n")));
  other.disk_loaded = true;  // Redis may be away for as long as it likes.
  EXPECT_TRUE(control_readiness(other).ready);
  other.ledger_known = false;
  EXPECT_FALSE(control_readiness(other).ready);
  other = state;
  other.programmed = other.secret_known = false;
  EXPECT_FALSE(control_readiness(other).ready);
  EXPECT_THAT(control_readiness(other).text, HasSubstr("secret is not known"));
  other.dataplane_connected = false;
  other.dataplane_error = "no such file";
  EXPECT_THAT(
      control_readiness(other).text,
      AllOf(HasSubstr("[-]dataplane: is not connected; no such file"), Not(HasSubstr("secret"))));
}

}  // namespace
}  // namespace sluice
