// Merged statuses: written by the leader alone, told to those who follow a source.
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class Follower : public StatusObserver {
 public:
  void on_status_changed(const StatusKey& key) override { changed.push_back(key.name); }
  void on_any_status_changed() override { ++all; }
  std::vector<std::string> changed;
  int all = 0;
};

class MergedStatusTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(*run(lead.hold()));
  }
  void TearDown() override {
    if (feed) stop_feed();
    StoreTest::TearDown();
  }
  static v1::ServiceStatus status(const std::string& name, const std::string& address,
                                  const std::string& source = "cluster-1") {
    v1::ServiceStatus s;
    s.set_source(source);
    s.set_namespace_("default");
    s.set_name(name);
    s.add_addresses(address);
    return s;
  }
  // These and no others.
  static boost::asio::awaitable<Status> update(MergedStatusWriter& to, Leader leader,
                                               std::vector<v1::ServiceStatus> statuses) {
    std::vector<StatusKey> gone = to.services();
    for (const auto& s : statuses)
      std::erase(gone, StatusKey{s.source(), s.namespace_(), s.name()});
    co_return co_await to.update(leader, std::move(statuses), std::move(gone));
  }
  void write(std::vector<v1::ServiceStatus> statuses) {
    const Status written = run(update(writer, lead.leader(), std::move(statuses)));
    ASSERT_TRUE(written) << written.error();
  }
  std::string entries(const std::string& source = "cluster-1") {
    return server.command({"XLEN", "sluice:1:statuses:" + source});
  }
  void start_feed() {
    using std::chrono::milliseconds;
    feed =
        std::make_unique<StatusFeed>(io.get_executor(), options(), "cluster-1", follower,
                                     StatusFeedTiming{milliseconds(50), milliseconds(20), reread});
    ended = false;
    boost::asio::co_spawn(io, feed->run(), [this](std::exception_ptr) { ended = true; });
    ASSERT_TRUE(until([this] { return follower.all == 1; }));
  }
  void stop_feed() {
    feed->stop();
    EXPECT_TRUE(until([this] { return ended; }));
    feed.reset();
  }

  Lead lead{redis, "gw-a"};
  MergedStatusWriter writer{redis};
  Follower follower;
  std::chrono::milliseconds reread{60'000};
  std::unique_ptr<StatusFeed> feed;
  bool ended = true;
};

TEST_F(MergedStatusTest, WrittenAndToldOnlyOnChange) {
  write({status("a", "192.0.2.1"), status("b", "192.0.2.2"), status("m", "192.0.2.3", "manual")});
  EXPECT_EQ(entries(), "2");
  EXPECT_EQ(entries("manual"), "1");
  write({status("a", "192.0.2.1"), status("b", "192.0.2.2"), status("m", "192.0.2.3", "manual")});
  EXPECT_EQ(entries(), "2");
  write({status("a", "192.0.2.9"), status("m", "192.0.2.3", "manual")});
  EXPECT_EQ(entries(), "4");
  const auto found = run(
      read_statuses(redis, "-", {{"cluster-1", "default", "a"}, {"cluster-1", "default", "b"}}));
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->begin()->second.addresses(0), "192.0.2.9");
  EXPECT_EQ(found->begin()->second.gateway(), "");
}

TEST_F(MergedStatusTest, NumbersOfBackendsAreWrittenButNotTold) {
  v1::ServiceStatus s = status("a", "192.0.2.1");
  write({s});
  s.set_backends(3);
  s.set_draining(1);
  write({s});
  EXPECT_EQ(entries(), "1");
  const auto found = run(read_statuses(redis, "-", {{"cluster-1", "default", "a"}}));
  EXPECT_EQ(found->begin()->second.backends(), 3u);
  s.add_conditions()->set_type("sluice.dev/Programmed");
  write({s});
  EXPECT_EQ(entries(), "2");
}

TEST_F(MergedStatusTest, ANewLeaderComparesWithWhatIsThereAndDeletesWhatIsLeft) {
  write({status("a", "192.0.2.1"), status("gone", "192.0.2.2")});
  server.set("sluice:1:status:-:cluster-1:default/damaged", "\xff\xff");
  ASSERT_TRUE(run(lead.resign()));
  Lead other(redis, "gw-b");
  ASSERT_TRUE(*run(other.hold()));
  MergedStatusWriter next(redis);
  const auto recalled = run(next.recall());
  ASSERT_TRUE(recalled) << recalled.error();
  EXPECT_EQ(next.services().size(), 2u);
  ASSERT_TRUE(run(update(next, other.leader(), {status("a", "192.0.2.1")})));
  EXPECT_EQ(entries(), "3");
  EXPECT_EQ(server.command({"EXISTS", "sluice:1:status:-:cluster-1:default/gone"}), "0");
}

