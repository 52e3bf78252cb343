// The server over TLS: rights, watches, faults, restarts, certificates, gzip.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <iterator>

#include "tests/unit/kube_server/client.h"

namespace sluice::test::kube {
namespace {

using namespace std::chrono_literals;

std::string service(const std::string& name) {
  return R"({"kind":"Service","apiVersion":"v1","metadata":{"namespace":"default","name":")" +
         name + R"("},"spec":{"type":"LoadBalancer","ports":[{"port":80}]}})";
}
void make(ServerThread& server, const std::string& name) {
  server.run([&](Server& inside) { ASSERT_TRUE(inside.store().create(service(name)).ok()); });
}
std::string version(ServerThread& server) {
  std::string text;
  server.run([&](Server& inside) { text = std::to_string(inside.store().version()); });
  return text;
}
bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

constexpr const char* kManifest = R"(
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: sluice-agent}
rules:
- {apiGroups: [""], resources: [services], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: sluice-agent}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: sluice-agent}
subjects: [{kind: ServiceAccount, name: sluice-agent, namespace: sluice-system}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: leases, namespace: sluice-system}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: leases, namespace: sluice-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: leases}
subjects: [{kind: ServiceAccount, name: sluice-agent, namespace: sluice-system}]
)";

TEST(Server, RightsComeFromTheManifests) {
  ServerThread server;
  const auto status = [&](const std::string& request) {
    return fetch(server, request, "agent-token").substr(9, 3);
  };
  EXPECT_EQ(status("GET /api/v1/services"), "403");
  server.run([](Server& inside) { ASSERT_TRUE(inside.access().load_manifests(kManifest).ok()); });
  EXPECT_EQ(status("GET /api/v1/services"), "200");
  EXPECT_EQ(status("GET /api/v1/nodes"), "403");
  EXPECT_EQ(status("DELETE /api/v1/namespaces/default/services/kubernetes"), "403");
  const std::string lease = "GET /apis/coordination.k8s.io/v1/namespaces/";
  EXPECT_EQ(status(lease + "sluice-system/leases/x"), "404");
  EXPECT_EQ(status(lease + "default/leases/x"), "403");
  EXPECT_EQ(fetch(server, "GET /api/v1/services", "wrong").substr(9, 3), "401");
  EXPECT_TRUE(has(fetch(server, "GET /api/v1/services", ""), "system:anonymous"));
  EXPECT_EQ(fetch(server, "GET /version", "").substr(9, 3), "200");
}

// What the agent is installed with is enough for it, and no more.
TEST(Server, TheAgentsOwnManifests) {
  std::ifstream in(SLUICE_SOURCE_DIR "/config/kubernetes/rbac.yaml");
  const std::string yaml(std::istreambuf_iterator<char>(in), {});
  Access access;
  const Status loaded = access.load_manifests(yaml);
  ASSERT_TRUE(loaded.ok()) << loaded.error();
  const User agent{"system:serviceaccount:sluice-system:sluice-agent", {}};
  const auto may = [&](const char* verb, const char* plural, const char* subresource = "",
                       const char* ns = "default", const char* name = "x") {
    return access.check(agent, {verb, &resource(plural), subresource, ns, name}).empty();
  };
  for (const char* plural : {"services", "endpointslices", "nodes", "namespaces"}) {
    EXPECT_TRUE(may("list", plural, "", "", "")) << plural;
    EXPECT_TRUE(may("watch", plural, "", "", "")) << plural;
    for (const char* verb : {"create", "update", "patch", "delete"}) {
      EXPECT_FALSE(may(verb, plural)) << verb << " " << plural;
    }
  }
  EXPECT_TRUE(may("patch", "services", "status"));
  EXPECT_TRUE(may("create", "events"));
  EXPECT_TRUE(may("patch", "events"));
  EXPECT_TRUE(may("create", "leases", "", "sluice-system"));
  EXPECT_TRUE(may("get", "leases", "", "sluice-system", "sluice-agent"));
  EXPECT_TRUE(may("update", "leases", "", "sluice-system", "sluice-agent"));
  EXPECT_FALSE(may("update", "leases", "", "kube-system", "sluice-agent"));
  EXPECT_FALSE(may("list", "pods", "", "", ""));
}

TEST(Server, AWatchFollowsAndEndsAsAsked) {
  ServerThread server;
  RawClient watch(server);
  watch.send("GET /api/v1/services?watch=true&resourceVersion=" + version(server));
  make(server, "one");
  watch.read_until("\"name\":\"one\"");
  server.run([](Server& inside) {
    EXPECT_EQ(inside.counters().open_watches, 1u);
    inside.drop_watches(false);
  });
  EXPECT_TRUE(watch.read_all().ends_with("\r\n0\r\n\r\n"));
  RawClient cut(server);
  cut.send("GET /api/v1/services?watch=true&resourceVersion=" + version(server));
  cut.read_until("\r\n\r\n");
  server.run([](Server& inside) { inside.drop_watches(true); });
  EXPECT_FALSE(cut.read_all().ends_with("0\r\n\r\n"));
}

