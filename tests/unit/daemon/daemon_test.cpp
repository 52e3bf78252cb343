// Whole lives of sluice-control.
#include <filesystem>

#include "tests/unit/daemon/daemon_fixture.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(DaemonTest, ManifestsBecomeVipsOfBothFamilies) {
  serve_web();
  const auto state = dataplane_->state();
  EXPECT_TRUE(state.vips.contains("192.0.2.1:80/6"));
  EXPECT_TRUE(state.vips.contains("[2001:db8:1::1]:80/6"));
  EXPECT_EQ(state.backends.size(), 4u);
  EXPECT_EQ(state.addresses.size(), 2u);
  EXPECT_THAT(sluice({"get", "svc"}).out, HasSubstr("192.0.2.1,2001:db8:1::1"));
  EXPECT_THAT(sluice({"get", "pools"}).out,
              HasSubstr("public   192.0.2.0/28,2001:db8:1::/120   IPv4:1,IPv6:1"));
  EXPECT_THAT(sluice({"get", "gateways"}).out, HasSubstr("edge-1   Ready    leader"));
  EXPECT_THAT(sluice({"source", "list"}).out, HasSubstr("edge-1=synced"));
  EXPECT_THAT(sluice({"describe", "svc", "web"}).out,
              AllOf(HasSubstr("External IP:          192.0.2.1,2001:db8:1::1"),
                    HasSubstr("Programmed on 1 of 1 gateway.")));
}

TEST_F(DaemonTest, AChangeOfOneServiceTouchesNothingElse) {
  serve_web();
  apply(service("other", "  sessionAffinity: None\n"));
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 4, 2); }, 30s));
  const auto before = dataplane_->transactions().size();
  ASSERT_EQ(sluice({"delete", "service", "other"}).code, 0);
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
  const auto all = dataplane_->transactions();
  ASSERT_GT(all.size(), before);
  for (std::size_t i = before; i < all.size(); ++i) {
    EXPECT_NE(all[i].begin.base(), 0u);
    for (const auto& part : all[i].parts) EXPECT_EQ(part.upsert_vips_size(), 0);
  }
}

TEST_F(DaemonTest, ADeletedPodLeavesItsServicesVipsAlone) {
  serve_web();
  ASSERT_EQ(sluice({"delete", "pod", "web-2"}).code, 0);
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 1); }, 30s));
  EXPECT_EQ(deletes_of_vips(), 0u);
}

TEST_F(DaemonTest, KillingRedisWithdrawsNothingAndAnEmptyOneIsFilledAgain) {
  serve_web();
  std::this_thread::sleep_for(1500ms);  // The disk's copy is a second behind.
  redis_.kill();
  const auto commits = dataplane_->commits();
  std::this_thread::sleep_for(1s);
  EXPECT_EQ(dataplane_->commits(), commits);
  EXPECT_TRUE(serves(dataplane_->state(), 2, 2));

  redis_.start();  // Empty.
  EXPECT_TRUE(eventually([&] { return sluice({"get", "svc", "web"}).code == 0; }));
  EXPECT_TRUE(programmed("web"));
  EXPECT_EQ(deletes_of_vips(), 0u);
  EXPECT_TRUE(dataplane_->state().vips.contains("192.0.2.1:80/6"));
  // And it goes on: what is applied now is served.
  apply(pod(3));
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 3); }, 30s));
}

TEST_F(DaemonTest, FlushallWithdrawsNothingAndTheStateComesBack) {
  serve_web();
  redis_.command({"FLUSHALL"});
  EXPECT_TRUE(eventually([&] { return sluice({"get", "svc", "web"}).code == 0; }));
  EXPECT_TRUE(eventually([&] {
    return sluice({"get", "svc", "web"}).out.find("192.0.2.1,2001:db8:1::1") != std::string::npos;
  }));
  EXPECT_TRUE(serves(dataplane_->state(), 2, 2));
  EXPECT_EQ(deletes_of_vips(), 0u);
}