TEST_F(MergedStatusTest, WhoLeadsNoMoreIsRefused) {
  write({status("a", "192.0.2.1")});
  const Leader before = lead.leader();
  ASSERT_TRUE(run(lead.resign()));
  Lead other(redis, "gw-b");
  ASSERT_TRUE(*run(other.hold()));
  const Status refused = run(update(writer, before, {status("a", "192.0.2.9")}));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("does not lead"));
  const auto found = run(read_statuses(redis, "-", {{"cluster-1", "default", "a"}}));
  EXPECT_EQ(found->begin()->second.addresses(0), "192.0.2.1");
}

TEST_F(MergedStatusTest, ForeignKeysAreReportedAndLeftAlone) {
  server.command({"LPUSH", "sluice:1:statuses:cluster-1", "x"});
  const Status refused = run(update(writer, lead.leader(), {status("a", "192.0.2.1")}));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("not ours"));
  EXPECT_EQ(server.command({"LLEN", "sluice:1:statuses:cluster-1"}), "1");
  EXPECT_EQ(server.command({"EXISTS", "sluice:1:status:-:cluster-1:default/a"}), "0");
}

TEST_F(MergedStatusTest, AFollowerHearsOfEachChangeOfItsSource) {
  start_feed();
  write({status("a", "192.0.2.1"), status("b", "192.0.2.2"), status("m", "192.0.2.3", "manual")});
  // The first entry of a new stream: nobody knows what was before it.
  EXPECT_TRUE(until([&] { return follower.all == 2; }));
  write({status("a", "192.0.2.9")});
  EXPECT_TRUE(until([&] { return follower.changed.size() == 3; }));
  EXPECT_THAT(follower.changed, ElementsAre("b", "a", "b"));
  EXPECT_EQ(follower.all, 2);
}

TEST_F(MergedStatusTest, AFollowerReadsAllAgainAfterAGap) {
  write({status("a", "192.0.2.1")});
  start_feed();
  server.command({"XADD", "sluice:1:statuses:cluster-1", "*", "key", "default/x", "op", "put",
                  "sequence", "7", "incarnation", "other"});
  EXPECT_TRUE(until([&] { return follower.all == 2; }));
  EXPECT_TRUE(follower.changed.empty());
  server.command({"XADD", "sluice:1:statuses:cluster-1", "*", "key", "default/x", "op", "put",
                  "sequence", "9", "incarnation", "other"});
  EXPECT_TRUE(until([&] { return follower.all == 3; }));
  server.command({"XADD", "sluice:1:statuses:cluster-1", "*", "something", "else"});
  EXPECT_TRUE(until([&] { return follower.all == 4; }));
}

TEST_F(MergedStatusTest, AFollowerReadsAllAgainWhenTheLedgerWasRebuilt) {
  write({status("a", "192.0.2.1")});
  start_feed();
  server.command({"HSET", "sluice:1:ledger", "incarnation", "new", "ready", "0"});
  write({status("a", "192.0.2.2")});  // It has gone round.
  EXPECT_TRUE(until([&] { return follower.changed.size() == 1; }));
  EXPECT_EQ(follower.all, 1);
  server.command({"HSET", "sluice:1:ledger", "ready", "1"});
  EXPECT_TRUE(until([&] { return follower.all == 2; }));
  server.command({"HSET", "sluice:1:ledger", "incarnation", "newer"});
  EXPECT_TRUE(until([&] { return follower.all == 3; }));
}

TEST_F(MergedStatusTest, AFollowerNoticesALostStreamAndALostRedis) {
  write({status("a", "192.0.2.1")});
  start_feed();
  server.command({"FLUSHALL"});
  EXPECT_TRUE(until([&] { return follower.all == 2; }));
  // Ids of an entry that went back in time: XREAD would wait for them for ever.
  server.command({"XADD", "sluice:1:statuses:cluster-1", "5-1", "key", "default/x", "op", "put",
                  "sequence", "1", "incarnation", "restored"});
  EXPECT_TRUE(until([&] { return follower.all == 3; }));
  server.kill();
  server.start();
  EXPECT_TRUE(until([&] { return follower.all == 4; }));
}

TEST_F(MergedStatusTest, AFollowerReadsAllAgainFromTimeToTime) {
  reread = std::chrono::milliseconds(100);
  start_feed();
  EXPECT_TRUE(until([&] { return follower.all >= 3; }));
}

TEST_F(MergedStatusTest, RecordsOfTheLedgerByAddress) {
  v1::Address record;
  record.set_address(std::string("\xc0\x00\x02\x01", 4));
  record.set_pool("p");
  server.set("sluice:1:address:192.0.2.1", record.SerializeAsString());
  server.set("sluice:1:address:192.0.2.2", record.SerializeAsString());  // Of another address.
  server.set("sluice:1:address:192.0.2.3", "\xff");
  std::vector<IpAddress> asked;
  for (const char* text : {"192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"})
    asked.push_back(*IpAddress::parse(text));
  const auto found = run(read_addresses(redis, asked));
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->begin()->second.pool(), "p");
}

}  // namespace
}  // namespace sluice::store
