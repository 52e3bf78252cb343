// From what the gateways say in Redis to what stands in the cluster.
#include <boost/json.hpp>

#include "tests/unit/status/sync_fixture.h"

namespace sluice::agent {

std::vector<std::string> SyncTest::events() const {
  std::vector<std::string> texts;
  for (const auto& [key, stored] : kube.objects(fake::resource("events"))) {
    const auto event = boost::json::parse(stored->json).as_object();
    texts.push_back(std::string(event.at("type").as_string()) + " " +
                    std::string(event.at("reason").as_string()) + " " +
                    std::to_string(event.at("count").to_number<int>()));
  }
  return texts;
}

namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::StartsWith;
using testing::UnorderedElementsAre;

constexpr const char* kProgrammed = "sluice.dev/Programmed";
constexpr const char* kAllocated = "sluice.dev/AddressAllocated";

TEST_F(SyncTest, AnAddressAndWhyThereIsNoneGetIntoTheCluster) {
  create_service("web");
  gateways_say({merged("web", {}, 0)});
  EXPECT_TRUE(until([&] { return conditions("web").size() == 2; }));
  EXPECT_THAT(ingress("web"), IsEmpty());
  EXPECT_THAT(conditions("web"), Contains(Pair(kAllocated, "False PoolExhausted")));

  gateways_say({merged("web", {"192.0.2.1"}, 0)});
  EXPECT_TRUE(until([&] { return conditions("web")[kAllocated] == "True Allocated"; }));
  EXPECT_THAT(ingress("web"), IsEmpty()) << "no gateway serves it";

  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return conditions("web")[kProgrammed] == "True Programmed"; }));
  EXPECT_THAT(ingress("web"), ElementsAre("192.0.2.1 VIP"));
  EXPECT_TRUE(until([&] { return events().size() == 3; }));
  EXPECT_THAT(events(), UnorderedElementsAre("Warning AllocationFailed 1",
                                             "Normal AddressAllocated 1", "Normal Programmed 1"));
  const std::string json = kube.find(place("web"))->json;
  EXPECT_THAT(json, AllOf(HasSubstr("\"manager\":\"sluice-agent\",\"operation\":\"Apply\""),
                          Not(HasSubstr("\"finalizers\""))));
}

TEST_F(SyncTest, WhatIsSoAlreadyIsNotWrittenAgain) {
  create_service("web");
  gateways_say({merged("web", {"192.0.2.1", "2001:db8::1"})});
  EXPECT_TRUE(until([&] { return conditions("web").size() == 2; }));
  settle();
  const auto before = requests.size();
  const auto version = kube.version();
  sync->on_services_synced();
  settle();
  stop();
  make();  // Another leader.
  settle();
  EXPECT_EQ(requests.size(), before);
  EXPECT_EQ(kube.version(), version);
}

TEST_F(SyncTest, EntriesOfOthersStayAndOursGoOnceGivenBack) {
  create_service("web");
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return ingress("web").size() == 1; }));
  ASSERT_TRUE(overwrite_status("web", R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.1"},
                                         {"ip":"198.51.100.7"}]}})")
                  .ok());
  gateways_say({merged("web", {"192.0.2.2"})});
  EXPECT_TRUE(until([&] { return ingress("web").size() == 3; }));
  ledger_says_given_back("web", "192.0.2.1");
  sync->on_service({"shop", "web"});
  EXPECT_TRUE(until([&] { return ingress("web").size() == 2; }));
  EXPECT_THAT(ingress("web"), ElementsAre("192.0.2.2 VIP", "198.51.100.7 VIP"));
}

TEST_F(SyncTest, AFlushedRedisTakesNothingAway) {
  create_service("web");
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return conditions("web").size() == 2; }));
  server.command({"FLUSHALL"});
  sync->on_services_synced();
  settle();
  EXPECT_THAT(ingress("web"), ElementsAre("192.0.2.1 VIP"));
  EXPECT_THAT(conditions("web"), Contains(Pair(kProgrammed, "True Programmed")));
}

TEST_F(SyncTest, OthersServicesAreNeverTouched) {
  create_service("foreign", R"("type":"LoadBalancer","loadBalancerClass":"example.com/lb")");
  create_service("plain", R"("type":"ClusterIP")");
  gateways_say({merged("foreign", {"192.0.2.1"}), merged("plain", {"192.0.2.2"})});
  sync->on_services_synced();
  settle();
  EXPECT_THAT(requests, IsEmpty());
  create_service("classed", R"("type":"LoadBalancer","loadBalancerClass":"sluice.dev/gateway")");
  gateways_say({merged("classed", {"192.0.2.3"})});
  EXPECT_TRUE(until([&] { return ingress("classed").size() == 1; }));
}

TEST_F(SyncTest, AnotherTypeTakesOurConditionsAway) {
  create_service("web");
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return conditions("web").size() == 2; }));
  ASSERT_TRUE(overwrite_status("web", R"({"conditions":[{"type":"example.com/Other","status":"True",
      "reason":"R","message":"","lastTransitionTime":"2026-11-23T04:00:00Z"}]})")
                  .ok());
  // A merge patch replaces lists: ours are written again, the other one stays.
  EXPECT_TRUE(until([&] { return conditions("web").size() == 3; }));
  ASSERT_TRUE(
      kube.patch(place("web"), fake::PatchType::kMerge, R"({"spec":{"type":"ClusterIP"}})").ok());
  EXPECT_TRUE(until([&] { return conditions("web").size() == 1; }));
  EXPECT_THAT(conditions("web"), Contains(Pair("example.com/Other", "True R")));
  EXPECT_THAT(ingress("web"), IsEmpty());
}

