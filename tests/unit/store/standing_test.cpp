// A publisher notices what Redis lost, and brings its source back so that it is believed.
#include <filesystem>

#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class StandingTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(publish_all(services(20)));
  }
  Result<PublishReport> publish_all(std::vector<v1::Object> objects) {
    return run(prod.publish_all(all_kinds(), std::move(objects), "uid-of-prod"));
  }
  std::string reason() {
    const auto standing = run(prod.check());
    EXPECT_TRUE(standing) << standing.error();
    EXPECT_EQ(standing->intact, standing->reason.empty());
    return standing->reason;
  }
  void restart_with_copy() {
    server.kill();
    std::filesystem::rename(server.folder() + "/copy.rdb", server.folder() + "/dump.rdb");
    server.start();
    ASSERT_TRUE(run(redis.connect()));
  }
  void copy() {
    ASSERT_EQ(server.command({"SAVE"}), "OK");
    std::filesystem::copy_file(server.folder() + "/dump.rdb", server.folder() + "/copy.rdb");
  }

  Publisher prod{redis, "prod", 1, "test"};
};

TEST_F(StandingTest, IntactAfterItsOwnWrites) {
  EXPECT_EQ(reason(), "");
  ASSERT_TRUE(run(prod.upsert({service("new"), service("web-0", "uid-2")})));
  ASSERT_TRUE(run(prod.remove({service_key("new", "prod"), service_key("never", "prod")})));
  EXPECT_EQ(reason(), "");
  ASSERT_TRUE(publish_all(services(3)));
  EXPECT_EQ(reason(), "");
  EXPECT_FALSE(run(prod.upsert({service("a/b")})));
  EXPECT_EQ(reason(), "");
}

TEST_F(StandingTest, NotBeforeTheFirstWholeList) {
  Publisher other(redis, "other", 1, "test");
  EXPECT_FALSE(run(other.check())->intact);
}

TEST_F(StandingTest, AnotherWriterAFlushAndARestartAreNoticed) {
  Publisher second(redis, "prod", 1, "test");
  ASSERT_TRUE(run(second.upsert({service("foreign")})));
  EXPECT_THAT(reason(), HasSubstr("Redis is at change"));
  ASSERT_TRUE(publish_all(services(20)));
  EXPECT_EQ(reason(), "");
  server.command({"FLUSHALL"});
  EXPECT_THAT(reason(), HasSubstr("nothing of it"));
  ASSERT_TRUE(publish_all(services(20)));
  server.command({"SAVE"});
  server.kill();
  server.start();
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_THAT(reason(), HasSubstr("replication id"));
  const auto report = publish_all(services(20));
  ASSERT_TRUE(report) << report.error();
  EXPECT_TRUE(report->renewed);
  EXPECT_EQ(report->unchanged, 20u);
  EXPECT_EQ(reason(), "");
  EXPECT_FALSE(publish_all(services(20))->marker_written);
}

// Two losses of one publisher's source must not look like one.
TEST_F(StandingTest, EveryLossHasAnIncarnationOfItsOwn) {
  std::set<std::string> incarnations = {hash("prod").incarnation};
  for (int i = 0; i < 3; ++i) {
    server.command({"FLUSHALL"});
    ASSERT_TRUE(run(prod.upsert({service("web-0")})));
    EXPECT_TRUE(incarnations.insert(hash("prod").incarnation).second);
  }
}

TEST_F(StandingTest, AnOlderRdbIsBroughtUpToDateAndBelieved) {
  start_reader();
  ASSERT_TRUE(until([this] { return observer.objects.size() == 20; }));
  copy();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(run(prod.upsert({service("late-" + std::to_string(i))})));
  }
  ASSERT_TRUE(run(prod.remove({service_key("web-7", "prod")})));
  // All of it: before the last two changes there are as many.
  ASSERT_TRUE(
      until([this] { return observer.objects.size() == 119 && !observer.has("web-7", "prod"); }));
  restart_with_copy();
  ASSERT_TRUE(until([this] { return observer.sources["prod"].state.state() == "held"; }));
  EXPECT_EQ(observer.objects.size(), 119u);
  EXPECT_FALSE(observer.has("web-7", "prod"));

  // Another agent that knows nothing of what the first one wrote: it has begun to lead.
  std::vector<v1::Object> all = services(20);
  all.erase(all.begin() + 7);
  for (int i = 1; i < 100; ++i) all.push_back(service("late-" + std::to_string(i)));
  Publisher next(redis, "prod", 2, "test");
  const auto report = run(next.publish_all(all_kinds(), std::move(all), "uid-of-prod"));
  ASSERT_TRUE(report) << report.error();
  EXPECT_TRUE(report->renewed);
  EXPECT_EQ(report->created, 99u);
  EXPECT_EQ(report->deleted, 1u);
  // One Service less than the reader has: proven absent now.
  EXPECT_TRUE(until([this] {
    return observer.sources["prod"].state.state() == "synced" && observer.objects.size() == 118;
  }));
  EXPECT_FALSE(observer.has("late-0", "prod"));
  EXPECT_FALSE(observer.has("web-7", "prod"));
}

TEST_F(StandingTest, OneObjectThatCannotBeStoredStopsNoOther) {
  server.command({"LPUSH", keys::object(service_key("taken", "prod")), "theirs"});
  std::vector<v1::Object> all = services(21);
  all.push_back(service("taken"));
  all.push_back(service("a/b"));
  v1::Object huge = service("huge");
  (*huge.mutable_service()->mutable_metadata()->mutable_annotations())["x"] =
      std::string(kMaxObjectBytes, 'x');
  all.push_back(huge);
  const auto report = publish_all(all);
  ASSERT_TRUE(report) << report.error();
  EXPECT_EQ(report->created, 1u);
  ASSERT_EQ(report->refused.size(), 3u);
  EXPECT_THAT(report->refused, testing::Contains(HasSubstr("another program uses a key of ours")));
  EXPECT_TRUE(report->marker_written);
  EXPECT_EQ(reason(), "");
}

}  // namespace
}  // namespace sluice::store
