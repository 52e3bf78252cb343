// The secret of all gateways: made once, by the leader alone, held whatever becomes of Redis.
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;
using testing::Not;

class SecretTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    ASSERT_TRUE(*run(lead.hold()));
  }
  void refresh(Secret& read, SecretState expected) {
    const Status status = run(read.refresh());
    ASSERT_TRUE(status) << status.error();
    EXPECT_EQ(read.state(), expected) << read.problem();
  }
  std::uint64_t establish(Secret& written) {
    const Status status = run(written.establish(lead.leader()));
    EXPECT_TRUE(status) << status.error();
    EXPECT_EQ(written.state(), SecretState::kThere) << written.problem();
    return written.maglev_seed();
  }
  static v1::DiskState disk_with(std::uint64_t seed) {
    v1::DiskState disk;
    disk.set_maglev_seed(seed);
    return disk;
  }
  Lead lead{redis, "gw-a"};
  Secret secret{redis, "test"};
};

TEST_F(SecretTest, TheLeaderMakesItOnceAndAllReadTheSame) {
  refresh(secret, SecretState::kAbsent);
  EXPECT_EQ(secret.maglev_seed(), 0u);
  const std::uint64_t seed = establish(secret);
  EXPECT_NE(seed, 0u);
  Secret other(redis, "test"), late(redis, "test");
  refresh(other, SecretState::kThere);
  EXPECT_EQ(other.maglev_seed(), seed);
  // One that has not seen it, and has another on its disk, does not replace it.
  late.load(disk_with(99));
  EXPECT_EQ(establish(late), seed);
  v1::ClusterSecret stored;
  ASSERT_TRUE(stored.ParseFromString(server.command({"GET", "sluice:1:secret"})));
  EXPECT_EQ(stored.maglev_seed(), seed);
  EXPECT_EQ(stored.header().major(), 1u);
}

TEST_F(SecretTest, TwoAreNotAlike) {
  const std::uint64_t seed = establish(secret);
  server.command({"DEL", "sluice:1:secret"});
  Secret other(redis, "test");
  EXPECT_NE(establish(other), seed);
}

TEST_F(SecretTest, OnlyTheLeaderWrites) {
  const Leader former = lead.leader();
  ASSERT_TRUE(run(lead.resign()));
  Lead other(redis, "gw-b");
  ASSERT_TRUE(*run(other.hold()));
  const Status status = run(secret.establish(former));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error(), HasSubstr("NOTLEADER"));
  EXPECT_EQ(server.command({"EXISTS", "sluice:1:secret"}), "0");
}

TEST_F(SecretTest, AFlushIsHeldAndTheSameIsWrittenBack) {
  const std::uint64_t seed = establish(secret);
  v1::DiskState disk;
  secret.save(&disk);
  EXPECT_EQ(disk.maglev_seed(), seed);
  server.command({"FLUSHALL"});
  ASSERT_TRUE(*run(lead.hold()));
  refresh(secret, SecretState::kAbsent);
  EXPECT_EQ(secret.maglev_seed(), seed);
  Secret restarted(redis, "test");
  restarted.load(disk);
  EXPECT_EQ(establish(restarted), seed);
  refresh(secret, SecretState::kThere);
  EXPECT_EQ(secret.maglev_seed(), seed);
}

TEST_F(SecretTest, ALostRedisChangesNothing) {
  const std::uint64_t seed = establish(secret);
  server.kill();
  EXPECT_FALSE(run(secret.refresh()));
  EXPECT_EQ(secret.maglev_seed(), seed);
}

TEST_F(SecretTest, WhatRedisHasIsRightWhateverTheDiskSays) {
  const std::uint64_t seed = establish(secret);
  Secret other(redis, "test");
  other.load(disk_with(99));
  EXPECT_EQ(other.maglev_seed(), 99u);
  refresh(other, SecretState::kThere);
  EXPECT_EQ(other.maglev_seed(), seed);
  other.adopt(98, true);
  EXPECT_EQ(other.maglev_seed(), seed);
}

TEST_F(SecretTest, BeforeRedisTheDataplaneIsRightThenTheDiskThenACopy) {
  secret.adopt(97, false);
  EXPECT_EQ(secret.maglev_seed(), 97u);
  secret.adopt(96, false);
  EXPECT_EQ(secret.maglev_seed(), 97u);
  secret.adopt(95, true);
  EXPECT_EQ(secret.maglev_seed(), 95u);
  secret.adopt(0, true);
  EXPECT_EQ(secret.maglev_seed(), 95u);
  EXPECT_EQ(establish(secret), 95u);
}

TEST_F(SecretTest, WhatCannotBeUsedIsReportedHeldAndLeftAlone) {
  const std::uint64_t seed = establish(secret);
  v1::ClusterSecret newer, without;
  newer.mutable_header()->set_major(2);
  newer.set_maglev_seed(0x1122334455667788u);
  without.mutable_header()->set_major(1);
  const std::pair<std::string, const char*> bad[] = {
      {"\xff\xff garbage", "not a ClusterSecret message"},
      {std::string(8, '\x7f'), "not a ClusterSecret message"},
      {newer.SerializeAsString(), "layout version 2"},
      {without.SerializeAsString(), "no seed"},
      {std::string(5000, 'x'), "more than 4096 bytes"}};
  for (const auto& [value, why] : bad) {
    server.set("sluice:1:secret", value);
    refresh(secret, SecretState::kUnusable);
    EXPECT_THAT(secret.problem(), HasSubstr(why));
    EXPECT_THAT(secret.problem(), Not(HasSubstr("1122334455667788")));
    EXPECT_EQ(secret.maglev_seed(), seed);
    Secret fresh(redis, "test");
    ASSERT_TRUE(run(fresh.establish(lead.leader())));
    EXPECT_EQ(fresh.state(), SecretState::kUnusable);
    EXPECT_EQ(fresh.maglev_seed(), 0u);
    EXPECT_EQ(server.command({"STRLEN", "sluice:1:secret"}), std::to_string(value.size()));
  }
  server.command({"DEL", "sluice:1:secret"});
  server.command({"SADD", "sluice:1:secret", "theirs"});
  refresh(secret, SecretState::kUnusable);
  EXPECT_NE(secret.problem(), "");
  const Status status = run(secret.establish(lead.leader()));
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error(), HasSubstr("another program uses a key of ours"));
  // Deleted, it is written again as it was.
  server.command({"DEL", "sluice:1:secret"});
  refresh(secret, SecretState::kAbsent);
  EXPECT_EQ(secret.problem(), "");
  EXPECT_EQ(establish(secret), seed);
}

}  // namespace
}  // namespace sluice::store
