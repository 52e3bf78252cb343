// What the tests of the agent share: a fake API server, a private Redis and agents, all but Redis
// in one thread, and a comparison of what Redis has with what the API server has.
#pragma once

#include <boost/json.hpp>
#include <map>
#include <memory>
#include <string>

#include "control/agent/agent.h"
#include "control/agent/published.h"
#include "control/kubernetes/api_json.h"
#include "tests/support/kube/server.h"
#include "tests/unit/store/harness.h"

namespace sluice::agent {

inline constexpr const char* kSource = "prod";

struct KindName {
  v1::Kind kind;
  const char* plural;
};
inline constexpr KindName kKindNames[] = {{v1::KIND_SERVICE, "services"},
                                          {v1::KIND_ENDPOINT_SLICE, "endpointslices"},
                                          {v1::KIND_NODE, "nodes"},
                                          {v1::KIND_NAMESPACE, "namespaces"}};

using Contents = std::map<std::string, std::string>;  // Key to bytes.

class AgentTest : public store::StoreTest {
 protected:
  explicit AgentTest(test::kube::ServerOptions options = {})
      : kube(io.get_executor(), std::move(options)) {}
  void TearDown() override {
    while (!agents.empty()) stop(agents.begin()->first);
    StoreTest::TearDown();
  }

  Agent& start(const std::string& name = "a") {
    AgentOptions options;
    options.config = *parse_agent_config(
        "cluster: prod\nlisten: 127.0.0.1:0\nkubernetes: {namespace: kube-system}\n"
        "redis: {address: 'placeholder:1'}\n",
        "test", {.cluster = "", .kubeconfig = kube.files().kubeconfig, .redis = server.address()});
    options.timing.first_wait = std::chrono::milliseconds(10);
    options.timing.longest_wait = std::chrono::milliseconds(100);
    options.lease_timing.duration = std::chrono::seconds(3);
    options.lease_timing.renew_deadline = std::chrono::seconds(2);
    options.lease_timing.retry = std::chrono::milliseconds(100);
    agents[name] = std::make_unique<Agent>(io, std::move(options));
    const Status started = agents[name]->start();
    EXPECT_TRUE(started) << started.error();
    return *agents[name];
  }
  void stop(const std::string& name) {
    agents[name]->stop();
    pass(std::chrono::milliseconds(300));
    agents.erase(name);
  }
  bool until_published(const std::string& name = "a") {
    return until([&] { return agents[name]->published(); });
  }

  Contents in_api() {
    Contents all;
    for (const KindName& name : kKindNames) {
      for (const auto& [key, stored] : kube.store().objects(test::kube::resource(name.plural))) {
        auto decoded = kube::decode_object(name.kind, stored->json);
        EXPECT_TRUE(decoded) << key;
        add(&all, std::move(decoded->object));
      }
    }
    return all;
  }
  Contents in_redis() {
    Contents all;
    auto listing = run(store::list_objects(redis, kSource, v1::KIND_UNSPECIFIED));
    EXPECT_TRUE(listing) << (listing ? "" : listing.error());
    if (!listing) return all;
    EXPECT_TRUE(listing->problems.empty());
    for (store::StoredObject& object : listing->objects) add(&all, std::move(object.object));
    return all;
  }
  static void add(Contents* all, v1::Object object) {
    const std::string key = key_of(kSource, object).text();
    (*all)[key] = encode_published(std::move(object), "");
  }
  bool until_equal() {
    return until([this] { return redis.connected() && in_redis() == in_api(); });
  }
  std::uint64_t sequence() { return hash(kSource).sequence; }

  void create(const std::string& json) {
    const auto answer = kube.store().create(json);
    ASSERT_TRUE(answer.ok()) << answer.body;
  }
  void create_service(const std::string& name, const std::string& more = "") {
    create(R"({"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default","name":")" +
           name + R"("},"spec":{"type":"LoadBalancer","ports":[{"port":80}])" + more + "}}");
  }
  void remove_service(const std::string& name) {
    ASSERT_TRUE(kube.store().remove({&test::kube::resource("services"), "default", name}).ok());
  }
  // The answer of an agent's own listener.
  std::string http(const Agent& agent, const std::string& path);

  test::kube::Server kube;
  std::map<std::string, std::unique_ptr<Agent>> agents;
};

}  // namespace sluice::agent
