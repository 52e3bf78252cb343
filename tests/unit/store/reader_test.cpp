// Following what is published.
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class ReaderTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    apply(services(3));
    seed();
    start_reader();
    ASSERT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  }
  std::string change(const std::string& sequence, const std::string& op, const std::string& name) {
    return server.command({"XADD", "sluice:1:stream", "*", "source", "manual", "kind", "Service",
                           "key", "default/" + name, "op", op, "uid", "", "sequence", sequence,
                           "incarnation", hash().incarnation});
  }
};

TEST_F(ReaderTest, ReadsAllThenFollows) {
  EXPECT_EQ(observer.objects.size(), 3u);
  EXPECT_TRUE(observer.connected);
  EXPECT_EQ(observer.manual().complete.size(), all_kinds().size());
  const int synced = observer.synced;
  apply({service("new")});
  ASSERT_TRUE(until([this] { return observer.has("new"); }));
  EXPECT_GT(observer.synced, synced);
  remove("web-1");
  ASSERT_TRUE(until([this] { return !observer.has("web-1"); }));
  EXPECT_EQ(observer.objects.size(), 3u);
  EXPECT_EQ(observer.upserts, 4);  // Each once.
}

TEST_F(ReaderTest, ManyChangesArriveCoalesced) {
  std::vector<v1::Object> versions;
  for (int i = 0; i < 700; ++i) versions.push_back(service("bulk-" + std::to_string(i)));
  apply(versions);
  ASSERT_TRUE(until([this] { return observer.objects.size() == 703u; }));
  EXPECT_LT(observer.synced, 100);
}

TEST_F(ReaderTest, NothingIsDeliveredTwice) {
  settle();
  const int upserts = observer.upserts;
  stop_reader();
  start_reader();
  ASSERT_TRUE(until([this] { return reader->read_once(); }));
  EXPECT_EQ(observer.upserts, upserts + 3);  // A new reader knows nothing.
  settle();
  EXPECT_EQ(observer.upserts, upserts + 3);
}

TEST_F(ReaderTest, AGapInTheSequenceReadsEverythingAgain) {
  // A write whose entry was lost: the value changed, the sequence went on.
  v1::Object lost = service("web-0");
  lost.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.9");
  stamp(lost.mutable_header(), "test");
  server.set(keys::object(service_key("web-0")), encode(lost));
  server.command({"HINCRBY", keys::source("manual"), "sequence", "1"});
  apply({service("after")});
  ASSERT_TRUE(until([this] { return observer.has("after"); }));
  EXPECT_TRUE(until([this] {
    return observer.objects[service_key("web-0")]->service().spec().load_balancer_ip() ==
           "192.0.2.9";
  }));
}

TEST_F(ReaderTest, AMissingEntryIsFoundByTheMarkersComparison) {
  v1::Object lost = service("web-0");
  lost.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.9");
  stamp(lost.mutable_header(), "test");
  server.set(keys::object(service_key("web-0")), encode(lost));
  server.command({"HINCRBY", keys::source("manual"), "sequence", "1"});
  EXPECT_TRUE(until([this] {
    return observer.objects[service_key("web-0")]->service().spec().load_balancer_ip() ==
           "192.0.2.9";
  }));
}

TEST_F(ReaderTest, AForgedOldEntryDoesNotDelete) {
  change("1", "delete", "web-0");
  settle();
  EXPECT_TRUE(observer.has("web-0"));
  EXPECT_EQ(observer.manual().state.state(), "synced");
}

TEST_F(ReaderTest, ATrimmedStreamReadsEverythingAgain) {
  // A change and the loss of its entry, in one step: no reader can see the entry.
  v1::Object changed = service("web-0");
  changed.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.9");
  stamp(changed.mutable_header(), "test");
  const std::string text = "local function put()\n" + std::string(kPutScript.text) +
                           "\nend\nlocal result = put()\n"
                           "redis.call('XTRIM', KEYS[2], 'MAXLEN', 0)\nreturn result";
  EXPECT_EQ(server.command({"EVAL", text, "4", keys::source("manual"), "sluice:1:stream",
                            "sluice:1:sources", keys::object(service_key("web-0")), "manual", "",
                            "", "unused", "", "Service", "default/web-0", "uid", encode(changed)}),
            "configured");
  EXPECT_TRUE(until([this] {
    return observer.objects[service_key("web-0")]->service().spec().load_balancer_ip() ==
           "192.0.2.9";
  }));
  EXPECT_EQ(observer.objects.size(), 3u);
}

TEST_F(ReaderTest, AStreamThatIsGoneIsNoticed) {
  server.command({"DEL", "sluice:1:stream"});
  apply({service("new")});
  EXPECT_TRUE(until([this] { return observer.has("new"); }));
  settle();
  EXPECT_EQ(observer.objects.size(), 4u);
}

