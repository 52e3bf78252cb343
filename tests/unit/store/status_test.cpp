#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

class StatusTest : public StoreTest {
 protected:
  static v1::ServiceStatus status(const std::string& name, const std::string& address) {
    v1::ServiceStatus s;
    s.set_source(kManualSource);
    s.set_namespace_("default");
    s.set_name(name);
    s.add_addresses(address);
    return s;
  }
  std::string writes() {
    const std::string info = server.command({"INFO", "commandstats"});
    const std::size_t at = info.find("cmdstat_set:");
    return at == std::string::npos ? "" : info.substr(at, info.find(',', at) - at);
  }
};

TEST_F(StatusTest, WrittenOnlyOnChangeAndDeletedWhenGone) {
  StatusWriter writer(redis, "gw-1");
  ASSERT_TRUE(run(writer.update({status("a", "192.0.2.1"), status("b", "192.0.2.2")}, {})));
  const std::string before = writes();
  ASSERT_TRUE(run(writer.update({status("a", "192.0.2.1"), status("b", "192.0.2.2")}, {})));
  EXPECT_EQ(writes(), before);
  ASSERT_TRUE(run(writer.update({status("a", "192.0.2.9")}, {{kManualSource, "default", "b"}})));
  EXPECT_NE(writes(), before);
  // What Redis may have lost is written again, and is known nevertheless.
  const std::string once = writes();
  writer.forget();
  EXPECT_EQ(writer.last({kManualSource, "default", "a"})->addresses(0), "192.0.2.9");
  ASSERT_TRUE(run(writer.update({status("a", "192.0.2.9")}, {})));
  EXPECT_NE(writes(), once);
  // Another process begins with what is there.
  StatusWriter next(redis, "gw-1");
  ASSERT_TRUE(run(next.recall({{kManualSource, "default", "a"}, {kManualSource, "default", "b"}})));
  EXPECT_EQ(next.services().size(), 1u);
  const std::string twice = writes();
  ASSERT_TRUE(run(next.update({status("a", "192.0.2.9")}, {})));
  EXPECT_EQ(writes(), twice);
  const auto found = run(read_statuses(
      redis, "gw-1", {{kManualSource, "default", "a"}, {kManualSource, "default", "b"}}));
  ASSERT_TRUE(found);
  ASSERT_EQ(found->size(), 1u);
  EXPECT_EQ(found->begin()->second.addresses(0), "192.0.2.9");
  EXPECT_EQ(found->begin()->second.gateway(), "gw-1");
}

TEST_F(StatusTest, APresenceEndsAndTheGatewayIsListedAsGone) {
  v1::GatewayPresence presence;
  presence.set_name("gw-1");
  presence.set_workers(2);
  ASSERT_TRUE(run(write_presence(redis, presence, std::chrono::milliseconds(80))));
  auto gateways = run(list_gateways(redis));
  ASSERT_TRUE(gateways);
  ASSERT_EQ(gateways->size(), 1u);
  EXPECT_TRUE((*gateways)[0].alive);
  EXPECT_EQ((*gateways)[0].presence.workers(), 2u);
  EXPECT_TRUE(until([&] { return !(*run(list_gateways(redis)))[0].alive; }));
  presence.set_name("gw:1");
  EXPECT_FALSE(run(write_presence(redis, presence)));
}

TEST_F(StatusTest, ADamagedPresenceIsNotAlive) {
  server.command({"SADD", "sluice:1:gateways", "gw-1", "bad name", "gw-2"});
  server.set("sluice:1:gateway:gw-1", "\xff\xff");
  server.command({"LPUSH", "sluice:1:gateway:gw-2", "x"});
  const auto gateways = run(list_gateways(redis));
  ASSERT_TRUE(gateways) << gateways.error();
  ASSERT_EQ(gateways->size(), 2u);
  EXPECT_FALSE((*gateways)[0].alive);
  EXPECT_FALSE((*gateways)[1].alive);
}

TEST_F(StatusTest, OneGatewayLeadsAtATime) {
  Lead a(redis, "gw-a", std::chrono::milliseconds(400));
  Lead b(redis, "gw-b", std::chrono::milliseconds(400));
  EXPECT_TRUE(*run(a.hold()));
  EXPECT_FALSE(*run(b.hold()));
  EXPECT_TRUE(a.leading());
  EXPECT_FALSE(b.leading());
  EXPECT_EQ(b.holder(), "gw-a");
  EXPECT_TRUE(*run(a.hold()));  // Renewed, with the same token.
  const std::uint64_t token = a.leader().token;
  EXPECT_TRUE(until([&] { return *run(b.hold()); }));  // a stops renewing.
  EXPECT_GT(b.leader().token, token);
  EXPECT_FALSE(a.leading());
  ASSERT_TRUE(run(b.resign()));
  EXPECT_FALSE(b.leading());
  EXPECT_TRUE(*run(a.hold()));
}

TEST_F(StatusTest, TokensGrowOverAFlush) {
  Lead a(redis, "gw-a");
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(*run(a.hold()));
    ASSERT_TRUE(run(a.resign()));
  }
  const std::uint64_t token = a.leader().token;
  server.command({"FLUSHALL"});
  ASSERT_TRUE(*run(a.hold()));
  EXPECT_GT(a.leader().token, token);
}

TEST_F(StatusTest, LeadershipEndsByTheLocalClockWhenRedisIsGone) {
  Lead a(redis, "gw-a", std::chrono::milliseconds(150));
  ASSERT_TRUE(*run(a.hold()));
  server.kill();
  EXPECT_TRUE(a.leading());
  EXPECT_FALSE(run(a.hold()));
  EXPECT_TRUE(until([&] { return !a.leading(); }));
}

}  // namespace
}  // namespace sluice::store
