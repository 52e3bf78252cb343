#include "control/agent/agent.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <fstream>

#include "config/yaml_tree.h"
#include "control/agent/metrics.h"
#include "control/store/stream.h"
#include "tests/support/kube/replay.h"
#include "tests/unit/agent/agent_fixture.h"

namespace sluice::agent {

namespace asio = boost::asio;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace {

asio::awaitable<std::string> get(asio::any_io_executor executor, std::uint16_t port,
                                 std::string path) {
  asio::ip::tcp::socket socket(executor);
  const asio::ip::tcp::endpoint endpoint(asio::ip::make_address("127.0.0.1"), port);
  co_await socket.async_connect(endpoint, asio::use_awaitable);
  const std::string request = "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
  co_await asio::async_write(socket, asio::buffer(request), asio::use_awaitable);
  std::string answer;
  boost::system::error_code end;
  co_await asio::async_read(socket, asio::dynamic_buffer(answer),
                            asio::redirect_error(asio::use_awaitable, end));
  co_return answer;
}

}  // namespace

std::string AgentTest::http(const Agent& agent, const std::string& path) {
  return run(get(io.get_executor(), agent.port(), path));
}

namespace {

TEST_F(AgentTest, PublishesAllThenEachChange) {
  create_service("web");
  start();
  ASSERT_TRUE(until_published());
  EXPECT_EQ(in_redis(), in_api());
  const auto before = hash(kSource);
  ASSERT_TRUE(before.marker);
  for (const v1::Kind kind :
       {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE, v1::KIND_NODE, v1::KIND_NAMESPACE})
    EXPECT_TRUE(before.complete(kind));
  EXPECT_EQ(before.count(v1::KIND_SERVICE), 2u);

  create_service("two");
  create_service("three");
  ASSERT_TRUE(until_equal());
  remove_service("web");
  ASSERT_TRUE(until_equal());
  EXPECT_EQ(sequence(), before.sequence + 3);  // No whole comparison in between.
  EXPECT_EQ(hash(kSource).marker->epoch(), before.marker->epoch());
}

// A change of nothing that gateways read is none in Redis.
TEST_F(AgentTest, AHeartbeatIsNotWritten) {
  create(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"}})");
  start();
  ASSERT_TRUE(until_published());
  const std::uint64_t before = sequence();
  const auto& nodes = test::kube::resource("nodes");
  for (const char* time : {"2026-11-22T10:00:00Z", "2026-11-22T10:00:10Z"}) {
    test::kube::WriteOptions status;
    status.status = true;
    const auto answer = kube.store().patch(
        {&nodes, "", "n1"}, test::kube::PatchType::kMerge,
        std::string(
            R"({"status":{"conditions":[{"type":"Ready","status":"True","lastHeartbeatTime":")") +
            time + R"("}]}})",
        status);
    ASSERT_TRUE(answer.ok()) << answer.body;
  }
  create_service("after");
  ASSERT_TRUE(until_equal());
  EXPECT_EQ(sequence(), before + 2);  // Ready for the first time, and the Service.
}

TEST_F(AgentTest, ARestartWithNothingChangedWritesNothing) {
  create_service("web");
  start();
  ASSERT_TRUE(until_published());
  stop("a");
  const auto before = hash(kSource);
  start();
  ASSERT_TRUE(until_published());
  const auto after = hash(kSource);
  EXPECT_EQ(after.sequence, before.sequence);
  EXPECT_EQ(after.marker->epoch(), before.marker->epoch());
  EXPECT_EQ(after.token, before.token + 1);
}

TEST_F(AgentTest, WhatChangedWhileNoAgentRanIsMadeGood) {
  create_service("old");
  create_service("stays");
  start();
  ASSERT_TRUE(until_published());
  stop("a");
  remove_service("old");
  create_service("new");
  start();
  ASSERT_TRUE(until_published());
  EXPECT_EQ(in_redis(), in_api());
}

