// A Redis that answers late, wrongly or not as it should: what was read stays, and the state says
// why.
#include <sys/stat.h>

#include <fstream>

#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

class TroubleTest : public StoreTest {
 protected:
  TroubleTest()
      // Slow to load, and answering meanwhile.
      : StoreTest({"--loading-process-events-interval-bytes", "1024", "--key-load-delay", "300"}) {}

  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(publish("prod", services(5)));
  }
  void watch(const RedisOptions& how) {
    reader = std::make_unique<StoreReader>(io.get_executor(), how, observer, fast());
    reader_ended = false;
    boost::asio::co_spawn(io, reader->run(), [this](std::exception_ptr) { reader_ended = true; });
  }
  std::string state() { return observer.sources["prod"].state.state(); }
  bool says(const std::string& text) {
    return observer.sources["prod"].state.message().find(text) != std::string::npos;
  }
  bool synced() { return state() == "synced" && observer.connected; }
};

TEST_F(TroubleTest, ASlowRedis) {
  RedisOptions impatient = options();
  impatient.timeout = milliseconds(200);
  watch(impatient);
  ASSERT_TRUE(until([this] { return synced(); }));
  server.command({"CLIENT", "PAUSE", "1500", "ALL"});
  EXPECT_TRUE(until([this] { return says("did not answer within"); }));
  EXPECT_EQ(state(), "stale");
  EXPECT_TRUE(until([this] { return synced(); }));
  EXPECT_EQ(observer.objects.size(), 5u);
  EXPECT_EQ(observer.upserts, 5);
  EXPECT_EQ(observer.deletes, 0);
}

TEST_F(TroubleTest, ARedisThatIsLoading) {
  server.command({"EVAL", "for i = 1, 5000 do redis.call('SET', 'other:' .. i, i) end", "0"});
  ASSERT_EQ(server.command({"SAVE"}), "OK");
  start_reader();
  ASSERT_TRUE(until([this] { return synced(); }));
  server.kill();
  server.start();
  EXPECT_TRUE(until([this] { return says("still loading its data"); }));
  EXPECT_EQ(state(), "stale");
  EXPECT_TRUE(until([this] { return synced(); }));
  EXPECT_EQ(observer.deletes, 0);
}

TEST_F(TroubleTest, AUserWithoutRights) {
  server.command({"ACL", "SETUSER", "weak", "on", ">secret", "~*", "+@all", "-scan"});
  RedisOptions weak = options();
  weak.username = "weak";
  weak.password_file = server.folder() + "/password";
  std::ofstream(weak.password_file) << "secret\n";
  ::chmod(weak.password_file.c_str(), 0600);
  watch(options());
  ASSERT_TRUE(until([this] { return synced(); }));
  const v1::DiskState disk = saved();
  stop_reader();
  reader = std::make_unique<StoreReader>(io.get_executor(), weak, observer, fast());
  reader->load(disk);
  reader_ended = false;
  boost::asio::co_spawn(io, reader->run(), [this](std::exception_ptr) { reader_ended = true; });
  EXPECT_TRUE(until([this] { return says("config/redis-acl.conf"); }));
  EXPECT_EQ(state(), "stale");
  EXPECT_EQ(observer.objects.size(), 5u);
  server.command({"ACL", "SETUSER", "weak", "+scan"});
  EXPECT_TRUE(until([this] { return synced(); }));
}

TEST_F(TroubleTest, AFullRedisIsReadAllTheSame) {
  server.command({"CONFIG", "SET", "maxmemory", "1"});
  start_reader();
  ASSERT_TRUE(until([this] { return synced(); }));
  Publisher prod(redis, "prod", 1, "test");
  ASSERT_TRUE(run(prod.remove({service_key("web-0", "prod")})));
  EXPECT_TRUE(until([this] { return !observer.has("web-0", "prod"); }));
  EXPECT_EQ(state(), "synced");
}

TEST_F(TroubleTest, ANewerMinorVersionIsServedAndTold) {
  v1::Object newer = service("newer");
  stamp(newer.mutable_header(), "sluice-agent 9");
  newer.mutable_header()->set_minor(kMinor + 1);
  std::string bytes = newer.SerializeAsString();
  bytes += std::string("\xfa\x3e\x01x", 4);  // Field 1007, of which this version knows nothing.
  ScriptCall put;
  put.keys = {keys::source("prod"), "sluice:1:stream", "sluice:1:sources",
              keys::object(service_key("newer", "prod"))};
  put.arguments = {"prod", "", "", "unused", "", "", "Service", "default/newer", "uid", "", bytes};
  ASSERT_TRUE(run(run_script_once(redis, kPutScript, put)));
  start_reader();
  ASSERT_TRUE(until([this] { return synced(); }));
  EXPECT_TRUE(observer.has("newer", "prod"));
  EXPECT_THAT(observer.sources["prod"].state.message(), HasSubstr("1 objects were written for"));
  Publisher prod(redis, "prod", 1, "test");
  ASSERT_TRUE(run(prod.remove({service_key("newer", "prod")})));
  EXPECT_TRUE(until([this] { return observer.sources["prod"].state.message().empty(); }));
}

TEST_F(TroubleTest, SeveralClustersAreIndependent) {
  ASSERT_TRUE(publish("east", services(30)));
  ASSERT_TRUE(publish("west", services(30)));
  start_reader();
  ASSERT_TRUE(until([this] { return synced() && observer.objects.size() == 65; }));
  ASSERT_TRUE(publish("west", services(1)));  // Explicit deletes.
  EXPECT_TRUE(until([this] { return observer.objects.size() == 36; }));
  server.command({"HSET", keys::source("east"), "sequence", "0"});  // Went back.
  EXPECT_TRUE(until([this] { return observer.sources["east"].state.state() == "held"; }));
  ASSERT_TRUE(publish("prod", services(6)));
  EXPECT_TRUE(until([this] { return observer.has("web-5", "prod"); }));
  EXPECT_EQ(state(), "synced");
  EXPECT_EQ(observer.objects.size(), 37u);
}

}  // namespace
}  // namespace sluice::store
