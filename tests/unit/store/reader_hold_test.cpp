// What must never take an object away: an empty, flushed, restored, damaged or absent Redis.
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class HoldTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    apply(services(3));
    seed();
    start_reader();
    ASSERT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  }
  void expect_held(const std::string& why) {
    EXPECT_TRUE(until([this] { return observer.manual().state.state() == "held"; }));
    EXPECT_THAT(observer.manual().state.message(), HasSubstr(why));
    settle();
    EXPECT_EQ(observer.deletes, 0);
    EXPECT_TRUE(observer.has("web-0"));
    EXPECT_TRUE(observer.has("web-2"));
  }
};

TEST_F(HoldTest, AFlushHoldsEverything) {
  server.command({"FLUSHALL"});
  expect_held("Redis has nothing of this source");
  EXPECT_EQ(observer.manual().reseed, Reseed::kFill);
  EXPECT_FALSE(observer.manual().complete.empty());  // Still known as a whole.
  EXPECT_EQ(observer.manual().state.held(), 3u);
  EXPECT_THAT(observer.manual().state.held_objects(),
              testing::ElementsAre("Service default/web-0", "Service default/web-1",
                                   "Service default/web-2"));
}

TEST_F(HoldTest, AnEmptyRedisInItsPlaceHoldsEverything) {
  server.kill();
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "stale"; }));
  EXPECT_FALSE(observer.connected);
  server.start();
  expect_held("Redis has nothing of this source");
  EXPECT_TRUE(observer.connected);
}

TEST_F(HoldTest, ANewIncarnationAddsAndHoldsTheRest) {
  server.command({"FLUSHALL"});
  expect_held("Redis has nothing of this source");
  apply({service("new")});
  EXPECT_TRUE(until([this] { return observer.has("new"); }));
  expect_held("not published as a whole yet");
  EXPECT_EQ(observer.manual().held, 3u);
  EXPECT_EQ(observer.manual().state.held(), 3u);
}

TEST_F(HoldTest, AnOlderRdbHoldsEverything) {
  server.command({"SAVE"});
  apply({service("newer")});
  v1::Object changed = service("web-0");
  changed.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.9");
  apply({changed});
  ASSERT_TRUE(until([this] {
    return observer.objects[service_key("web-0")]->service().spec().load_balancer_ip() ==
           "192.0.2.9";
  }));
  server.command({"DEBUG", "RELOAD", "NOSAVE"});
  expect_held("Redis went back to an older state");
  EXPECT_TRUE(observer.has("newer"));
  // Old values are no news either.
  EXPECT_EQ(observer.objects[service_key("web-0")]->service().spec().load_balancer_ip(),
            "192.0.2.9");
  EXPECT_EQ(observer.manual().reseed, Reseed::kReplace);
}

TEST_F(HoldTest, AnotherHistoryThatGrewLongerIsNotBelieved) {
  settle();
  server.command({"SAVE"});
  apply({service("newer-1"), service("newer-2")});
  ASSERT_TRUE(until([this] { return observer.has("newer-2"); }));
  settle();
  const v1::DiskState disk = saved();
  stop_reader();
  server.command({"DEBUG", "RELOAD", "NOSAVE"});
  for (int i = 0; i < 5; ++i) apply({service("other-" + std::to_string(i))});
  ASSERT_GT(hash().sequence, disk.sources(0).sequence());
  start_reader(disk);
  expect_held("Redis went back to an older state");
  EXPECT_TRUE(observer.has("newer-1"));
}

TEST_F(HoldTest, AbsenceWithoutADeleteIsMiscountedAndHeld) {
  server.command({"DEL", keys::object(service_key("web-1"))});
  apply({service("poke")});
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  expect_held("does not have as many objects as it counts: Service");
  EXPECT_TRUE(observer.has("web-1"));
  EXPECT_EQ(observer.manual().held, 1u);
  EXPECT_EQ(observer.manual().reseed, Reseed::kFill);
  // Deleting it by name is proof, once it is there again; here its return ends the hold.
  apply({service("web-1")});
  EXPECT_TRUE(until([this] { return observer.manual().held == 0; }));
}

TEST_F(HoldTest, ProvenAbsenceIsTaken) {
  settle();
  const v1::DiskState disk = saved();
  stop_reader();
  remove("web-1");
  server.command({"DEL", "sluice:1:stream"});  // No entry tells; marker and count do.
  start_reader(disk);
  EXPECT_TRUE(until([this] { return !observer.has("web-1"); }));
  EXPECT_EQ(observer.deletes, 1);
}

TEST_F(HoldTest, WhatDoesNotParseIsHeldAndReported) {
  server.set(keys::object(service_key("web-1")), "\xff\xff\xff");
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_TRUE(until([this] { return observer.manual().problems.size() == 1; }));
  EXPECT_THAT(observer.manual().problems[0].text, HasSubstr("not an Object message"));
  EXPECT_TRUE(observer.has("web-1"));
  EXPECT_EQ(observer.deletes, 0);
  apply({service("others-go-on")});
  EXPECT_TRUE(until([this] { return observer.has("others-go-on"); }));
}

TEST_F(HoldTest, AnotherMajorVersionIsHeldAndReported) {
  v1::Object future = service("web-1");
  future.mutable_header()->set_major(2);
  future.mutable_header()->set_writer("sluice 9.0");
  server.set(keys::object(service_key("web-1")), encode(future));
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_TRUE(until([this] { return observer.manual().problems.size() == 1; }));
  EXPECT_THAT(observer.manual().problems[0].text, HasSubstr("layout version 2.0"));
  EXPECT_THAT(observer.manual().problems[0].text, HasSubstr("upgrade"));
  EXPECT_TRUE(observer.has("web-1"));
}