TEST_F(AgentTest, AFlushedRedisIsFilledAgain) {
  create_service("web");
  start();
  ASSERT_TRUE(until_published());
  const std::string incarnation = hash(kSource).incarnation;
  server.command({"FLUSHALL"});
  ASSERT_TRUE(until([&] { return hash(kSource).marker.has_value() && in_redis() == in_api(); }));
  EXPECT_NE(hash(kSource).incarnation, incarnation);
  create_service("two");
  ASSERT_TRUE(until_equal());
}

TEST_F(AgentTest, ARedisThatIsAwayStopsNothing) {
  start();
  ASSERT_TRUE(until_published());
  server.kill();
  for (int i = 0; i < 5; ++i) create_service("while-away-" + std::to_string(i));
  remove_service("while-away-0");
  pass(std::chrono::milliseconds(300));
  EXPECT_THAT(http(*agents["a"], "/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("[-]redis")));
  server.start();
  ASSERT_TRUE(until([&] { return run(redis.connect()).ok(); }));
  ASSERT_TRUE(until_equal());
}

TEST_F(AgentTest, TheApiServerMayRestartAndCutAndCompact) {
  create_service("web");
  start();
  ASSERT_TRUE(until_published());
  kube.drop_watches(true);
  create_service("after-cut");
  ASSERT_TRUE(until_equal());
  kube.drop_watches(false);
  remove_service("web");
  ASSERT_TRUE(until_equal());
  kube.restart(std::chrono::milliseconds(50));
  create_service("after-restart");
  kube.store().compact();
  ASSERT_TRUE(until_equal());
  EXPECT_TRUE(agents["a"]->published());
}

TEST_F(AgentTest, OneOfTwoLeadsAndTheOtherTakesOver) {
  create_service("web");
  start("a");
  ASSERT_TRUE(until_published("a"));
  start("b");
  create_service("two");
  ASSERT_TRUE(until_equal());
  EXPECT_FALSE(agents["b"]->leading());
  EXPECT_THAT(http(*agents["b"], "/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("leading: no")));
  const auto before = hash(kSource);
  stop("a");
  ASSERT_TRUE(until_published("b"));
  EXPECT_EQ(hash(kSource).sequence, before.sequence);  // It was all there.
  EXPECT_GT(hash(kSource).token, before.token);        // Yet the old leader is refused now.
  create_service("three");
  ASSERT_TRUE(until_equal());
}

// Deleted, a Lease counts from 0 again, and Redis has seen larger tokens.
TEST_F(AgentTest, ALargerTokenInRedisRaisesTheLease) {
  server.command({"HSET", "sluice:1:source:prod", "token", "500"});
  create_service("web");
  start();
  ASSERT_TRUE(until_published());
  EXPECT_EQ(hash(kSource).token, 501u);
  const auto lease =
      kube.store().find({&test::kube::resource("leases"), "kube-system", "sluice-agent"});
  ASSERT_TRUE(lease);
  EXPECT_THAT(lease->json, HasSubstr("\"leaseTransitions\":501"));
}

TEST_F(AgentTest, TheStreamSaysWhenAnEventArrivedAndWasSent) {
  using namespace std::chrono_literals;
  create_service("web");
  start();
  ASSERT_TRUE(until_published());
  const auto begun = std::chrono::system_clock::now() - 1ms;  // The entries have microseconds.
  create_service("two");
  ASSERT_TRUE(until_equal());
  remove_service("web");
  ASSERT_TRUE(until_equal());
  const auto ended = std::chrono::system_clock::now();
  const auto entries = run(store::read_range(redis, store::kStreamStart, "+", 1000));
  ASSERT_TRUE(entries);
  std::vector<store::StreamEntry> timed;
  for (const store::StreamEntry& entry : *entries)
    if (entry.times) timed.push_back(entry);
  ASSERT_EQ(timed.size(), 2u);  // What the comparison at the start wrote has none.
  EXPECT_EQ(timed[0].op, store::StreamEntry::Op::kPut);
  EXPECT_EQ(timed[1].op, store::StreamEntry::Op::kDelete);
  for (const store::StreamEntry& entry : timed) {
    EXPECT_GE(entry.times->arrived, begun);
    EXPECT_GE(entry.times->sent, entry.times->arrived);
    EXPECT_LE(entry.times->sent, ended);
  }
}

TEST(AgentMetrics, WhatWasWrittenToTheClusterIsAmongThem) {
  AgentState state;
  EXPECT_THAT(metrics_text(state, {}, "1"), Not(HasSubstr("sluice_agent_status")));
  WriteBackState& written = state.write_back.emplace();
  written.addresses_written = 5;
  written.conflicts = 2;
  written.waiting = 3;
  written.events_dropped = 7;
  EXPECT_THAT(metrics_text(state, {}, "1"),
              AllOf(HasSubstr("sluice_agent_status_writes_total{what=\"addresses\"} 5\n"),
                    HasSubstr("sluice_agent_status_writes_total{what=\"conditions\"} 0\n"),
                    HasSubstr("sluice_agent_status_write_errors_total{error=\"conflict\"} 2\n"),
                    HasSubstr("sluice_agent_status_waiting 3\n"),
                    HasSubstr("sluice_agent_kubernetes_events_total{result=\"dropped\"} 7\n")));
}

TEST_F(AgentTest, WhoIsFencedStopsLeading) {
  start();
  ASSERT_TRUE(until_published());
  server.command({"HSET", "sluice:1:source:prod", "token", "1000"});
  const std::uint64_t before = sequence();
  create_service("web");
  ASSERT_TRUE(until([&] { return !agents["a"]->leading(); }));
  pass(std::chrono::milliseconds(300));
  EXPECT_FALSE(agents["a"]->leading());
  EXPECT_EQ(sequence(), before);
  EXPECT_THAT(http(*agents["a"], "/metrics"), HasSubstr("sluice_agent_fenced_total 1"));
  const auto lease =
      kube.store().find({&test::kube::resource("leases"), "kube-system", "sluice-agent"});
  EXPECT_THAT(lease->json, Not(HasSubstr("\"holderIdentity\":\"")));
}

TEST_F(AgentTest, AnotherClusterOfTheSameNameIsRefused) {
  ASSERT_TRUE(publish("prod", store::services(3)));
  const std::uint64_t before = sequence();
  const Contents contents = in_redis();
  start();
  ASSERT_TRUE(until([&] {
    return http(*agents["a"], "/readyz").find("give this cluster another name") !=
           std::string::npos;
  }));
  EXPECT_EQ(sequence(), before);
  EXPECT_EQ(in_redis(), contents);
  EXPECT_FALSE(agents["a"]->published());
}

TEST_F(AgentTest, NothingIsPublishedBeforeEverythingWasListed) {
  create_service("web");
  test::kube::Fault fault;
  fault.status = 403;
  fault.path = "/nodes";
  kube.faults().add(fault);
  start();
  ASSERT_TRUE(until([&] { return agents["a"]->leading(); }));
  pass(std::chrono::milliseconds(300));
  EXPECT_TRUE(in_redis().empty());
  EXPECT_THAT(http(*agents["a"], "/readyz"),
              AllOf(HasSubstr("503"), HasSubstr("[-]Node: not listed yet")));
  EXPECT_THAT(http(*agents["a"], "/healthz"), HasSubstr("200 OK"));
  EXPECT_THAT(http(*agents["a"], "/nonsense"), HasSubstr("404"));
  kube.faults().clear();
  ASSERT_TRUE(until_published());
  EXPECT_EQ(in_redis(), in_api());
}

boost::json::object raw_service(const std::string& name, const std::string& spec) {
  return boost::json::parse(
             R"({"apiVersion":"v1","kind":"Service","metadata":{"namespace":"default","name":")" +
             name + R"("},"spec":)" + spec + "}")
      .as_object();
}

TEST_F(AgentTest, AnUnusableObjectStaysAtItsLastGoodState) {
  const auto& services = test::kube::resource("services");
  kube.store().put_raw(services,
                       raw_service("odd", R"({"type":"LoadBalancer","ports":[{"port":80}]})"));
  start();
  ASSERT_TRUE(until_published());
  const std::string key = "prod/Service/default/odd";
  const std::string good = in_redis()[key];
  ASSERT_FALSE(good.empty());
  kube.store().put_raw(services, raw_service("odd", R"({"type":"LoadBalancer","ports":"none"})"));
  create_service("after");
  ASSERT_TRUE(until([&] { return in_redis().contains("prod/Service/default/after"); }));
  EXPECT_EQ(in_redis()[key], good);
  EXPECT_THAT(http(*agents["a"], "/metrics"),
              HasSubstr("sluice_agent_unusable_objects{kind=\"Service\"} 1"));
  // An agent that never saw it usable leaves it as Redis has it.
  stop("a");
  start();
  ASSERT_TRUE(until_published());
  EXPECT_EQ(in_redis()[key], good);
  // Only its deletion takes it away.
  remove_service("odd");
  ASSERT_TRUE(until([&] { return !in_redis().contains(key); }));
}

class RecordingTest : public AgentTest {
 protected:
  static test::kube::ServerOptions replaying() {
    test::kube::ServerOptions options;
    options.replay = SLUICE_FIXTURES;
    options.watch_list = false;
    return options;
  }
  RecordingTest() : AgentTest(replaying()) {}

  // The recorded server gave a Service that became an ExternalName its internalTrafficPolicy in the
  // watch, and not in a list.
  static void add_recorded(Contents* all, v1::Object object) {
    if (object.has_service() && object.service().spec().type() == "ExternalName")
      object.mutable_service()->mutable_spec()->clear_internal_traffic_policy();
    add(all, std::move(object));
  }
  // Services, slices and Nodes of the recorded lists.
  Contents recorded(const std::string& stage) {
    Contents all;
    for (const KindName& name : kKindNames) {
      if (name.kind == v1::KIND_NAMESPACE) continue;
      const auto text = read_text_file(std::string(SLUICE_FIXTURES) + "/list/" + name.plural + "." +
                                       stage + ".json");
      EXPECT_TRUE(text);
      const auto metadata = kube::decode_list(name.kind, *text, [&](kube::Decoded decoded) {
        EXPECT_EQ(decoded.error, "");
        add_recorded(&all, std::move(decoded.object));
      });
      EXPECT_TRUE(metadata);
    }
    return all;
  }
  // The first lists with every recorded event over them.
  Contents recorded_end() {
    Contents all = recorded("initial");
    for (const KindName& name : kKindNames) {
      if (name.kind == v1::KIND_NAMESPACE) continue;
      std::ifstream file(std::string(SLUICE_FIXTURES) + "/watch/" + name.plural + ".jsonl");
      for (std::string line; std::getline(file, line);) {
        auto event = kube::decode_event(name.kind, line);
        EXPECT_TRUE(event) << line;
        if (event->type == kube::WatchEvent::Type::kBookmark) continue;
        if (event->type == kube::WatchEvent::Type::kDeleted) {
          all.erase(key_of(kSource, event->decoded.object).text());
        } else {
          add_recorded(&all, std::move(event->decoded.object));
        }
      }
    }
    return all;
  }
  Contents published() {
    Contents all;
    auto listing = run(store::list_objects(redis, kSource, v1::KIND_UNSPECIFIED));
    EXPECT_TRUE(listing);
    for (store::StoredObject& object : listing->objects) {
      if (object.key.kind != v1::KIND_NAMESPACE) add_recorded(&all, std::move(object.object));
    }
    return all;
  }
};

// From the first lists to the resourceVersion of the last ones, and on to the recordings' end.
TEST_F(RecordingTest, EndsAtTheLastListsAndGoesOnToTheEnd) {
  kube.replay()->hold_at(870);  // Of the last lists.
  start();
  ASSERT_TRUE(until_published());
  const Contents last = recorded("after-churn");
  EXPECT_TRUE(until([&] { return published() == last; }));
  EXPECT_EQ(published(), last);
  kube.replay()->hold_at(0);
  kube.wake_watches();
  const Contents end = recorded_end();
  EXPECT_TRUE(until([&] { return published() == end; }));
  EXPECT_EQ(published(), end);
}

}  // namespace
}  // namespace sluice::agent
