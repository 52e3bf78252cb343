// The Maglev seed: one for all gateways of a Redis, whatever becomes of it.
#include "store.pb.h"
#include "tests/unit/daemon/daemon_fixture.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST_F(DaemonTest, TwoGatewaysOfOneRedisProgramTheSameSeed) {
  const std::string socket = folder_.path() + "/second.sock";
  test::FakeDataplane second(socket);
  const std::string config =
      folder_.write("second.yaml", config_of("edge-2", socket, "second-state"));
  test::Background other({CONTROL_BINARY, "--config", config}, folder_.path() + "/second.log");
  serve_web();
  ASSERT_TRUE(second.wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s)) << other.log();
  const std::uint64_t seed = dataplane_->state().maglev_seed;
  EXPECT_NE(seed, 0u);
  EXPECT_EQ(second.state().maglev_seed, seed);
  EXPECT_EQ(stored_seed(), seed);
  EXPECT_THAT(other.log() + control_->log(), Not(HasSubstr(std::to_string(seed))));
  for (const test::FakeDataplane* dataplane : {dataplane_.get(), &second})
    for (const auto& transaction : dataplane->transactions())
      EXPECT_EQ(transaction.begin.maglev_seed(), seed);  // None before it was known.
}

TEST_F(DaemonTest, TheSeedOutlivesAFlushARestartAndWhatCannotBeRead) {
  serve_web();
  const std::uint64_t seed = dataplane_->state().maglev_seed;
  EXPECT_EQ(stored_seed(), seed);
  redis_.command({"FLUSHALL"});
  EXPECT_TRUE(eventually([&] { return stored_seed() == seed; }));
  std::this_thread::sleep_for(1500ms);  // The disk's copy is a second behind.
  stop_control();
  redis_.kill();
  dataplane_->restart();
  start_control();  // Only the disk knows.
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
  EXPECT_EQ(dataplane_->state().maglev_seed, seed);

  redis_.start();
  EXPECT_TRUE(eventually([&] { return stored_seed() == seed; }));
  redis_.set("sluice:1:secret", "\xff\xff not a message");
  EXPECT_TRUE(eventually([&] {
    return control_->log().find("secret of the gateways cannot be used") != std::string::npos;
  }));
  apply(pod(3));
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 3); }, 30s));
  EXPECT_EQ(dataplane_->state().maglev_seed, seed);
  EXPECT_EQ(deletes_of_vips(), 0u);
}

TEST_F(DaemonTest, AnotherSeedInRedisIsAppliedAndNothingElse) {
  serve_web();
  v1::ClusterSecret secret;
  secret.mutable_header()->set_major(1);
  secret.set_maglev_seed(0x4142434445464748u);
  redis_.set("sluice:1:secret", secret.SerializeAsString());
  ASSERT_TRUE(dataplane_->wait_for(
      [&](const auto& s) { return s.maglev_seed == secret.maglev_seed(); }, 30s));
  EXPECT_TRUE(serves(dataplane_->state(), 2, 2));
  EXPECT_NE(dataplane_->transactions().back().begin.base(), 0u);
  EXPECT_TRUE(dataplane_->transactions().back().parts.empty());
}

TEST_F(DaemonTest, WithoutASeedNothingIsProgrammedAndTheServiceSaysWhy) {
  redis_.set("sluice:1:secret", "\xff\xff not a message");
  start_dataplane();
  start_control();
  apply(kPool + service("web") + pod(1));
  EXPECT_TRUE(eventually([&] {
    return sluice({"describe", "svc", "web"}).out.find("SecretUnknown") != std::string::npos;
  }));
  EXPECT_EQ(dataplane_->transactions().size(), 0u);
  redis_.command({"DEL", "sluice:1:secret"});
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 1); }, 30s));
  EXPECT_NE(dataplane_->state().maglev_seed, 0u);
}

}  // namespace
}  // namespace sluice
