// The store's rules that no recording shows: history, pages, Leases, Namespaces, Events.
#include <boost/json.hpp>
#include <chrono>

#include "gtest/gtest.h"
#include "tests/support/kube/api.h"
#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/load.h"
#include "tests/support/kube/watch.h"

namespace sluice::test::kube {
namespace {

std::string service(const std::string& name, const std::string& more = "",
                    const std::string& labels = "{}") {
  return R"({"kind":"Service","apiVersion":"v1","metadata":{"namespace":"default","name":")" +
         name + R"(","labels":)" + labels +
         "},\"spec\":{\"type\":\"LoadBalancer\",\"ports\":[{\"port\":80}]" + more + "}}";
}

Place place(const char* plural, const char* ns, const char* name) {
  return {&resource(plural), ns, name};
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() : api_(store_, access_, true) {}
  Answer get(const std::string& target) {
    Request request;
    request.method = "GET";
    request.target = target;
    request.trusted = true;
    return api_.handle(request).answer;
  }
  // The events a watch sends at once.
  std::vector<json::value> events(const std::string& target) {
    Request request;
    request.method = "GET";
    request.target = target;
    request.trusted = true;
    Outcome outcome = api_.handle(request);
    EXPECT_TRUE(outcome.watch.has_value()) << outcome.answer.body;
    if (!outcome.watch) return {};
    const auto now = Watch::Clock::now();
    Watch watch(store_, *outcome.watch, std::chrono::hours(1), now);
    std::string out;
    watch.next(out, 1 << 20, now);
    std::vector<json::value> list;
    for (std::size_t at = out.find("\r\n{\"type\""); at != std::string::npos;
         at = out.find("\r\n{\"type\"", at + 1)) {
      list.push_back(json::parse(out.substr(at + 2, out.find('\n', at + 2) - at - 2)));
    }
    return list;
  }

  Store store_;
  Access access_;
  Api api_;
};

TEST_F(StoreTest, PagesShowOneMoment) {
  for (int i = 0; i < 10; ++i) store_.create(service("s" + std::to_string(i)));
  json::value first = json::parse(get("/api/v1/namespaces/default/services?limit=4").body);
  EXPECT_EQ(first.at("items").as_array().size(), 4u);
  EXPECT_EQ(first.at("metadata").at("remainingItemCount"), 7);
  store_.remove(place("services", "default", "s9"));
  store_.create(service("zz"));
  std::string next(first.at("metadata").at("continue").as_string());
  std::size_t seen = 4;
  bool has_s9 = false, has_zz = false;
  while (!next.empty()) {
    const json::value page =
        json::parse(get("/api/v1/namespaces/default/services?limit=4&continue=" + next).body);
    EXPECT_EQ(page.at("metadata").at("resourceVersion"),
              first.at("metadata").at("resourceVersion"));
    for (const json::value& item : page.at("items").as_array()) {
      has_s9 = has_s9 || item.at("metadata").at("name") == "s9";
      has_zz = has_zz || item.at("metadata").at("name") == "zz";
      ++seen;
    }
    next = text_at(page.as_object(), {"metadata", "continue"});
  }
  EXPECT_EQ(seen, 11u);  // With "kubernetes".
  EXPECT_TRUE(has_s9);
  EXPECT_FALSE(has_zz);
}

TEST_F(StoreTest, AnExpiredContinueGives410WithAWayOn) {
  for (int i = 0; i < 5; ++i) store_.create(service("s" + std::to_string(i)));
  const json::value first = json::parse(get("/api/v1/services?limit=2").body);
  store_.create(service("later"));
  store_.compact();
  const std::string next(first.at("metadata").at("continue").as_string());
  const Answer gone = get("/api/v1/services?limit=2&continue=" + next);
  EXPECT_EQ(gone.status, 410u);
  const std::string way(json::parse(gone.body).at("metadata").at("continue").as_string());
  EXPECT_EQ(get("/api/v1/services?limit=2&continue=" + way).status, 200u);
}

TEST_F(StoreTest, AWatchBeginsWhereTheListEnded) {
  store_.create(service("a", "", R"({"x":"1"})"));
  const std::string version = std::to_string(store_.version());
  store_.create(service("b"));
  store_.patch(place("services", "default", "a"), PatchType::kMerge,
               R"({"metadata":{"labels":{"x":null}}})");
  store_.remove(place("services", "default", "b"));
  const auto list = events("/api/v1/services?watch=true&resourceVersion=" + version);
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[0].at("type"), "ADDED");
  EXPECT_EQ(list[1].at("type"), "MODIFIED");
  EXPECT_EQ(list[2].at("type"), "DELETED");
  EXPECT_EQ(list[2].at("object").at("metadata").at("resourceVersion").as_string(),
            std::to_string(store_.version()));
  const auto labelled =
      events("/api/v1/services?watch=true&labelSelector=x%3D1&resourceVersion=" + version);
  ASSERT_EQ(labelled.size(), 1u);
  EXPECT_EQ(labelled[0].at("type"), "DELETED");
  EXPECT_EQ(labelled[0].at("object").at("metadata").at("labels").at("x"), "1");
}

