// Which Events are written, and as what; the requests that write a status.
#include "control/kubernetes/events.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <sstream>

#include "control/kubernetes/status_writer.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::MatchesRegex;

const PaceClock::time_point kStart{1000s};
const std::chrono::system_clock::time_point kWall{1'700'000'000s};
const EventSubject kWeb{"shop", "web", "u-1"};

class EventLogTest : public testing::Test {
 protected:
  std::optional<EventLog::Write> admit(const std::string& reason, const std::string& message = "m",
                                       PaceClock::duration after = 0s) {
    return log.admit(kWeb, {true, reason, message}, kStart + after, kWall + 60s);
  }
  EventLog log{"agent-1"};
};

TEST_F(EventLogTest, TheSameIsCountedUp) {
  const auto first = admit("AllocationFailed", "no pool");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->request.method, "POST");
  EXPECT_EQ(first->request.target, "/api/v1/namespaces/shop/events?fieldManager=sluice-agent");
  const auto event = boost::json::parse(first->request.body).as_object();
  EXPECT_EQ(event.at("type"), "Warning");
  EXPECT_EQ(event.at("involvedObject").at("uid"), "u-1");
  EXPECT_EQ(event.at("metadata").at("namespace"), "shop");
  EXPECT_EQ(event.at("lastTimestamp"), "2023-11-14T22:14:20Z");
  const std::string name(event.at("metadata").at("name").as_string());
  EXPECT_THAT(name, MatchesRegex("web\\.[0-9a-f]{16}"));

  const auto second = admit("AllocationFailed", "no pool");
  ASSERT_TRUE(second);
  EXPECT_EQ(second->request.method, "PATCH");
  EXPECT_THAT(second->request.target, HasSubstr("/events/" + name));
  EXPECT_EQ(boost::json::parse(second->request.body).at("count").to_number<int>(), 2);
  EXPECT_EQ(admit("AllocationFailed", "another pool")->request.method, "POST");
  EXPECT_EQ(admit("AllocationFailed", "no pool", 2h)->request.method, "POST") << "long ago";
  log.forget(second->key);
  EXPECT_EQ(admit("AllocationFailed", "no pool", 2h)->request.method, "POST");
}

TEST_F(EventLogTest, OneServiceMayTellTenAtOnceAndThenOneAMinute) {
  int written = 0;
  for (int i = 0; i < 100; ++i) written += admit("R", std::to_string(i)).has_value();
  EXPECT_EQ(written, 10);
  EXPECT_FALSE(admit("R", "m", 30s));
  EXPECT_TRUE(admit("R", "m", 61s));
}

TEST_F(EventLogTest, AllServicesTogetherAreBoundedToo) {
  int written = 0;
  for (int i = 0; i < 10'000; ++i) {
    const std::string uid = "u-" + std::to_string(i);
    written += log.admit({"shop", "web", uid}, {false, "R", "m"}, kStart, kWall).has_value();
  }
  EXPECT_EQ(written, 100);
}

ServiceView view() {
  ServiceView seen;
  seen.ns = "shop";
  seen.name = "web";
  seen.uid = "u-1";
  seen.resource_version = "820";
  return seen;
}

TEST(StatusWriter, AddressesByMergePatchOnWhatWasSeen) {
  v1::LoadBalancerIngress a, b;
  a.set_ip("192.0.2.1");
  a.set_ip_mode("Proxy");
  b.set_hostname("lb.example.net");
  b.add_ports()->set_port(80);
  b.mutable_ports(0)->set_protocol("TCP");
  const Request patch = ingress_patch(view(), {a, b});
  EXPECT_EQ(patch.method, "PATCH");
  EXPECT_EQ(patch.content_type, "application/merge-patch+json");
  EXPECT_EQ(patch.target, "/api/v1/namespaces/shop/services/web/status?fieldManager=sluice-agent");
  EXPECT_FALSE(patch.repeatable);
  EXPECT_EQ(boost::json::parse(patch.body), boost::json::parse(R"({
    "metadata":{"uid":"u-1","resourceVersion":"820"},
    "status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1","ipMode":"Proxy"},
      {"hostname":"lb.example.net","ports":[{"port":80,"protocol":"TCP"}]}]}}})"));
  EXPECT_EQ(boost::json::parse(ingress_patch(view(), {}).body)
                .at("status")
                .at("loadBalancer")
                .at("ingress"),
            nullptr);
}

TEST(StatusWriter, ConditionsByServerSideApplyOnWhatWasSeen) {
  v1::Condition condition;
  condition.set_type("sluice.dev/Programmed");
  condition.set_status("True");
  condition.set_reason("Programmed");
  condition.set_last_transition_time("2026-11-23T04:00:00Z");
  const Request apply = conditions_apply(view(), {condition});
  EXPECT_EQ(apply.content_type, "application/apply-patch+yaml");
  EXPECT_EQ(apply.target,
            "/api/v1/namespaces/shop/services/web/status?fieldManager=sluice-agent&force=true");
  EXPECT_EQ(boost::json::parse(apply.body), boost::json::parse(R"({
    "apiVersion":"v1","kind":"Service",
    "metadata":{"uid":"u-1","resourceVersion":"820","name":"web","namespace":"shop"},
    "status":{"conditions":[{"type":"sluice.dev/Programmed","status":"True","reason":"Programmed",
      "message":"","lastTransitionTime":"2026-11-23T04:00:00Z"}]}})"));
  const Request none = conditions_apply(view(), {});
  EXPECT_FALSE(boost::json::parse(none.body).at("status").as_object().contains("conditions"));
}

Response recorded(const std::string& name, unsigned status) {
  std::stringstream body;
  body << std::ifstream(
              std::string(SLUICE_SOURCE_DIR "/tests/fixtures/kubernetes/v1.32/writeback/") + name)
              .rdbuf();
  Response response;
  response.status = status;
  response.body = body.str();
  EXPECT_FALSE(response.body.empty()) << name;
  return response;
}

TEST(StatusWriter, AnswersOfARealServer) {
  const Written done = read_answer(recorded("15-ipmode-and-dualstack.json", 200), {});
  EXPECT_EQ(done.outcome, Outcome::kDone);
  EXPECT_EQ(done.service.resource_version, "824");
  ASSERT_EQ(done.service.ingress.size(), 2u);
  EXPECT_EQ(done.service.ingress[1].ip_mode(), "Proxy");
  const auto outcome = [](const char* name, unsigned status) {
    return read_answer(recorded(name, status), {}).outcome;
  };
  EXPECT_EQ(outcome("7-merge-patch-with-stale-rv-409.json", 409), Outcome::kStale);
  EXPECT_EQ(outcome("11-missing-404.json", 404), Outcome::kGone);
  EXPECT_EQ(outcome("14-on-clusterip-service.json", 422), Outcome::kRefused);
  EXPECT_EQ(outcome("13-nobody-403.json", 403), Outcome::kDenied);
  EXPECT_EQ(outcome("11-missing-404.json", 200), Outcome::kFailed) << "no Service";
}

}  // namespace
}  // namespace sluice::kube
