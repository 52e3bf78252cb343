// Real Redis servers that fail over: to a replica that is behind, by hand and by Redis Sentinel.
#include <filesystem>

#include "control/store/sentinel.h"
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

std::string tcp(int port) {
  return "127.0.0.1:" + std::to_string(port);
}

std::vector<std::string> on_port(int port) {
  return {"--port", std::to_string(port), "--bind", "127.0.0.1", "--repl-diskless-sync-delay", "0"};
}

class FailoverTest : public StoreTest {
 protected:
  FailoverTest() : FailoverTest(test::free_port()) {}
  explicit FailoverTest(int port) : StoreTest(on_port(port)), master_port(port) {}

  void SetUp() override {
    StoreTest::SetUp();
    replica_port = test::free_port();
    replica = std::make_unique<test::RedisServer>(on_port(replica_port));
    follow_master();
  }
  void follow_master() {
    replica->command({"REPLICAOF", "127.0.0.1", std::to_string(master_port)});
    ASSERT_TRUE(until([this] { return replicated(); }));
  }
  bool replicated() const {
    const std::string info = replica->command({"INFO", "replication"});
    return info_field(info, "master_link_status") == "up" &&
           info_field(info, "master_repl_offset") ==
               info_field(server.command({"INFO", "replication"}), "master_repl_offset");
  }
  void watch(const RedisOptions& how) {
    reader = std::make_unique<StoreReader>(io.get_executor(), how, observer, fast());
    reader_ended = false;
    boost::asio::co_spawn(io, reader->run(), [this](std::exception_ptr) { reader_ended = true; });
  }
  std::string state(const std::string& source = "prod") {
    return observer.sources[source].state.state();
  }
  // What an agent does: connects again until it can, then publishes if it has to.
  void agent(Redis& to, Publisher& publisher, const std::vector<v1::Object>& truth) {
    bool done = false;
    EXPECT_TRUE(until([&] {
      if (!to.connected() && !run(to.connect())) return false;
      const auto standing = run(publisher.check());
      if (!standing) return false;
      if (!standing->intact) {
        const auto report = run(publisher.publish_all(all_kinds(), truth, "uid-of-prod"));
        if (!report) return false;
        last = *report;
      }
      done = true;
      return true;
    }));
    EXPECT_TRUE(done);
  }
  void expect_read(const std::vector<v1::Object>& truth) {
    EXPECT_TRUE(until([&] {
      return state() == "synced" && observer.objects.size() == truth.size();
    })) << state()
        << " " << observer.objects.size();
    for (const v1::Object& object : truth) {
      const auto found = observer.objects.find(key_of("prod", object));
      ASSERT_TRUE(found != observer.objects.end()) << object.service().metadata().name();
      EXPECT_EQ(encode(found->second->service()), encode(object.service()));
    }
  }

  int master_port;
  int replica_port = 0;
  std::unique_ptr<test::RedisServer> replica;
  PublishReport last;
};

// The address of Redis stays, and another one answers there.
class ReplicaTest : public FailoverTest {
 protected:
  ReplicaTest() : link(server.folder() + "-link") { point_to(server); }
  ~ReplicaTest() override { std::filesystem::remove(link); }
  void point_to(const test::RedisServer& to) {
    std::filesystem::remove(link);
    std::filesystem::create_symlink(to.socket(), link);
  }
  RedisOptions by_link() const {
    RedisOptions o = options();
    o.address = "unix:" + link;
    return o;
  }
  std::string link;
};

