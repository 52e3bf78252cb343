// Every recorded write, played against the fake's store, gets the recorded answer.
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "tests/support/kube/api.h"
#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

json::value read_json(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  EXPECT_TRUE(in.good()) << path;
  return json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

struct Recorded {
  json::object request;
  json::value answer;
  std::string path(std::string_view name) const { return text_at(request, {name}); }
};

Recorded recorded(const std::string& name) {
  const std::string base = std::string(SLUICE_FIXTURES) + "/" + name;
  return {read_json(base + ".meta.json").as_object(), read_json(base + ".json")};
}

// The rights the recordings were made with.
void allow_recorder(Access& access) {
  access.add_token("lb-agent-token", {"lb-agent", {}});
  access.add_token("admin-token", {"admin", {"system:masters"}});
  access.add_token("nobody-token", {"nobody", {}});
  access.allow("lb-agent", {{"get", "list", "watch"},
                            {"", "discovery.k8s.io"},
                            {"services", "endpoints", "nodes", "endpointslices"},
                            {}});
  access.allow("lb-agent", {{"patch", "update"}, {""}, {"services/status"}, {}});
}

class Recordings : public ::testing::Test {
 protected:
  Recordings() : api_(store_, access_, true) {
    allow_recorder(access_);
    for (const char* name : {"shop", "dns"}) {
      store_.create(R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":")" +
                    std::string(name) + R"("}})");
    }
  }

  // Puts an object as recorded; its resourceVersion here is `version_of` its name.
  void hold(json::value object) {
    json::object& whole = object.as_object();
    const Resource* type = find_kind(text_at(whole, {"apiVersion"}), text_at(whole, {"kind"}));
    ASSERT_NE(type, nullptr);
    store_.put_raw(*type, whole);
  }
  std::uint64_t version_of(const char* name) {
    return store_.find({&resource("services"), "shop", name})->version;
  }

  Answer play(const Recorded& one) {
    Request request;
    request.method = one.path("method");
    request.target = one.path("path");
    const json::object& headers = one.request.at("request_headers").as_object();
    request.authorization = text_at(headers, {"Authorization"});
    request.content_type = text_at(headers, {"Content-Type"});
    request.user_agent = text_at(headers, {"User-Agent"});
    if (const json::value* body = one.request.if_contains("request_body")) {
      request.body = json::serialize(*body);
    }
    return api_.handle(request).answer;
  }

  // What does not depend on the moment: no versions, times, uids, allocated addresses and ports.
  static json::value timeless(json::value value) {
    if (json::object* object = value.if_object()) {
      for (const char* name : {"resourceVersion", "creationTimestamp", "uid", "managedFields",
                               "deletionTimestamp", "nodePort", "time"}) {
        if (object->contains(name)) (*object)[name] = "*";
      }
      for (const char* name : {"clusterIP", "clusterIPs"}) {
        if (object->contains(name) && (*object)[name] != "None" &&
            (*object)[name] != json::value(json::array{"None"})) {
          (*object)[name] = "*";
        }
      }
      for (auto& [name, member] : *object) member = timeless(std::move(member));
    } else if (json::array* array = value.if_array()) {
      for (json::value& element : *array) element = timeless(std::move(element));
    }
    return value;
  }

  void expect_same(const Recorded& one, const Answer& answer, const std::string& name) {
    EXPECT_EQ(answer.status, one.request.at("status").to_number<unsigned>())
        << name << ": " << answer.body;
    EXPECT_EQ(timeless(json::parse(answer.body)), timeless(one.answer))
        << name << "\n got      " << answer.body << "\n recorded " << json::serialize(one.answer);
  }
  void expect_answer(const std::string& name) {
    const Recorded one = recorded(name);
    expect_same(one, play(one), name);
  }

  Store store_;
  Access access_;
  Api api_;
};

TEST_F(Recordings, WritebackGetsTheRecordedAnswers) {
  hold(recorded("writeback/0-get-before").answer);
  hold(recorded("objects/create-clusterip").answer);
  json::value api = recorded("writeback/9-server-side-apply").answer;
  api.as_object()["status"] = {{"loadBalancer", json::object()}};
  hold(api);
  json::value dual = recorded("writeback/15-ipmode-and-dualstack").answer;
  dual.as_object()["status"] = {{"loadBalancer", json::object()}};
  hold(dual);

  expect_answer("writeback/0-get-before");
  expect_answer("writeback/1-merge-patch-set");
  const std::uint64_t after_set = version_of("lb-web");
  expect_answer("writeback/2-merge-patch-same-again");
  EXPECT_EQ(version_of("lb-web"), after_set) << "an identical write changes nothing";
  expect_answer("writeback/3-strategic-merge-patch-change");
  expect_answer("writeback/4-json-patch-hostname");
  const std::uint64_t stale = version_of("lb-web");
  expect_answer("writeback/5-merge-patch-clear");
  const std::uint64_t current = version_of("lb-web");
  EXPECT_GT(current, stale);
  // The recorded resourceVersions mean the version before last, and the last.
  for (const auto& [name, version] : {std::pair{"writeback/6-put-stale-409", stale},
                                      std::pair{"writeback/7-merge-patch-with-stale-rv-409", stale},
                                      std::pair{"writeback/8-put-current-200", current}}) {
    Recorded one = recorded(name);
    one.request["request_body"].as_object()["metadata"].as_object()["resourceVersion"] =
        std::to_string(version);
    expect_same(one, play(one), name);
  }
  expect_answer("writeback/9-server-side-apply");
  expect_answer("writeback/10-invalid-ip-422");
  expect_answer("writeback/11-missing-404");
  expect_answer("writeback/12-patch-main-resource-403");
  expect_answer("writeback/13-nobody-403");
  expect_answer("writeback/14-on-clusterip-service");
  expect_answer("writeback/15-ipmode-and-dualstack");
}