TEST_F(StoreTest, AWatchFromBeforeTheHistoryGets410AsAnEvent) {
  const std::string version = std::to_string(store_.version());
  store_.create(service("a"));
  store_.compact();
  const auto list = events("/api/v1/services?watch=true&resourceVersion=" + version);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].at("type"), "ERROR");
  EXPECT_EQ(list[0].at("object").at("code"), 410);
  EXPECT_EQ(list[0].at("object").at("reason"), "Expired");
}

TEST(Store, TheHistoryIsBounded) {
  Store store(10);
  const std::uint64_t begin = store.version();
  for (int i = 0; i < 20; ++i) store.create(service("s" + std::to_string(i)));
  std::vector<Change> changes;
  EXPECT_FALSE(store.changes_after(begin, 100, changes));
  ASSERT_TRUE(store.changes_after(store.oldest(), 100, changes));
  EXPECT_EQ(changes.size(), 10u);
  EXPECT_EQ(changes.back().version, store.version());
  Objects then;
  ASSERT_TRUE(store.objects_at(resource("services"), store.oldest(), then));
  EXPECT_EQ(then.size() + 10, store.objects(resource("services")).size());
}

TEST_F(StoreTest, InitialEventsEndWithTheirBookmark) {
  store_.create(service("a"));
  const auto list = events(
      "/api/v1/services?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
      "allowWatchBookmarks=true");
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].at("type"), "BOOKMARK");
  EXPECT_EQ(list[2].at("object").at("metadata").at("annotations").at("k8s.io/initial-events-end"),
            "true");
}

TEST_F(StoreTest, ALeaseIsTakenByOneOnly) {
  const std::string head =
      R"({"kind":"Lease","apiVersion":"coordination.k8s.io/v1","metadata":{"namespace":"default","name":"l")";
  ASSERT_TRUE(
      store_.create(head + R"(},"spec":{"holderIdentity":"one","leaseDurationSeconds":15}})").ok());
  const std::uint64_t seen = store_.version();
  const std::string next = head + R"(,"resourceVersion":")" + std::to_string(seen) + "\"}";
  EXPECT_EQ(store_.update(next + R"(,"spec":{"holderIdentity":"two"}})").status, 200u);
  EXPECT_EQ(store_.update(next + R"(,"spec":{"holderIdentity":"three"}})").status, 409u);
  const Answer blind = store_.update(head + R"(},"spec":{"holderIdentity":"four"}})");
  EXPECT_EQ(blind.status, 422u) << "a Lease is never updated without its resourceVersion";
  EXPECT_EQ(store_
                .update(head + R"(,"resourceVersion":")" + std::to_string(store_.version()) +
                        R"("},"spec":{"leaseDurationSeconds":0}})")
                .status,
            422u);
}

TEST_F(StoreTest, StatusAndSpecAreWrittenApart) {
  store_.create(service("a"));
  const Place a = place("services", "default", "a");
  const std::string both =
      R"({"spec":{"externalTrafficPolicy":"Local"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}})";
  store_.patch(a, PatchType::kMerge, both);
  json::value now = json::parse(store_.get(a).body);
  EXPECT_EQ(now.at("spec").at("externalTrafficPolicy"), "Local");
  EXPECT_EQ(now.at("status"), json::parse(R"({"loadBalancer":{}})"));
  WriteOptions status;
  status.status = true;
  store_.patch(
      a, PatchType::kMerge,
      R"({"spec":{"externalTrafficPolicy":"Cluster"},"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.1"}]}}})",
      status);
  now = json::parse(store_.get(a).body);
  EXPECT_EQ(now.at("spec").at("externalTrafficPolicy"), "Local");
  EXPECT_EQ(now.at("status").at("loadBalancer").at("ingress").at(0).at("ipMode"), "VIP");
  store_.patch(a, PatchType::kMerge, R"({"spec":{"type":"ClusterIP"}})");
  now = json::parse(store_.get(a).body);
  EXPECT_EQ(now.at("status"), json::parse(R"({"loadBalancer":{}})"));
}

TEST_F(StoreTest, ImmutableFieldsStay) {
  store_.create(service("a", R"(,"loadBalancerClass":"x.example/one")"));
  const Place a = place("services", "default", "a");
  EXPECT_EQ(
      store_.patch(a, PatchType::kMerge, R"({"spec":{"loadBalancerClass":"other/x"}})").status,
      422u);
  EXPECT_EQ(store_.patch(a, PatchType::kMerge, R"({"spec":{"clusterIP":"10.96.7.7"}})").status,
            422u);
  EXPECT_EQ(store_.patch(a, PatchType::kMerge, R"({"metadata":{"uid":"other"}})").status, 409u);
}

