#include "control/daemon/status.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice {
namespace {

using ::testing::HasSubstr;
using namespace std::chrono_literals;

const std::chrono::system_clock::time_point kNow{1'700'000'000s};

ServicePlan web_plan() {
  ServicePlan plan;
  plan.key = {"manual", "default", "web"};
  plan.uid = "u-1";
  plan.wanted = plan.known = true;
  return plan;
}

ServiceOutcome outcome_with(std::vector<std::string> addresses) {
  ServiceOutcome outcome;
  outcome.addresses = std::move(addresses);
  outcome.backends = 3;
  return outcome;
}

TEST(Programmed, TellsTheFirstReasonWhyNot) {
  const ServicePlan plan = web_plan();
  ServicePlan unknown = plan;
  unknown.known = false;
  const ServiceOutcome none = outcome_with({}), some = outcome_with({"192.0.2.1"});
  const auto reason = [](const ServicePlan& p, const ServiceOutcome& o, VipProgress progress,
                         ProgramState state) {
    return programmed_condition(p, o, progress, state).reason();
  };
  EXPECT_EQ(reason(plan, none, {0, 0}, {true, ""}), "NoAddress");
  EXPECT_EQ(reason(plan, some, {1, 0}, {false, "no socket"}), "DataplaneUnreachable");
  EXPECT_EQ(reason(unknown, some, {0, 0}, {true, ""}), "EndpointsUnknown");
  EXPECT_EQ(reason(plan, some, {0, 0}, {true, ""}), "NoVip");
  EXPECT_EQ(reason(plan, some, {2, 1}, {true, ""}), "Pending");
  EXPECT_EQ(reason(plan, some, {2, 1}, {true, "no room"}), "Refused");
  EXPECT_EQ(reason(plan, some, {2, 1}, {true, "", false}), "SecretUnknown");
  EXPECT_EQ(reason(plan, some, {2, 2}, {true, ""}), "Programmed");
  // A refused change of other Services does not concern one that is served as wanted.
  EXPECT_EQ(reason(plan, some, {2, 2}, {true, "no room"}), "Programmed");
}

v1::ServiceStatus status_of(bool programmed, const v1::ServiceStatus* before,
                            std::chrono::system_clock::time_point now,
                            const std::string& gateway = "edge-1") {
  static const ServicePlan plan = web_plan();
  const ServiceOutcome outcome = outcome_with({"192.0.2.1"});
  StatusInputs inputs;
  inputs.plan = &plan;
  inputs.outcome = &outcome;
  inputs.before = before;
  inputs.gateway = gateway;
  inputs.observed_generation = 4;
  inputs.now = now;
  inputs.further.push_back(
      make_condition(kProgrammed, programmed, programmed ? "Programmed" : "Pending", "m"));
  return make_status(inputs);
}

TEST(Status, TransitionTimeMovesOnlyWithTheStatus) {
  const auto first = status_of(false, nullptr, kNow);
  EXPECT_EQ(find_condition(first, kProgrammed)->last_transition_time(), "2023-11-14T22:13:20Z");
  EXPECT_EQ(find_condition(first, kProgrammed)->observed_generation(), 4);
  const auto same = status_of(false, &first, kNow + 60s);
  EXPECT_TRUE(same_status(first, same));
  const auto changed = status_of(true, &same, kNow + 60s);
  EXPECT_EQ(find_condition(changed, kProgrammed)->last_transition_time(), "2023-11-14T22:14:20Z");
}

TEST(Merge, ProgrammedOnlyIfItIsEverywhereAndTellsOnHowMany) {
  const auto own = status_of(true, nullptr, kNow);
  const v1::ServiceStatus good = status_of(true, nullptr, kNow, "edge-2");
  const v1::ServiceStatus bad = status_of(false, nullptr, kNow, "edge-3");
  const std::vector<GatewayStatus> all_good{{"edge-2", &good}};
  const std::vector<GatewayStatus> one_bad{{"edge-2", &good}, {"edge-3", &bad}};

  const auto merged = merge_statuses(own, all_good, nullptr);
  EXPECT_EQ(merged.gateway(), "");
  EXPECT_EQ(find_condition(merged, kProgrammed)->status(), "True");
  EXPECT_EQ(find_condition(merged, kProgrammed)->message(), "Programmed on 2 of 2 gateways.");
  EXPECT_EQ(merged.programmed_gateways(), 2u);

  const auto blamed = merge_statuses(own, one_bad, nullptr);
  EXPECT_EQ(find_condition(blamed, kProgrammed)->status(), "False");
  EXPECT_EQ(find_condition(blamed, kProgrammed)->reason(), "Pending");
  EXPECT_THAT(find_condition(blamed, kProgrammed)->message(),
              AllOf(HasSubstr("2 of 3 gateways"), HasSubstr("edge-3: m")));
  EXPECT_EQ(blamed.programmed_gateways(), 2u);
  EXPECT_EQ(blamed.gateways(), 3u);

  const auto own_bad = merge_statuses(status_of(false, nullptr, kNow), all_good, nullptr);
  EXPECT_THAT(find_condition(own_bad, kProgrammed)->message(), HasSubstr("edge-1"));
  EXPECT_EQ(own_bad.programmed_gateways(), 1u);
}

TEST(Merge, AGatewayThatSpeaksOfAnotherServiceOrAddressHasNotProgrammedThisOne) {
  const auto own = status_of(true, nullptr, kNow);
  v1::ServiceStatus old = status_of(true, nullptr, kNow, "edge-2");
  old.set_uid("u-0");
  v1::ServiceStatus elsewhere = status_of(true, nullptr, kNow, "edge-3");
  elsewhere.set_addresses(0, "192.0.2.7");
  const std::vector<GatewayStatus> others{{"edge-2", &old}, {"edge-3", &elsewhere}, {"edge-4", {}}};
  for (const GatewayStatus& other : others) {
    const auto merged = merge_statuses(own, std::span(&other, 1), nullptr);
    EXPECT_EQ(merged.programmed_gateways(), 1u);
    EXPECT_EQ(find_condition(merged, kProgrammed)->status(), "False");
    EXPECT_THAT(find_condition(merged, kProgrammed)->message(),
                HasSubstr("1 of 2 gateways; on gateway " + other.gateway));
  }
}

TEST(Merge, TransitionTimeStaysWhileTheStatusDoes) {
  const auto before = merge_statuses(status_of(true, nullptr, kNow), {}, nullptr);
  const auto later = merge_statuses(status_of(true, nullptr, kNow + 60s), {}, &before);
  EXPECT_TRUE(same_status(before, later));
}

TEST(Status, AddressesAreProxiedWhereEndpointsGetAHeader) {
  const ServicePlan plan = web_plan();
  const ServiceOutcome some = outcome_with({"192.0.2.1"}), none = outcome_with({});
  StatusInputs inputs;
  inputs.plan = &plan;
  inputs.outcome = &some;
  EXPECT_EQ(make_status(inputs).ip_mode(), "VIP");
  inputs.proxied = true;
  EXPECT_EQ(make_status(inputs).ip_mode(), "Proxy");
  inputs.outcome = &none;
  EXPECT_EQ(make_status(inputs).ip_mode(), "");
}

}  // namespace
}  // namespace sluice