TEST_F(DaemonTest, ARestartOfControlAppliesNothingWhereNothingDiffers) {
  serve_web();
  stop_control();
  EXPECT_TRUE(serves(dataplane_->state(), 2, 2));  // Ending withdraws nothing.
  const auto commits = dataplane_->commits();
  start_control();
  ASSERT_TRUE(eventually(
      [&] { return control_->log().find("leading gateway=edge-1") != std::string::npos; }));
  std::this_thread::sleep_for(1s);
  EXPECT_EQ(dataplane_->commits(), commits);
  apply(pod(3));
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 3); }, 30s));
  EXPECT_NE(dataplane_->transactions().back().begin.base(), 0u);
}

TEST_F(DaemonTest, WithRedisAwayControlStartsFromItsDisk) {
  serve_web();
  stop_control();
  redis_.kill();
  dataplane_->restart();
  start_control();
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
  EXPECT_TRUE(dataplane_->state().vips.contains("192.0.2.1:80/6"));
}

// A control that is killed may leave a copy that is older than what it has programmed since.
TEST_F(DaemonTest, AnOldDiskWithdrawsNothingFromADataplaneThatServes) {
  const std::string disk = folder_.path() + "/state/state.pb";
  start_dataplane();
  start_control();
  apply(kPool);
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(disk); }));
  stop_control();
  std::filesystem::copy_file(disk, disk + ".old");
  start_control();
  apply(service("web") + pod(1) + pod(2));
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
  control_->signal(SIGKILL);
  control_->wait();
  std::filesystem::rename(disk + ".old", disk);
  redis_.kill();
  const auto transactions = dataplane_->transactions().size();
  start_control();
  ASSERT_TRUE(
      eventually([&] { return control_->log().find("dataplane connected") != std::string::npos; }));
  std::this_thread::sleep_for(1s);
  EXPECT_EQ(dataplane_->transactions().size(), transactions);
  EXPECT_TRUE(serves(dataplane_->state(), 2, 2));
}

TEST_F(DaemonTest, ARestartedDataplaneGetsTheWholeState) {
  serve_web();
  const auto ids = dataplane_->state().vips.at("192.0.2.1:80/6").id();
  const auto restarted = std::chrono::steady_clock::now();
  dataplane_->restart();
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
  EXPECT_LT(std::chrono::steady_clock::now() - restarted, 5s);  // One, on an idle machine.
  EXPECT_EQ(dataplane_->transactions().back().begin.base(), 0u);
  EXPECT_EQ(dataplane_->state().vips.at("192.0.2.1:80/6").id(), ids);
}

TEST_F(DaemonTest, UnknownIsNotEmpty) {
  test::DataplaneState state;
  state.generation = 7;
  state.maglev_seed = 77;
  v1::Vip vip;
  vip.mutable_key()->set_address(IpAddress::parse("192.0.2.9")->bytes());
  vip.mutable_key()->set_protocol(v1::PROTOCOL_TCP);
  vip.mutable_key()->set_port(80);
  vip.set_id(1);
  vip.set_service("manual/default/forgotten");
  vip.set_mode(v1::FORWARDING_MODE_NAT);
  state.vips[test::vip_text(vip.key())] = vip;
  state.addresses["192.0.2.9"].set_address(vip.key().address());
  start_dataplane(state);
  start_control();  // No disk, an empty Redis: nobody knows this Service any more.
  ASSERT_TRUE(eventually([&] {
    return control_->log().find("advice=\"apply its manifests again") != std::string::npos;
  }));
  std::this_thread::sleep_for(4s);
  EXPECT_EQ(dataplane_->transactions().size(), 0u);
  // What is applied now does not make the rest known, either.
  apply(kPool + service("web") + pod(1));
  std::this_thread::sleep_for(3s);
  EXPECT_TRUE(dataplane_->state().vips.contains("192.0.2.9:80/6"));
  // Once somebody says that it is to go, it goes.
  ASSERT_EQ(sluice({"source", "accept", "manual", "--yes"}).code, 0);
  EXPECT_TRUE(dataplane_->wait_for(
      [](const auto& s) { return serves(s, 2, 1) && !s.vips.contains("192.0.2.9:80/6"); }, 30s));
  // The seed that only the dataplane still knew is the cluster's again.
  EXPECT_EQ(dataplane_->state().maglev_seed, 77u);
  EXPECT_EQ(stored_seed(), 77u);
}