TEST_F(StoreTest, ANamespaceTakesItsObjectsAlong) {
  store_.create(R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":"n"}})");
  const auto in_n = [](const std::string& name, const std::string& finalizers) {
    return R"({"kind":"Service","apiVersion":"v1","metadata":{"namespace":"n","name":")" + name +
           R"(","finalizers":)" + finalizers + R"(},"spec":{"ports":[{"port":80}]}})";
  };
  ASSERT_TRUE(store_.create(in_n("a", "[]")).ok());
  ASSERT_TRUE(store_.create(in_n("kept", R"(["x.example/y"])")).ok());
  store_.remove(place("namespaces", "", "n"));
  EXPECT_EQ(store_.find(place("services", "n", "a")), nullptr);
  ASSERT_NE(store_.find(place("services", "n", "kept")), nullptr);
  EXPECT_EQ(store_.create(in_n("b", "[]")).status, 403u);
  ASSERT_NE(store_.find(place("namespaces", "", "n")), nullptr);
  store_.patch(place("services", "n", "kept"), PatchType::kMerge,
               R"({"metadata":{"finalizers":null}})");
  EXPECT_EQ(store_.find(place("services", "n", "kept")), nullptr);
  EXPECT_EQ(store_.find(place("namespaces", "", "n")), nullptr);
  EXPECT_EQ(store_.create(in_n("b", "[]")).status, 404u);
}

TEST_F(StoreTest, AServiceTakesItsSlicesAlong) {
  ASSERT_TRUE(store_.create(service("a")).ok());
  const std::string uid = store_.find(place("services", "default", "a"))->uid;
  ASSERT_TRUE(store_
                  .create(R"({"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":
      {"namespace":"default","name":"a-1","labels":{"kubernetes.io/service-name":"a"},
      "ownerReferences":[{"apiVersion":"v1","kind":"Service","name":"a","uid":")" +
                          uid + R"("}]},"addressType":"IPv4","endpoints":[],"ports":[]})")
                  .ok());
  const json::value slice = json::parse(store_.get(place("endpointslices", "default", "a-1")).body);
  EXPECT_TRUE(slice.at("endpoints").is_null());
  EXPECT_TRUE(slice.at("ports").is_null());
  store_.remove(place("services", "default", "a"));
  EXPECT_EQ(store_.find(place("endpointslices", "default", "a-1")), nullptr);
}

TEST_F(StoreTest, EventsBelongToTheirObjectsNamespace) {
  const auto event = [](const std::string& ns, const std::string& more) {
    return R"({"kind":"Event","apiVersion":"v1","metadata":{"namespace":"default","name":"e"},
      "involvedObject":{"kind":"Service","name":"a","namespace":")" +
           ns + "\"}" + more + "}";
  };
  EXPECT_EQ(store_.create(event("kube-system", "")).status, 422u);
  EXPECT_EQ(store_.create(event("default", R"(,"eventTime":"2026-01-01T00:00:00.000000Z")")).status,
            422u);
  EXPECT_EQ(
      store_.create(event("default", R"(,"reason":"R","message":"m","type":"Normal")")).status,
      201u);
}

TEST_F(StoreTest, ABackupBringsBackObjectsAndVersion) {
  store_.create(service("a"));
  store_.save("s");
  const std::uint64_t version = store_.version();
  store_.create(service("b"));
  store_.remove(place("services", "default", "a"));
  ASSERT_TRUE(store_.restore("s"));
  EXPECT_EQ(store_.version(), version);
  EXPECT_NE(store_.find(place("services", "default", "a")), nullptr);
  EXPECT_EQ(store_.find(place("services", "default", "b")), nullptr);
  EXPECT_FALSE(store_.restore("never saved"));
}

TEST_F(StoreTest, GeneratesWithTheAskedShares) {
  GenerateOptions options;
  options.services = 40;
  options.endpoints_per_service = 1010;
  generate(store_, options);
  std::size_t three = 0, dual = 0, services = 0;
  for (const auto& [key, object] : store_.objects(resource("services"))) {
    if (!object->ns.starts_with("load-")) continue;
    const json::value value = json::parse(object->json);
    ++services;
    three += value.at("spec").at("ports").as_array().size() == 3 ? 1 : 0;
    dual += value.at("spec").at("ipFamilies").as_array().size() == 2 ? 1 : 0;
  }
  EXPECT_EQ(services, 40u);
  EXPECT_EQ(three, 4u);
  EXPECT_EQ(dual, 4u);
  std::size_t slices = 0, endpoints = 0;
  for (const auto& [key, object] : store_.objects(resource("endpointslices"))) {
    if (!object->ns.starts_with("load-")) continue;
    ++slices;
    endpoints += json::parse(object->json).at("endpoints").as_array().size();
  }
  EXPECT_EQ(slices, 44u * 11);
  EXPECT_EQ(endpoints, 44u * 1010);
}

}  // namespace
}  // namespace sluice::test::kube