TEST_F(ReplicaTest, AReplicaThatIsAHundredWritesBehind) {
  Redis own(io.get_executor(), by_link());
  ASSERT_TRUE(run(own.connect()));
  Publisher prod(own, "prod", 1, "test");
  std::vector<v1::Object> truth = services(50);
  ASSERT_TRUE(run(prod.publish_all(all_kinds(), truth, "uid-of-prod")));
  watch(by_link());
  expect_read(truth);
  ASSERT_TRUE(until([this] { return replicated(); }));
  replica->command({"REPLICAOF", "127.0.0.1", "1"});  // Nobody: it stays at what it has.

  for (int i = 0; i < 60; ++i) {
    truth.push_back(service("late-" + std::to_string(i)));
    ASSERT_TRUE(run(prod.upsert({truth.back()})));
  }
  for (int i = 0; i < 20; ++i) {
    truth[static_cast<std::size_t>(i)] = service("web-" + std::to_string(i), "uid-2");
    ASSERT_TRUE(run(prod.upsert({truth[static_cast<std::size_t>(i)]})));
  }
  for (int i = 30; i < 50; ++i) {
    ASSERT_TRUE(run(prod.remove({service_key("web-" + std::to_string(i), "prod")})));
  }
  truth.erase(truth.begin() + 30, truth.begin() + 50);
  expect_read(truth);

  server.kill();
  replica->command({"REPLICAOF", "NO", "ONE"});
  point_to(*replica);
  ASSERT_TRUE(until([this] { return state() == "held"; }));
  EXPECT_EQ(observer.objects.size(), truth.size());
  EXPECT_THAT(observer.sources["prod"].state.message(), HasSubstr("went back"));
  EXPECT_FALSE(observer.has("web-40", "prod"));  // Not even its old objects are taken.

  agent(own, prod, truth);
  EXPECT_TRUE(last.renewed);
  EXPECT_EQ(last.created, 60u);
  EXPECT_EQ(last.configured, 20u);
  EXPECT_EQ(last.deleted, 20u);
  const int deletes = observer.deletes;
  expect_read(truth);
  EXPECT_EQ(observer.deletes, deletes);  // Nothing was taken away meanwhile.
}

TEST_F(ReplicaTest, NothingLostMeansNothingMoves) {
  Redis own(io.get_executor(), by_link());
  ASSERT_TRUE(run(own.connect()));
  Publisher prod(own, "prod", 1, "test");
  const std::vector<v1::Object> truth = services(50);
  ASSERT_TRUE(run(prod.publish_all(all_kinds(), truth, "uid-of-prod")));
  watch(by_link());
  expect_read(truth);
  ASSERT_TRUE(until([this] { return replicated(); }));
  server.kill();
  replica->command({"REPLICAOF", "NO", "ONE"});
  point_to(*replica);
  const int upserts = observer.upserts;
  agent(own, prod, truth);
  EXPECT_TRUE(last.renewed);
  EXPECT_EQ(last.unchanged, 50u);
  settle();
  expect_read(truth);
  EXPECT_EQ(observer.upserts, upserts);
  EXPECT_EQ(observer.deletes, 0);
}

TEST_F(ReplicaTest, AMasterThatIsMadeAReplicaIsLeft) {
  ASSERT_TRUE(publish("prod", services(5)));
  watch(by_link());
  ASSERT_TRUE(until([this] { return observer.connected; }));
  replica->command({"REPLICAOF", "NO", "ONE"});
  server.command({"REPLICAOF", "127.0.0.1", std::to_string(replica_port)});
  EXPECT_TRUE(until([this] { return !observer.connected; }));
  EXPECT_TRUE(until([this] {
    return observer.sources["prod"].state.message().find("not a master") != std::string::npos;
  }));
  EXPECT_EQ(state(), "stale");
  EXPECT_EQ(observer.objects.size(), 5u);
  const Status refused = run(redis.connect());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("not a master"));
}

class SentinelTest : public FailoverTest {
 protected:
  void SetUp() override {
    FailoverTest::SetUp();
    sentinel_port = test::free_port();
    sentinel = test::RedisServer::sentinel(
        {"port " + std::to_string(sentinel_port), "bind 127.0.0.1",
         "sentinel monitor main 127.0.0.1 " + std::to_string(master_port) + " 1",
         "sentinel down-after-milliseconds main 400", "sentinel failover-timeout main 2000"});
    // It learns of the replica from the master.
    ASSERT_TRUE(until([this] {
      return sentinel->command({"SENTINEL", "replicas", "main"})
                 .find(std::to_string(replica_port)) != std::string::npos;
    }));
  }
  RedisOptions by_sentinel() const {
    RedisOptions o = options();
    o.address.clear();
    o.timeout = milliseconds(1000);
    o.sentinel.addresses = {tcp(test::free_port()),
                            tcp(sentinel_port)};  // The first does not answer.
    o.sentinel.master = "main";
    return o;
  }
  int sentinel_port = 0;
  std::unique_ptr<test::RedisServer> sentinel;
};

