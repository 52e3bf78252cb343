// A StatusSync between a private Redis and a fake API server without a network: what it asks is
// answered at once, by the rights config/kubernetes/rbac.yaml gives sluice-agent.
#pragma once

#include <algorithm>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "control/agent/status_sync.h"
#include "control/kubernetes/api_json.h"
#include "tests/support/kube/api.h"
#include "tests/unit/store/harness.h"

namespace sluice::agent {

namespace fake = sluice::test::kube;

class SyncTest : public store::StoreTest, public ClusterServices {
 protected:
  static constexpr const char* kSource = "cluster-1";

  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(*run(lead.hold()));
    const std::string user = "system:serviceaccount:sluice-system:sluice-agent";
    access.add_token("agent-token", {user, {"system:serviceaccounts"}});
    std::stringstream rbac;
    rbac << std::ifstream(SLUICE_SOURCE_DIR "/config/kubernetes/rbac.yaml").rdbuf();
    const Status loaded = access.load_manifests(rbac.str());
    ASSERT_TRUE(loaded) << loaded.error();
    ASSERT_TRUE(
        kube.create(R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":"shop"}})").ok());
    kube.on_change([this] { tell_watch(); });
    make();
  }
  void TearDown() override {
    if (sync) stop();
    EXPECT_EQ(denied, 0) << "the rights in config/kubernetes/rbac.yaml do not suffice";
    StoreTest::TearDown();
  }

  void make() {
    StatusSyncParts parts;
    parts.executor = io.get_executor();
    parts.call = [this](sluice::kube::Request request) { return answer(std::move(request)); };
    parts.redis = options();
    parts.services = this;
    parts.source = kSource;
    parts.identity = "agent-1";
    parts.load_balancer_classes = {"sluice.dev/gateway"};
    parts.leading = [this] { return leading; };
    sync = std::make_unique<StatusSync>(std::move(parts), timing);
    ended = false;
    boost::asio::co_spawn(io, sync->run(), [this](std::exception_ptr) { ended = true; });
    sync->on_services_synced();
  }
  void stop() {
    sync->stop();
    EXPECT_TRUE(until([this] { return ended; }));
    sync.reset();
  }

  // The API server, as the agent's ApiClient shows it.
  boost::asio::awaitable<sluice::kube::Response> answer(sluice::kube::Request request) {
    if (request.method != "GET") requests.push_back(request.method + " " + request.target);
    if (before_answer) before_answer(request);
    fake::Request asked;
    asked.method = request.method;
    asked.target = request.target;
    asked.authorization = "Bearer agent-token";
    asked.content_type = request.content_type;
    asked.body = request.body;
    asked.user_agent = "sluice-agent/test";
    sluice::kube::Response response;
    if (fail_with != 0) {
      response.status = fail_with;
      response.error = "made to fail";
      co_return response;
    }
    const fake::Outcome outcome = api.handle(asked);
    response.status = outcome.answer.status;
    response.body = outcome.answer.body;
    if (!response.ok()) response.error = response.body;
    if (response.status == 403) ++denied;
    co_return response;
  }

  // The watch.
  bool services_synced() const override { return true; }
  std::optional<SeenService> find_service(const std::string& ns,
                                          const std::string& name) const override {
    const auto stored = kube.find({&fake::resource("services"), ns, name});
    if (!stored) return std::nullopt;
    const auto decoded = sluice::kube::decode_object(v1::KIND_SERVICE, stored->json);
    if (!decoded) return std::nullopt;
    return SeenService{std::to_string(stored->version), decoded->object.service()};
  }
  std::vector<ServiceName> service_names() const override {
    std::vector<ServiceName> names;
    for (const auto& [key, stored] : kube.objects(fake::resource("services")))
      names.push_back({stored->ns, stored->name});
    return names;
  }
  void tell_watch() {
    std::vector<fake::Change> changes;
    kube.changes_after(seen, 1000, changes);
    seen = kube.version();
    for (const fake::Change& change : changes)
      if (sync && change.resource->plural == "services")
        sync->on_service({change.object->ns, change.object->name});
  }