TEST_F(SyncTest, AStaleWriteIsRefusedAndDecidedAgain) {
  create_service("web");
  int times = 0;
  before_answer = [&](const sluice::kube::Request& request) {
    if (request.content_type == "application/merge-patch+json" &&
        request.target.find("/status") != std::string::npos && times++ < 2)
      overwrite_status("web", R"({"loadBalancer":{"ingress":[{"ip":"198.51.100.)" +
                                  std::to_string(times) + R"("}]}})");
  };
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return ingress("web").size() == 2; }));
  EXPECT_THAT(ingress("web"), ElementsAre("192.0.2.1 VIP", "198.51.100.2 VIP"));
  EXPECT_EQ(sync->state().conflicts, 2u);
}

TEST_F(SyncTest, WhoLeadsNoMoreIsRefused) {
  create_service("web");
  // The lease is lost after the decision, and the next leader has already written.
  before_answer = [&](const sluice::kube::Request& request) {
    if (request.method != "PATCH") return;
    before_answer = nullptr;
    overwrite_status("web", R"({"loadBalancer":{"ingress":[{"ip":"192.0.2.9"}]}})", "sluice-agent");
    leading = false;
  };
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return sync->state().conflicts == 1; }));
  settle();
  EXPECT_THAT(ingress("web"), ElementsAre("192.0.2.9 VIP"));
  EXPECT_EQ(patches(), 1u);
  EXPECT_THAT(events(), IsEmpty());
}

TEST_F(SyncTest, OneWhoDoesNotLeadWritesNothing) {
  leading = false;
  create_service("web");
  gateways_say({merged("web", {"192.0.2.1"})});
  settle();
  EXPECT_THAT(requests, IsEmpty());
  leading = true;
  sync->on_leading(true);
  EXPECT_TRUE(until([&] { return ingress("web").size() == 1; }));
}

TEST_F(SyncTest, AnotherWriterThatFightsIsMetWithPatience) {
  create_service("web");
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return conditions("web").size() == 2; }));
  const auto before = patches();
  const auto end = std::chrono::steady_clock::now() + 3500ms;
  while (std::chrono::steady_clock::now() < end) {
    if (!ingress("web").empty()) {
      ASSERT_TRUE(overwrite_status("web", R"({"loadBalancer":{"ingress":null}})").ok());
    }
    pass(5ms);
  }
  // At once, after 1 s, after 2 s more.
  EXPECT_GE(patches() - before, 2u);
  EXPECT_LE(patches() - before, 4u);
  EXPECT_GE(sync->state().contested, 2u);
  EXPECT_THAT(events(), Contains(StartsWith("Warning StatusConflict")));
}

TEST_F(SyncTest, TheUserIsToldThatNoGatewayAnswers) {
  create_service("web");
  EXPECT_TRUE(until([&] { return conditions("web")[kAllocated] == "Unknown NoGateway"; }));
  EXPECT_TRUE(until([&] { return !events().empty(); }));
  EXPECT_THAT(events(), ElementsAre("Warning NoGateway 1"));
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return conditions("web")[kAllocated] == "True Allocated"; }));
}

TEST_F(SyncTest, TheUserIsToldThatRedisCannotBeReached) {
  create_service("served");
  gateways_say({merged("served", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return conditions("served").size() == 2; }));
  server.kill();
  create_service("web");
  EXPECT_TRUE(until([&] { return conditions("web")[kAllocated] == "Unknown RedisUnreachable"; }));
  EXPECT_THAT(conditions("served"), Contains(Pair(kProgrammed, "True Programmed")));
  EXPECT_THAT(ingress("served"), ElementsAre("192.0.2.1 VIP"));
  server.start();
}

TEST_F(SyncTest, AnApiServerThatFailsIsAskedAgainLaterAndLater) {
  timing.jobs.retry = 40ms;
  stop();
  make();
  create_service("web");
  fail_with = 500;
  gateways_say({merged("web", {"192.0.2.1"})});
  pass(600ms);
  EXPECT_GE(patches(), 2u);
  EXPECT_LE(patches(), 6u);
  fail_with = 0;
  EXPECT_TRUE(until([&] { return conditions("web").size() == 2; }));
}

TEST_F(SyncTest, ADeletedServiceEndsIt) {
  create_service("web");
  before_answer = [&](const sluice::kube::Request&) {
    before_answer = nullptr;
    kube.remove(place("web"));
  };
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return patches() == 1; }));
  settle();
  EXPECT_EQ(patches(), 1u);
  create_service("web");  // Another one of that name.
  settle();
  EXPECT_THAT(ingress("web"), IsEmpty()) << "the status is of the old one";
  gateways_say({merged("web", {"192.0.2.1"})});
  EXPECT_TRUE(until([&] { return ingress("web").size() == 1; }));
}

TEST_F(SyncTest, ManyServices) {
  std::vector<v1::ServiceStatus> all;
  for (int i = 0; i < 300; ++i) {
    create_service("web-" + std::to_string(i));
    all.push_back(merged("web-" + std::to_string(i), {"192.0.2." + std::to_string(i % 250 + 1)}));
  }
  timing.jobs.burst = 10'000;
  stop();
  make();
  gateways_say(all);
  EXPECT_TRUE(until([&] {
    for (int i = 0; i < 300; ++i)
      if (conditions("web-" + std::to_string(i)).size() != 2) return false;
    return true;
  }));
  EXPECT_EQ(sync->state().addresses_written, 300u);
  EXPECT_EQ(sync->state().conditions_written, 300u);
  EXPECT_LE(sync->state().events_written, 250u) << "a hundred at once, ten a second";
}

}  // namespace
}  // namespace sluice::agent