TEST_F(HoldTest, AValueUnderAnothersKeyIsRefused) {
  v1::Object other = service("web-2");
  stamp(other.mutable_header(), "test");
  server.set(keys::object(service_key("web-1")), encode(other));
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_TRUE(until([this] { return observer.manual().problems.size() == 1; }));
  EXPECT_EQ(observer.objects[service_key("web-1")]->service().metadata().name(), "web-1");
}

TEST_F(HoldTest, ForeignKeysOfTheWrongTypeAreHeldAndReported) {
  server.command({"DEL", keys::object(service_key("web-1"))});
  server.command({"LPUSH", keys::object(service_key("web-1")), "x"});
  server.set("sluice:1:object:nonsense", "x");
  server.set("someone:else", "x");
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_TRUE(until([this] { return observer.manual().problems.size() == 1; }));
  EXPECT_THAT(observer.manual().problems[0].text, HasSubstr("another program"));
  EXPECT_TRUE(observer.has("web-1"));
  apply({service("others-go-on")});
  EXPECT_TRUE(until([this] { return observer.has("others-go-on"); }));
}

TEST_F(HoldTest, AHugeForeignValueCostsNoConnection) {
  server.command({"SETRANGE", keys::object(service_key("web-1")), "100000000", "x"});
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_TRUE(until([this] { return observer.manual().problems.size() == 1; }));
  EXPECT_THAT(observer.manual().problems[0].text, HasSubstr("its value has more than"));
  EXPECT_TRUE(observer.connected);
}

TEST_F(HoldTest, AForeignSourceHashIsHeldAndReported) {
  server.command({"DEL", keys::source("manual")});
  server.set(keys::source("manual"), "theirs");
  expect_held("cannot be used");
}

TEST_F(HoldTest, TwentyPercentAtOnceIsAlarmedUntilAccepted) {
  ASSERT_TRUE(publish("prod", services(50)));
  ASSERT_TRUE(until([this] { return observer.sources["prod"].state.state() == "synced"; }));
  settle();
  const v1::DiskState disk = saved();
  stop_reader();
  ASSERT_TRUE(publish("prod", services(30)));
  server.command({"DEL", "sluice:1:stream"});  // The deletes by name are not to be seen any more.
  start_reader(disk);
  EXPECT_TRUE(until([this] { return observer.sources["prod"].alarmed; }));
  EXPECT_THAT(observer.sources["prod"].state.message(), HasSubstr("20 of 50 Services"));
  EXPECT_THAT(observer.sources["prod"].state.message(), HasSubstr("sluice source accept prod"));
  settle();
  EXPECT_EQ(observer.deletes, 0);
  ASSERT_TRUE(run(accept_source(redis, "prod")));
  EXPECT_TRUE(until([this] { return !observer.has("web-49", "prod"); }));
  EXPECT_TRUE(until([this] { return observer.sources["prod"].state.state() == "synced"; }));
  EXPECT_TRUE(observer.has("web-29", "prod"));
  EXPECT_EQ(observer.deletes, 20);
}

TEST_F(HoldTest, AcceptIsForWhatRedisHasNow) {
  EXPECT_FALSE(run(accept_source(redis, "none")));
  EXPECT_FALSE(run(accept_source(redis, "No:Name")));
  ASSERT_TRUE(run(accept_source(redis, "manual")));
  server.command({"FLUSHALL"});
  expect_held("Redis has nothing of this source");
  server.set(keys::accept("manual"), "another-incarnation");
  apply({service("new")});
  ASSERT_TRUE(until([this] { return observer.has("new"); }));
  expect_held("not published as a whole yet");
}

TEST_F(HoldTest, TheLastGoodStateStartsFromDiskWithRedisAway) {
  settle();
  const v1::DiskState disk = saved();
  stop_reader();
  server.kill();
  observer.objects.clear();
  observer.sources.clear();
  start_reader(disk);
  EXPECT_EQ(observer.objects.size(), 3u);  // Before anything was awaited.
  EXPECT_EQ(observer.manual().state.state(), "stale");
  EXPECT_FALSE(observer.manual().complete.empty());
  EXPECT_FALSE(reader->read_once());
  server.start();
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "held"; }));
  EXPECT_EQ(observer.objects.size(), 3u);
}

TEST_F(HoldTest, WhatIsHeldStaysHeldOverARestart) {
  server.command({"FLUSHALL"});
  apply({service("new")});
  Lead lead(redis, "gw-other");
  ASSERT_TRUE(*run(lead.hold()));
  // A leader that knew nothing of what this gateway holds.
  ASSERT_TRUE(run(reseed(redis, lead.leader(), {}, Reseed::kFill, "test")));
  EXPECT_TRUE(until([this] {
    return observer.manual().state.message().find("re-seeded by a gateway") != std::string::npos;
  }));
  EXPECT_EQ(observer.deletes, 0);
  const v1::DiskState disk = saved();
  stop_reader();
  observer.objects.clear();
  start_reader(disk);
  ASSERT_TRUE(until([this] { return reader->read_once(); }));
  settle();
  EXPECT_TRUE(observer.has("web-0"));
  EXPECT_TRUE(observer.has("new"));
  EXPECT_EQ(observer.manual().held, 3u);
  ASSERT_TRUE(run(accept_source(redis, kManualSource)));
  EXPECT_TRUE(until([this] { return !observer.has("web-0"); }));
  EXPECT_TRUE(observer.has("new"));
}

}  // namespace
}  // namespace sluice::store
