// Recordings are served byte for byte.
#include "tests/support/kube/replay.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "tests/unit/kube_server/client.h"

namespace sluice::test::kube {
namespace {

std::string file(const std::string& name) {
  std::ifstream in(std::string(SLUICE_FIXTURES) + "/" + name, std::ios::binary);
  EXPECT_TRUE(in.good()) << name;
  return std::string(std::istreambuf_iterator<char>(in), {});
}

ServerOptions replaying() {
  ServerOptions options;
  options.replay = SLUICE_FIXTURES;
  return options;
}
constexpr const char* kServices =
    "GET /api/v1/services?allowWatchBookmarks=true&watch=true&resourceVersion=";

TEST(Replay, WatchesAreTheRecordedBytes) {
  ServerThread server(replaying());
  EXPECT_EQ(fetch(server, kServices + std::string("207")), file("watch/services.chunked.raw"));
  EXPECT_EQ(fetch(server, kServices + std::string("5145")),
            file("watch/services.apiserver-terminated.raw"));
  EXPECT_EQ(fetch(server, kServices + std::string("5161")),
            file("watch/services.apiserver-killed.raw"));
  EXPECT_EQ(fetch(server, kServices + std::string("903")),
            file("watch/services.server-timeout.chunked.raw"));
  EXPECT_EQ(
      fetch(server, "GET /apis/discovery.k8s.io/v1/endpointslices?watch=true&resourceVersion=207"),
      file("watch/endpointslices.chunked.raw"));
}

TEST(Replay, ListsHaveTheirStage) {
  ServerThread server(replaying());
  const auto body = [&](const std::string& target) {
    const std::string all = fetch(server, "GET " + target);
    return all.substr(all.find("\r\n\r\n") + 4);
  };
  EXPECT_EQ(body("/api/v1/services?limit=500"), file("list/services.initial.json"));
  server.run([](Server& inside) { inside.replay()->stage("after-churn"); });
  EXPECT_NE(body("/api/v1/services?limit=500").find(file("list/services.after-churn.json")),
            std::string::npos);
  EXPECT_NE(body("/api/v1/services?limit=5").find(file("list/services.page1.json")),
            std::string::npos);
}

TEST(Replay, AHoldFallsBetweenEvents) {
  ServerThread server(replaying());
  server.run([](Server& inside) { inside.replay()->hold_at(870); });
  RawClient watch(server);
  watch.send(kServices + std::string("207"));
  const std::string whole = file("watch/services.chunked.raw");
  const std::size_t next = whole.find("\"resourceVersion\":\"875\"");
  ASSERT_NE(next, std::string::npos);
  const std::size_t border = whole.rfind("\n\r\n", next) + 3;
  EXPECT_EQ(watch.read_bytes(border), whole.substr(0, border));
  server.run([](Server& inside) {
    inside.replay()->hold_at(0);
    inside.wake_watches();
  });
  EXPECT_EQ(watch.read_all(), whole);
}

TEST(Replay, OldVersionsAreGoneAfterARestart) {
  ServerThread server(replaying());
  server.run([](Server& inside) { inside.replay()->stage("restarted"); });
  const std::string gone = fetch(server, "GET /api/v1/services?watch=true&resourceVersion=207");
  EXPECT_TRUE(gone.starts_with("HTTP/1.1 200 OK"));
  EXPECT_NE(gone.find("too old resource version: 207 (5156)"), std::string::npos);
}

TEST(Replay, WhatIsNotRecordedComesFromTheStore) {
  ServerThread server(replaying());
  EXPECT_NE(fetch(server, "GET /api/v1/namespaces").find("kube-system"), std::string::npos);
}

}  // namespace
}  // namespace sluice::test::kube
