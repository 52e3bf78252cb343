#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class LedgerTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(*run(lead.hold()));
  }
  static v1::Address record(const std::string& address, std::uint64_t revision,
                            const std::string& holder) {
    v1::Address a;
    a.set_address(IpAddress::parse(address)->bytes());
    a.set_revision(revision);
    if (!holder.empty()) a.add_holders()->set_name(holder);
    return a;
  }
  static std::string holder(const Ledger& ledger, const std::string& address) {
    const auto found = ledger.records().find(*IpAddress::parse(address));
    if (found == ledger.records().end() || found->second.holders().empty()) return "";
    return found->second.holders(0).name();
  }
  // A ledger that may grant.
  void make_ready(Ledger& ledger) {
    ASSERT_TRUE(run(ledger.refresh()));
    if (ledger.state() != LedgerState::kReady) {
      const auto rebuilt = run(ledger.rebuild(lead.leader()));
      ASSERT_TRUE(rebuilt) << rebuilt.error();
    }
    ASSERT_EQ(ledger.state(), LedgerState::kReady);
  }
  Lead lead{redis, "gw-a"};
};

TEST_F(LedgerTest, NothingIsGrantedBeforeItIsRebuilt) {
  Ledger ledger(redis);
  ASSERT_TRUE(run(ledger.refresh()));
  EXPECT_EQ(ledger.state(), LedgerState::kRebuild);
  EXPECT_FALSE(run(ledger.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  EXPECT_EQ(server.command({"EXISTS", "sluice:1:address:192.0.2.1"}), "0");
}

TEST_F(LedgerTest, GrantsAreReadByOthers) {
  Ledger writer(redis), reader_(redis);
  make_ready(writer);
  ASSERT_TRUE(run(
      writer.apply(lead.leader(), {record("192.0.2.1", 1, "a"), record("2001:db8::1", 1, "b")})));
  ASSERT_TRUE(run(writer.apply(lead.leader(), {record("192.0.2.1", 2, "c")})));
  ASSERT_TRUE(run(reader_.refresh()));
  EXPECT_EQ(reader_.state(), LedgerState::kReady);
  EXPECT_EQ(holder(reader_, "192.0.2.1"), "c");
  EXPECT_EQ(holder(reader_, "2001:db8::1"), "b");
}

TEST_F(LedgerTest, TwoAllocatorsCannotGrantOneAddressTwice) {
  Ledger one(redis), two(redis);
  make_ready(one);
  make_ready(two);
  ASSERT_TRUE(run(one.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  const Status second = run(two.apply(lead.leader(), {record("192.0.2.1", 1, "b")}));
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error(), HasSubstr("STALE"));
  EXPECT_TRUE(two.stale());
  ASSERT_TRUE(run(two.refresh()));
  EXPECT_EQ(holder(two, "192.0.2.1"), "a");
}

TEST_F(LedgerTest, AStaleRevisionIsRefusedAsAWhole) {
  Ledger ledger(redis);
  make_ready(ledger);
  ASSERT_TRUE(run(ledger.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  const Status status =
      run(ledger.apply(lead.leader(), {record("192.0.2.2", 1, "b"), record("192.0.2.1", 1, "b")}));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error(), HasSubstr("has revision 1, not 0"));
  EXPECT_EQ(server.command({"EXISTS", "sluice:1:address:192.0.2.2"}), "0");
}

TEST_F(LedgerTest, OnlyTheLeaderWrites) {
  Ledger ledger(redis);
  make_ready(ledger);
  Leader former = lead.leader();
  ASSERT_TRUE(run(lead.resign()));
  Lead other(redis, "gw-b");
  ASSERT_TRUE(*run(other.hold()));
  const Status status = run(ledger.apply(former, {record("192.0.2.1", 1, "a")}));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error(), HasSubstr("NOTLEADER"));
  EXPECT_FALSE(run(ledger.rebuild(former)));
  ASSERT_TRUE(run(ledger.refresh()));
  EXPECT_EQ(ledger.state(), LedgerState::kReady);
}

TEST_F(LedgerTest, AfterAFlushItIsRebuiltFromEveryGatewaysCopy) {
  Ledger one(redis), two(redis);
  make_ready(one);
  ASSERT_TRUE(run(one.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  ASSERT_TRUE(run(two.refresh()));  // Knows 192.0.2.1 at revision 1, and no more.
  ASSERT_TRUE(
      run(one.apply(lead.leader(), {record("192.0.2.1", 2, "b"), record("192.0.2.2", 1, "c")})));
  server.command({"FLUSHALL"});
  ASSERT_TRUE(run(one.refresh()));
  EXPECT_EQ(one.state(), LedgerState::kRebuild);
  EXPECT_EQ(holder(one, "192.0.2.1"), "b");  // Held.
  // The other gateway leads, and the first one offers what it remembers.
  v1::GatewayPresence presence;
  presence.set_name("gw-a");
  ASSERT_TRUE(run(write_presence(redis, presence)));
  ASSERT_TRUE(run(one.offer_copy("gw-a", 7)));
  Lead other(redis, "gw-b");
  ASSERT_TRUE(*run(other.hold()));
  const auto rebuilt = run(two.rebuild(other.leader()));
  ASSERT_TRUE(rebuilt) << rebuilt.error();
  EXPECT_EQ(rebuilt->restored, 2u);
  EXPECT_THAT(rebuilt->gateways, testing::ElementsAre("gw-a"));
  EXPECT_EQ(rebuilt->maglev_seed, 7u);
  EXPECT_EQ(holder(two, "192.0.2.1"), "b");
  EXPECT_EQ(holder(two, "192.0.2.2"), "c");
  ASSERT_TRUE(run(one.refresh()));
  EXPECT_EQ(one.state(), LedgerState::kReady);
}

TEST_F(LedgerTest, AnOlderRedisIsNotBelieved) {
  Ledger ledger(redis);
  make_ready(ledger);
  ASSERT_TRUE(run(ledger.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  server.command({"SAVE"});
  ASSERT_TRUE(run(ledger.apply(lead.leader(), {record("192.0.2.2", 1, "b")})));
  server.command({"DEBUG", "RELOAD", "NOSAVE"});
  ASSERT_TRUE(run(ledger.refresh()));
  EXPECT_EQ(ledger.state(), LedgerState::kRebuild);
  EXPECT_EQ(holder(ledger, "192.0.2.2"), "b");
  ASSERT_TRUE(*run(lead.hold()));
  ASSERT_TRUE(run(ledger.rebuild(lead.leader())));
  EXPECT_NE(server.command({"GET", "sluice:1:address:192.0.2.2"}), "(nil)");
}

TEST_F(LedgerTest, DiskRoundTripHoldsWithRedisAway) {
  Ledger ledger(redis);
  make_ready(ledger);
  ASSERT_TRUE(run(ledger.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  v1::DiskState disk;
  ledger.save(&disk);
  server.kill();
  Ledger again(redis);
  again.load(disk);
  EXPECT_FALSE(run(again.refresh()));
  EXPECT_EQ(holder(again, "192.0.2.1"), "a");
}

TEST_F(LedgerTest, ARecordThatCannotBeReadIsTakenAndReported) {
  Ledger ledger(redis), fresh(redis);
  make_ready(ledger);
  ASSERT_TRUE(run(ledger.apply(lead.leader(), {record("192.0.2.1", 1, "a")})));
  server.set("sluice:1:address:192.0.2.1", "\xff\xff");
  ASSERT_TRUE(run(fresh.refresh()));
  ASSERT_EQ(fresh.unreadable().size(), 1u);
  EXPECT_EQ(fresh.unreadable()[0].text(), "192.0.2.1");
  ASSERT_EQ(fresh.problems().size(), 1u);
  EXPECT_THAT(fresh.problems()[0].text, HasSubstr("not an Address message"));
}

TEST_F(LedgerTest, ForeignKeysAreAClearError) {
  server.set("sluice:1:addresses", "theirs");
  Ledger ledger(redis);
  const Status status = run(ledger.refresh());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error(), HasSubstr("another program uses a key of ours"));
}

TEST_F(LedgerTest, BadRecordsAreRefused) {
  Ledger ledger(redis);
  make_ready(ledger);
  EXPECT_FALSE(run(ledger.apply(lead.leader(), {record("192.0.2.1", 0, "a")})));
  EXPECT_FALSE(
      run(ledger.apply(lead.leader(), {record("192.0.2.1", 1, "a"), record("192.0.2.1", 1, "b")})));
  v1::Address bad = record("192.0.2.1", 1, "a");
  bad.set_address("12345");
  EXPECT_FALSE(run(ledger.apply(lead.leader(), {bad})));
}

}  // namespace
}  // namespace sluice::store