TEST_F(ReaderTest, DeletesWhileAwayAreExplicitWhileTheStreamHasThem) {
  apply(services(40));
  ASSERT_TRUE(until([this] { return observer.objects.size() == 40u; }));
  settle();
  const v1::DiskState disk = saved();
  stop_reader();
  // Far more than a fifth, but deleted by name.
  for (int i = 0; i < 30; ++i) remove("web-" + std::to_string(i));
  start_reader(disk);
  EXPECT_TRUE(until([this] { return observer.objects.size() == 10u; }));
  EXPECT_FALSE(observer.manual().alarmed);
}

TEST_F(ReaderTest, ExplicitDeletesAreNeverHeld) {
  apply(services(40));
  ASSERT_TRUE(until([this] { return observer.objects.size() == 40u; }));
  for (int i = 0; i < 40; ++i) remove("web-" + std::to_string(i));
  EXPECT_TRUE(until([this] { return observer.objects.empty(); }));
  settle();
  EXPECT_EQ(observer.manual().state.state(), "synced");
}

TEST_F(ReaderTest, ARestartedRedisConnectionGoesOn) {
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(until([this] { return !observer.connected || observer.synced > 1; }));
  ASSERT_TRUE(run(redis.connect()));
  apply({service("new")});
  EXPECT_TRUE(until([this] { return observer.has("new"); }));
  EXPECT_TRUE(observer.connected);
}

TEST_F(ReaderTest, AnotherSourceIsSeparate) {
  ASSERT_TRUE(publish("prod", services(2)));
  ASSERT_TRUE(until([this] { return observer.has("web-1", "prod"); }));
  EXPECT_EQ(observer.objects.size(), 5u);
  EXPECT_TRUE(until([this] { return observer.sources["prod"].state.state() == "synced"; }));
  ASSERT_TRUE(publish("prod", services(1)));
  EXPECT_TRUE(until([this] { return !observer.has("web-1", "prod"); }));
  EXPECT_TRUE(observer.has("web-1"));
}

TEST_F(ReaderTest, ASourceThatWasNotPublishedAsAWholeIsNotComplete) {
  Publisher half(redis, "prod", 1, "test");
  ASSERT_TRUE(run(half.upsert(services(2))));
  ASSERT_TRUE(until([this] { return observer.has("web-0", "prod"); }));
  EXPECT_EQ(observer.sources["prod"].state.state(), "unknown");
  EXPECT_TRUE(observer.sources["prod"].complete.empty());
  ASSERT_TRUE(publish("prod", services(2)));
  EXPECT_TRUE(until([this] { return !observer.sources["prod"].complete.empty(); }));
}

// What was followed without a gap is known already.
TEST_F(ReaderTest, AMarkerThatPromisesMoreNeedsNoSecondRead) {
  const auto scans = [this] {
    const std::string stats = server.command({"INFO", "commandstats"});
    const std::string field = "cmdstat_scan:calls=";
    return std::stoi(stats.substr(stats.find(field) + field.size()));
  };
  Publisher prod(redis, "prod", 1, "test");
  ASSERT_TRUE(run(prod.publish_all({v1::KIND_SERVICE}, services(2), "uid")));
  ASSERT_TRUE(until([this] { return observer.sources["prod"].state.state() == "synced"; }));
  settle();
  EXPECT_THAT(observer.sources["prod"].complete, testing::ElementsAre(v1::KIND_SERVICE));
  int before = scans();
  ASSERT_TRUE(run(prod.publish_all({v1::KIND_SERVICE}, services(2), "uid")));
  const int of_a_run = scans() - before;
  before = scans();
  ASSERT_TRUE(run(prod.publish_all(all_kinds(), services(3), "uid")));
  EXPECT_TRUE(until([this] {
    return observer.sources["prod"].complete.size() == all_kinds().size() &&
           observer.has("web-2", "prod");
  }));
  settle();
  EXPECT_EQ(scans() - before, of_a_run);
  EXPECT_EQ(observer.sources["prod"].state.state(), "synced");
}

TEST_F(ReaderTest, TheLedgersChangesAreAnnounced) {
  const int before = observer.ledger;
  Lead lead(redis, "gw-a");
  ASSERT_TRUE(*run(lead.hold()));
  Ledger ledger(redis);
  ASSERT_TRUE(run(ledger.refresh()));
  ASSERT_TRUE(run(ledger.rebuild(lead.leader())));
  EXPECT_TRUE(until([&] { return observer.ledger > before; }));
}

TEST_F(ReaderTest, AFullScanSurvivesWritesMeanwhile) {
  std::vector<v1::Object> many;
  for (int i = 0; i < 1500; ++i) many.push_back(service("bulk-" + std::to_string(i)));
  apply(many);
  ASSERT_TRUE(until([this] { return observer.objects.size() == 1503u; }));
  stop_reader();
  observer.objects.clear();
  start_reader();
  for (int i = 0; i < 200; ++i) {
    apply({service("during-" + std::to_string(i))});
    remove("bulk-" + std::to_string(i));
  }
  EXPECT_TRUE(
      until([this] { return observer.objects.size() == 1503u && observer.has("during-199"); }));
  settle();
  EXPECT_EQ(observer.manual().state.state(), "synced");
  EXPECT_EQ(observer.manual().held, 0u);
}

}  // namespace
}  // namespace sluice::store