TEST_F(Recordings, ServerSideApplyOwnsAsRecorded) {
  const Recorded one = recorded("writeback/9-server-side-apply");
  json::value before = one.answer;
  before.as_object()["status"] = {{"loadBalancer", json::object()}};
  json::array& fields = before.as_object()["metadata"].as_object()["managedFields"].as_array();
  ASSERT_EQ(fields[0].at("manager"), "l4lb-agent");
  fields.erase(fields.begin());
  hold(before);
  const json::value answer = json::parse(play(one).body);
  json::value mine, recorded_mine = one.answer.at("metadata").at("managedFields").at(0);
  for (const json::value& entry : answer.at("metadata").at("managedFields").as_array()) {
    if (entry.at("manager") == "l4lb-agent") mine = entry;
  }
  EXPECT_EQ(timeless(mine), timeless(recorded_mine));
}

TEST_F(Recordings, ObjectsAreMadeAsRecorded) {
  for (const char* name : {"objects/create-clusterip", "objects/create-headless-noports",
                           "objects/create-lb-tcp-and-udp", "objects/create-loadbalancer"}) {
    expect_answer(name);
  }
  const json::value dns = json::parse(store_.get({&resource("services"), "dns", "lb-dns"}).body);
  const json::array& ports = dns.at("spec").at("ports").as_array();
  EXPECT_EQ(ports[0].at("nodePort"), ports[1].at("nodePort")) << "TCP and UDP share a node port";
  expect_answer("objects/patch-add-port");
}

TEST_F(Recordings, TypesChangeAsRecorded) {
  // lb-web had a status when its type changed.
  hold(recorded("writeback/8-put-current-200").answer);
  hold(recorded("objects/create-clusterip").answer);
  expect_answer("objects/change-lb-to-clusterip");
  expect_answer("objects/change-clusterip-to-lb");
  expect_answer("objects/change-to-externalname");
}

TEST_F(Recordings, DeletionsAreAsRecorded) {
  json::value kept = recorded("objects/delete-with-finalizer").answer;
  json::object& metadata = kept.as_object()["metadata"].as_object();
  drop(metadata, "deletionTimestamp");
  drop(metadata, "deletionGracePeriodSeconds");
  hold(kept);
  hold(recorded("objects/delete-plain").answer);
  expect_answer("objects/delete-with-finalizer");
  expect_answer("objects/service-deleting");
  expect_answer("objects/delete-plain");
  EXPECT_EQ(store_.find({&resource("services"), "shop", "lb-ranges"}), nullptr);
}

TEST_F(Recordings, ErrorsAreAsRecorded) {
  for (const char* name :
       {"errors/401-list-bad-token", "errors/403-list-anonymous", "errors/403-list",
        "errors/403-watch", "errors/404-api-version", "errors/404-object",
        "errors/400-bad-continue", "errors/422-create-invalid", "errors/watch-rv-not-a-number",
        "discovery/absent-version-404"}) {
    expect_answer(name);
  }
  const Answer future = play(recorded("errors/504-list-future-rv"));
  EXPECT_EQ(future.status, 504u);
  EXPECT_EQ(future.retry_after_s, 1u);
  EXPECT_NE(future.body.find("Timeout: Too large resource version: 99999999, current: "),
            std::string::npos);
}

// A list body, byte for byte, from objects that are the recorded ones.
TEST_F(Recordings, ListsHaveTheRecordedBytes) {
  const std::string path = std::string(SLUICE_FIXTURES) + "/list/services.namespace-shop.json";
  const json::value list = read_json(path);
  for (const json::value& item : list.at("items").as_array()) {
    json::object object = item.as_object();
    object["kind"] = "Service";
    object["apiVersion"] = "v1";
    hold(object);
  }
  Request request;
  request.method = "GET";
  request.target = "/api/v1/namespaces/shop/services";
  request.trusted = true;
  const json::value got = json::parse(api_.handle(request).answer.body);
  ASSERT_EQ(got.at("items").as_array().size(), list.at("items").as_array().size());
  for (std::size_t i = 0; i < got.at("items").as_array().size(); ++i) {
    json::value wanted = list.at("items").at(i);
    wanted.as_object()["metadata"].as_object()["resourceVersion"] =
        got.at("items").at(i).at("metadata").at("resourceVersion");
    EXPECT_EQ(json::serialize(got.at("items").at(i)), json::serialize(wanted));
  }
  EXPECT_EQ(got.at("kind"), "ServiceList");
}

}  // namespace
}  // namespace sluice::test::kube