  // Services and what is in them.
  void create_service(const std::string& name,
                      const std::string& spec = R"("type":"LoadBalancer")") {
    const fake::Answer made =
        kube.create(R"({"kind":"Service","apiVersion":"v1","metadata":{"name":")" + name +
                    R"(","namespace":"shop"},"spec":{"ports":[{"port":80}],)" + spec + "}}");
    ASSERT_TRUE(made.ok()) << made.body;
  }
  fake::Place place(const std::string& name) const {
    return {&fake::resource("services"), "shop", name};
  }
  v1::Service service(const std::string& name) const {
    const auto found = find_service("shop", name);
    return found ? found->service : v1::Service();
  }
  std::vector<std::string> ingress(const std::string& name) const {
    std::vector<std::string> ips;
    const v1::Service seen_now = service(name);
    for (const auto& entry : seen_now.status().load_balancer().ingress())
      ips.push_back(entry.ip() + " " + entry.ip_mode());
    return ips;
  }
  std::map<std::string, std::string> conditions(const std::string& name) const {
    std::map<std::string, std::string> found;
    const v1::Service seen_now = service(name);
    for (const auto& condition : seen_now.status().conditions())
      found[condition.type()] = condition.status() + " " + condition.reason();
    return found;
  }
  // "Type Reason count" of each Event.
  std::vector<std::string> events() const;
  // Another writer of the status.
  fake::Answer overwrite_status(const std::string& name, const std::string& status,
                                const std::string& manager = "other-controller") {
    fake::WriteOptions options;
    options.manager = manager;
    options.status = true;
    return kube.patch(place(name), fake::PatchType::kMerge, R"({"status":)" + status + "}",
                      options);
  }

  // The gateways' part.
  v1::ServiceStatus merged(const std::string& name, std::vector<std::string> addresses,
                           unsigned programmed = 1) const {
    v1::ServiceStatus status;
    status.set_source(kSource);
    status.set_namespace_("shop");
    status.set_name(name);
    status.set_uid(service(name).metadata().uid());
    for (const std::string& address : addresses) status.add_addresses(address);
    status.set_gateways(1);
    status.set_programmed_gateways(programmed);
    const auto add = [&status](const char* type, bool is, const char* reason) {
      v1::Condition* condition = status.add_conditions();
      condition->set_type(type);
      condition->set_status(is ? "True" : "False");
      condition->set_reason(reason);
      condition->set_message(std::string(reason) + ".");
      condition->set_last_transition_time("2026-11-23T04:00:00Z");
    };
    const bool allocated = !addresses.empty();
    add("sluice.dev/AddressAllocated", allocated, allocated ? "Allocated" : "PoolExhausted");
    add("sluice.dev/Programmed", programmed > 0, programmed > 0 ? "Programmed" : "Pending");
    return status;
  }
  void gateways_say(std::vector<v1::ServiceStatus> statuses) {
    std::vector<store::StatusKey> gone = writer.services();
    std::erase_if(gone, [&](const store::StatusKey& key) {
      return std::ranges::any_of(statuses, [&](const v1::ServiceStatus& status) {
        return status.namespace_() == key.ns && status.name() == key.name;
      });
    });
    const Status written = run(writer.update(lead.leader(), std::move(statuses), std::move(gone)));
    ASSERT_TRUE(written) << written.error();
  }
  void ledger_says_given_back(const std::string& name, const std::string& address) {
    v1::Address record;
    record.set_address(IpAddress::parse(address)->bytes());
    v1::AddressHolder* holder = record.mutable_last_holder();
    holder->set_source(kSource);
    holder->set_namespace_("shop");
    holder->set_name(name);
    holder->set_uid(service(name).metadata().uid());
    server.set("sluice:1:address:" + address, record.SerializeAsString());
  }
  std::size_t patches() const {
    std::size_t count = 0;
    for (const std::string& request : requests)
      count += request.find("/status?") != std::string::npos;
    return count;
  }

  fake::Store kube;
  fake::Access access;
  fake::Api api{kube, access, true};
  std::uint64_t seen = 0;
  int denied = 0;
  unsigned fail_with = 0;
  std::function<void(const sluice::kube::Request&)> before_answer;
  std::vector<std::string> requests;  // That write.
  bool leading = true, ended = true;
  store::Lead lead{redis, "gw-a"};
  store::MergedStatusWriter writer{redis};
  StatusSyncTiming timing{std::chrono::milliseconds(200), std::chrono::milliseconds(20), {}};
  std::unique_ptr<StatusSync> sync;
};

}  // namespace sluice::agent