TEST_F(DaemonTest, ARefusedChangeIsAConditionAndIsTriedAgain) {
  serve_web();
  dataplane_->refuse_commits("no room for it");
  apply(pod(3));
  EXPECT_TRUE(eventually([&] {
    return sluice({"describe", "svc", "web"}).out.find("no room for it") != std::string::npos;
  }));
  EXPECT_TRUE(serves(dataplane_->state(), 2, 2));
  dataplane_->refuse_commits("");
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 3); }, 60s));
}

TEST_F(DaemonTest, ASecondControlOfOneGatewayIsRefused) {
  start_control();
  ASSERT_TRUE(
      eventually([&] { return control_->log().find("starting version") != std::string::npos; }));
  const auto second = test::run({CONTROL_BINARY, "--config", config_});
  EXPECT_EQ(second.code, 1);
  EXPECT_THAT(second.err, HasSubstr("another sluice-control"));
}

TEST_F(DaemonTest, PoolsOfTheConfigurationAreSeededOnce) {
  write_config("  pools: [{name: seeded, addresses: [198.51.100.0/28]}]\n");
  start_control();
  EXPECT_TRUE(eventually([&] { return sluice({"get", "pools", "seeded"}).code == 0; }));
  ASSERT_EQ(sluice({"delete", "pool", "seeded"}).code, 0);
  std::this_thread::sleep_for(2s);
  EXPECT_EQ(sluice({"get", "pools", "seeded"}).code, 1);
}

TEST_F(DaemonTest, SighupTellsWhatNeedsARestart) {
  start_control();
  ASSERT_TRUE(
      eventually([&] { return control_->log().find("starting version") != std::string::npos; }));
  write_config("  forwardingMode: dsr-mac\n  pools: [{name: x, addresses: [198.51.100.0/28]}]\n");
  control_->signal(SIGHUP);
  EXPECT_TRUE(eventually([&] {
    const std::string log = control_->log();
    return log.find("field=control.forwardingMode effect=now") != std::string::npos &&
           log.find("field=control.pools effect=\"after a restart") != std::string::npos;
  }));
  folder_.write("gateway.yaml", "control: {forwardingMode: sideways}\n");
  control_->signal(SIGHUP);
  EXPECT_TRUE(
      eventually([&] { return control_->log().find("the old one stays") != std::string::npos; }));
  EXPECT_TRUE(control_->running());
}

TEST_F(DaemonTest, AnUnreadableConfigurationStopsTheStart) {
  folder_.write("gateway.yaml", "control: {addressHoldSeconds: soon}\n");
  const auto result = test::run({CONTROL_BINARY, "--config", config_});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("gateway.yaml:1"), HasSubstr("addressHoldSeconds")));
}

TEST_F(DaemonTest, ForeignAndBrokenValuesInRedisHarmNobody) {
  serve_web();
  redis_.set("somebody:else", "value");
  redis_.set("sluice:1:object:manual:Service:default/broken", "\xff\xff not a message");
  redis_.command({"SADD", "sluice:1:object:manual:Pod:default/set", "x"});
  apply(pod(3));
  EXPECT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 3); }, 30s));
  EXPECT_EQ(deletes_of_vips(), 0u);
  EXPECT_TRUE(control_->running());
}

TEST_F(DaemonTest, ReleasedAddressesGoToNobodyElseBeforeTheHoldTime) {
  serve_web();
  ASSERT_EQ(sluice({"delete", "service", "web"}).code, 0);
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return s.vips.empty(); }, 30s));
  apply(service("other"));
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
  EXPECT_FALSE(dataplane_->state().vips.contains("192.0.2.1:80/6"));
  // The one that had it gets it back.
  apply(service("web"));
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 4, 2); }, 30s));
  EXPECT_EQ(dataplane_->state().vips.at("192.0.2.1:80/6").service(), "manual/default/web");
}

}  // namespace
}  // namespace sluice
