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

// A cluster's publisher that says when its events arrived.
TEST_F(ReaderTest, TimesOfEventsComeAfterTheirChanges) {
  using std::chrono::floor, std::chrono::microseconds, std::chrono::milliseconds;
  Publisher publisher(redis, "prod", 1, "test");
  ASSERT_TRUE(run(publisher.publish_all(all_kinds(), services(2), "uid")));
  ASSERT_TRUE(until([this] { return observer.sources["prod"].complete.size() > 0; }));
  settle();
  EXPECT_TRUE(observer.has("web-1", "prod"));
  EXPECT_TRUE(observer.timed.empty());  // A differ's changes are no events.

  const auto begun = std::chrono::system_clock::now();
  const Arrivals arrivals{begun - milliseconds(7), begun - milliseconds(5)};
  ObjectList objects;
  for (const char* name : {"new", "web-0"})
    objects.push_back(std::make_shared<const v1::Object>(service(name, "uid-2")));
  const int before = observer.upserts + observer.deletes;
  ASSERT_TRUE(run(publisher.upsert(objects, arrivals)));
  ASSERT_TRUE(until([this] { return observer.timed.size() == 2; }));
  ASSERT_TRUE(run(publisher.upsert(objects, arrivals)));  // Equal: no entry.
  ASSERT_TRUE(run(publisher.remove({service_key("web-1", "prod")}, {arrivals[1]})));
  ASSERT_TRUE(until([this] { return observer.timed.size() >= 3; }));
  settle();
  ASSERT_EQ(observer.timed.size(), 3u);
  EXPECT_EQ(observer.timed_after, (std::vector<int>{before + 2, before + 2, before + 3}));

  EXPECT_EQ(observer.timed[0].times.arrived, floor<microseconds>(arrivals[0]));
  EXPECT_EQ(observer.timed[1].times.arrived, floor<microseconds>(arrivals[1]));
  EXPECT_EQ(observer.timed[2].times.arrived, floor<microseconds>(arrivals[1]));
  const auto ended = std::chrono::system_clock::now();
  for (const TimedChange& change : observer.timed) {
    EXPECT_GE(change.times.sent, floor<microseconds>(begun));
    EXPECT_GE(change.read, change.times.sent);
    EXPECT_LE(change.read, ended);
    EXPECT_LE(change.read_steady, std::chrono::steady_clock::now());
  }
}

TEST_F(ReaderTest, TimesThatAreNoneDoNotStopTheChange) {
  apply({service("web-0", "uid-2")});  // The command line gives none.
  ASSERT_TRUE(until([this] { return observer.upserts == 4; }));
  std::uint64_t sequence = hash().sequence;
  for (const char* times : {"", "1", " ", "1 ", "-1 2", "1 2 3", "one two", "1e3 2000",
                            "999999999999999999 1", "1 99999999999999999999999", "17 23"}) {
    const std::string next = std::to_string(++sequence);
    server.command({"HSET", "sluice:1:source:manual", "sequence", next});
    server.command({"XADD", "sluice:1:stream", "*", "times", times, "source", "manual", "kind",
                    "Service", "key", "default/web-0", "op", "put", "uid", "", "sequence", next,
                    "incarnation", hash().incarnation});
  }
  ASSERT_TRUE(until([this] { return !observer.timed.empty(); }));
  ASSERT_EQ(observer.timed.size(), 1u);
  EXPECT_EQ(observer.timed[0].times.arrived.time_since_epoch().count(), 17);
  EXPECT_EQ(observer.timed[0].times.sent.time_since_epoch().count(), 23);
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
  EXPECT_EQ(
      server.command({"EVAL", text, "4", keys::source("manual"), "sluice:1:stream",
                      "sluice:1:sources", keys::object(service_key("web-0")), "manual", "", "",
                      "unused", "", "", "Service", "default/web-0", "uid", "", encode(changed)}),
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