TEST_F(SentinelTest, TheMasterTheyNameIsFollowedOverAFailover) {
  Redis own(io.get_executor(), by_sentinel());
  const Status connected = run(own.connect());
  ASSERT_TRUE(connected) << connected.error();
  EXPECT_EQ(own.peer(), tcp(master_port));
  Publisher prod(own, "prod", 1, "test");
  const std::vector<v1::Object> truth = services(30);
  ASSERT_TRUE(run(prod.publish_all(all_kinds(), truth, "uid-of-prod")));
  watch(by_sentinel());
  expect_read(truth);
  ASSERT_TRUE(until([this] { return replicated(); }));
  server.kill();
  EXPECT_TRUE(until([this] { return !observer.connected; }));
  agent(own, prod, truth);
  EXPECT_EQ(own.peer(), tcp(replica_port));
  expect_read(truth);
  ASSERT_TRUE(run(prod.upsert({service("after")})));
  EXPECT_TRUE(until([this] { return observer.has("after", "prod"); }));
  EXPECT_EQ(observer.deletes, 0);
}

// Cut off from its Sentinels, a master does not know that it is none any more.
TEST_F(SentinelTest, AMasterThatWasReplacedIsLeft) {
  RedisOptions how = by_sentinel();
  how.sentinel.addresses = {tcp(sentinel_port)};
  how.sentinel.recheck = milliseconds(50);
  Redis own(io.get_executor(), how);
  ASSERT_TRUE(run(own.connect()));
  const RedisCommand ping = {"PING"};
  for (int i = 0; i < 10; ++i, pass(milliseconds(20))) EXPECT_TRUE(run(own.command(ping)));
  server.pause();
  ASSERT_TRUE(until([this] {
    return sentinel->command({"SENTINEL", "get-master-addr-by-name", "main"})
               .find(std::to_string(replica_port)) != std::string::npos;
  }));
  server.resume();
  std::string why;
  ASSERT_TRUE(until([&] {
    const auto reply = run(own.command(ping));
    if (!reply) why = reply.error();
    return !reply;
  }));
  EXPECT_THAT(why, testing::AnyOf(HasSubstr("no longer the master"), HasSubstr("not connected")));
  EXPECT_FALSE(own.connected());
  ASSERT_TRUE(until([&] { return bool(run(own.connect())); }));
  EXPECT_EQ(own.peer(), tcp(replica_port));
}

TEST_F(SentinelTest, AnUnknownNameAndSilentSentinelsAreTold) {
  RedisOptions how = by_sentinel();
  how.sentinel.master = "nobody";
  Redis unknown(io.get_executor(), how);
  EXPECT_THAT(run(unknown.connect()).error(), HasSubstr("redis.sentinel.master"));
  how.sentinel.addresses.pop_back();
  Redis silent(io.get_executor(), how);
  EXPECT_THAT(run(silent.connect()).error(), HasSubstr("no Sentinel led to a master"));
}

TEST(SentinelReply, WhatIsNoAddressIsRefused) {
  RedisValue reply;
  reply.type = RedisValue::Type::kArray;
  EXPECT_FALSE(parse_sentinel_master(reply));
  const auto add = [&](const std::string& text) {
    RedisValue value;
    value.type = RedisValue::Type::kString;
    value.text = text;
    reply.elements.push_back(value);
  };
  for (const char* word : {"ip", "2001:db8::1", "port", "6379", "config-epoch", "7"}) add(word);
  const auto master = parse_sentinel_master(reply);
  ASSERT_TRUE(master) << master.error();
  EXPECT_EQ(master->address, "[2001:db8::1]:6379");
  EXPECT_EQ(master->epoch, 7u);
  reply.elements[3].text = "65536";
  EXPECT_FALSE(parse_sentinel_master(reply));
}

}  // namespace
}  // namespace sluice::store
