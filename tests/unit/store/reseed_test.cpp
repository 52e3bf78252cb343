#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class ReseedTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    apply(services(3));
    seed();
    start_reader();
    ASSERT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
    settle();
  }
};

TEST_F(ReseedTest, AFlushedRedisIsFilledFromTheLastGoodState) {
  server.command({"FLUSHALL"});
  ASSERT_TRUE(until([this] { return observer.manual().reseed == Reseed::kFill; }));
  const int upserts = observer.upserts;
  seed(saved());
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  EXPECT_EQ(observer.manual().reseed, Reseed::kNo);
  EXPECT_EQ(observer.objects.size(), 3u);
  EXPECT_EQ(observer.deletes, 0);
  EXPECT_EQ(observer.upserts, upserts);  // Nothing changed for who kept it.
  EXPECT_EQ(hash().count(v1::KIND_SERVICE), 3u);
  remove("web-0");
  EXPECT_TRUE(until([this] { return !observer.has("web-0"); }));
}

TEST_F(ReseedTest, WhatWasWrittenSinceTheFlushIsNewer) {
  const v1::DiskState disk = saved();
  server.command({"FLUSHALL"});
  v1::Object newer = service("web-1");
  newer.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.9");
  apply({newer});
  seed(disk);
  // It may be synced still, from before the flush.
  EXPECT_TRUE(until([this] {
    return observer.manual().state.state() == "synced" &&
           observer.objects[service_key("web-1")]->service().spec().load_balancer_ip() ==
               "192.0.2.9";
  }));
  EXPECT_EQ(observer.objects.size(), 3u);
}

TEST_F(ReseedTest, AnotherGatewayThatKnewNoMoreBelievesTheReseed) {
  const v1::DiskState disk = saved();
  remove("web-2");
  ASSERT_TRUE(until([this] { return !observer.has("web-2"); }));
  settle();
  const v1::DiskState later = saved();
  stop_reader();
  server.command({"FLUSHALL"});
  seed(later);
  // The other gateway was away when web-2 was deleted.
  observer.objects.clear();
  start_reader(disk);
  EXPECT_TRUE(until([this] { return !observer.has("web-2"); }));
  EXPECT_TRUE(observer.has("web-1"));
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
}

TEST_F(ReseedTest, AnOlderRdbIsReplacedUnderANewIncarnation) {
  server.command({"SAVE"});
  const std::string old_incarnation = hash().incarnation;
  v1::Object changed = service("web-0");
  changed.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.9");
  apply({changed, service("newer")});
  ASSERT_TRUE(until([this] { return observer.has("newer"); }));
  settle();
  server.command({"DEBUG", "RELOAD", "NOSAVE"});
  ASSERT_TRUE(until([this] { return observer.manual().reseed == Reseed::kReplace; }));
  seed(saved(), Reseed::kReplace);
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  EXPECT_NE(hash().incarnation, old_incarnation);
  EXPECT_EQ(observer.objects.size(), 4u);
  EXPECT_EQ(observer.deletes, 0);
  const auto listing = run(list_objects(redis, kManualSource, v1::KIND_SERVICE));
  ASSERT_EQ(listing->objects.size(), 4u);
  EXPECT_EQ(listing->objects[1].object.service().spec().load_balancer_ip(), "192.0.2.9");
}

TEST_F(ReseedTest, LostObjectsAreBroughtBackAndCountedAgain) {
  server.command({"DEL", keys::object(service_key("web-1"))});
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  ASSERT_TRUE(until([this] { return observer.manual().reseed == Reseed::kFill; }));
  seed(saved());
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  EXPECT_EQ(hash().count(v1::KIND_SERVICE), 3u);
  EXPECT_EQ(hash().marker->reseeded_incarnation(), "");  // Still the history it was.
  EXPECT_EQ(observer.deletes, 0);
  const std::uint64_t sequence = hash().sequence;
  settle();
  seed(saved());
  EXPECT_EQ(hash().sequence, sequence);  // Nothing to repair, nothing written.
}

TEST_F(ReseedTest, OnlyTheLeaderReseeds) {
  const v1::DiskState disk = saved();
  server.command({"FLUSHALL"});
  Lead former(redis, "gw-a");
  ASSERT_TRUE(*run(former.hold()));
  const Leader believed = former.leader();
  ASSERT_TRUE(run(former.resign()));
  const auto report = run(reseed(redis, believed, disk, Reseed::kFill, "test"));
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error(), HasSubstr("NOTLEADER"));
  EXPECT_EQ(server.command({"DBSIZE"}), "1");  // The counter of tokens.
}

TEST_F(ReseedTest, ACrashMidReseedIsDoneAgain) {
  const v1::DiskState disk = saved();
  server.command({"FLUSHALL"});
  apply({service("web-0")});  // As far as it came: one object, no marker.
  ASSERT_TRUE(until([this] { return observer.manual().held == 2; }));
  EXPECT_EQ(observer.manual().reseed, Reseed::kFill);
  seed(disk);
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  EXPECT_EQ(observer.objects.size(), 3u);
}

TEST_F(ReseedTest, AnEmptyRedisWithoutAnyStateBecomesCompleteAndEmpty) {
  stop_reader();
  server.command({"FLUSHALL"});
  observer.objects.clear();
  observer.sources.clear();
  start_reader();
  ASSERT_TRUE(until([this] { return observer.manual().reseed == Reseed::kFill; }));
  EXPECT_TRUE(observer.manual().complete.empty());
  seed();
  EXPECT_TRUE(until([this] { return observer.manual().complete.size() == all_kinds().size(); }));
  EXPECT_EQ(observer.manual().state.state(), "synced");
}

}  // namespace
}  // namespace sluice::store