TEST(Server, TimeoutsEndAWatchWithABookmarkBefore) {
  ServerThread server;
  RawClient watch(server);
  watch.send(
      "GET /api/v1/services?watch=true&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion=" +
      version(server));
  watch.read_until("\r\n\r\n");
  make(server, "one");
  const auto begin = std::chrono::steady_clock::now();
  const std::string all = watch.read_all();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 30s);
  EXPECT_TRUE(has(all, R"({"type":"BOOKMARK","object":{"kind":"Service")"));
  EXPECT_TRUE(all.ends_with("\r\n0\r\n\r\n"));
}

TEST(Server, RestartKeepsObjectsAndForgetsHistory) {
  ServerThread server;
  const std::string before = version(server);
  make(server, "one");
  server.run([](Server& inside) { inside.restart(); });
  EXPECT_TRUE(has(fetch(server, "GET /api/v1/services"), "\"one\""));
  const std::string watch =
      fetch(server, "GET /api/v1/services?watch=true&resourceVersion=" + before);
  EXPECT_TRUE(watch.starts_with("HTTP/1.1 200 OK"));
  EXPECT_TRUE(has(watch, "too old resource version: " + before));
}

TEST(Server, FaultsMeetTheRequestsTheyAreFor) {
  ServerThread server;
  const auto add = [&](Fault fault) {
    server.run([&](Server& inside) { inside.faults().add(fault); });
  };
  Fault fault;
  fault.status = 429;
  fault.retry_after_s = 7;
  fault.path = "services";
  fault.count = 1;
  add(fault);
  EXPECT_TRUE(fetch(server, "GET /api/v1/nodes").starts_with("HTTP/1.1 200"));
  const std::string busy = fetch(server, "GET /api/v1/services");
  EXPECT_TRUE(busy.starts_with("HTTP/1.1 429"));
  EXPECT_TRUE(has(busy, "Retry-After: 7\r\n"));
  EXPECT_TRUE(fetch(server, "GET /api/v1/services").starts_with("HTTP/1.1 200"));

  fault.kind = Fault::Kind::kCut;
  fault.bytes = 100;
  add(fault);
  const std::string cut = fetch(server, "GET /api/v1/services");
  EXPECT_EQ(cut.size() - cut.find("\r\n\r\n") - 4, 100u);

  fault.kind = Fault::Kind::kEndless;
  add(fault);
  RawClient endless(server);
  endless.send("GET /api/v1/services");
  EXPECT_GE(endless.read_bytes(5'000'000).size(), 5'000'000u);

  fault.kind = Fault::Kind::kGarbage;
  add(fault);
  EXPECT_TRUE(has(fetch(server, "GET /api/v1/services"), "garbage"));
  fault.kind = Fault::Kind::kNotHttp;
  add(fault);
  EXPECT_TRUE(fetch(server, "GET /api/v1/services").starts_with("SSH"));

  fault.kind = Fault::Kind::kDrop;
  fault.verb = "create";
  add(fault);
  EXPECT_EQ(
      fetch(server, "POST /api/v1/namespaces/default/services", "admin-token", "", service("done")),
      "");
  EXPECT_TRUE(has(fetch(server, "GET /api/v1/services"), "\"done\"")) << "it was done all the same";
}

TEST(Server, CertificatesCanBeWrong) {
  ServerThread server;
  EXPECT_NO_THROW(RawClient{server});
  for (const Certificate kind :
       {Certificate::kExpired, Certificate::kWrongName, Certificate::kOtherCa}) {
    server.run([kind](Server& inside) { inside.certificate(kind); });
    EXPECT_ANY_THROW(RawClient{server});
  }
  server.run([](Server& inside) { inside.certificate(Certificate::kGood); });
  EXPECT_NO_THROW(RawClient{server});
}

TEST(Server, LongListsAreCompressedForWhoTakesIt) {
  ServerOptions options;
  options.gzip_above = 1000;
  ServerThread server(options);
  const std::string packed =
      fetch(server, "GET /api/v1/namespaces", "admin-token", "Accept-Encoding: gzip\r\n");
  EXPECT_TRUE(has(packed, "Content-Encoding: gzip\r\n"));
  EXPECT_TRUE(has(packed, "\x1f\x8b"));
  EXPECT_FALSE(has(fetch(server, "GET /api/v1/namespaces"), "Content-Encoding"));
}

}  // namespace
}  // namespace sluice::test::kube
