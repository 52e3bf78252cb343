// Transactions over the socket: what is refused, and that what serves then stays.
#include "tests/unit/server/fake_host.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class ApplyTest : public ServerTest {
 protected:
  void SetUp() override {
    start();
    client = std::make_unique<Client>(path);
    ASSERT_TRUE(client->connected());
    EXPECT_THAT(client->hello().error(), IsEmpty());
  }
  // A part of web() changed by `change` is refused with `why`, at once or at commit.
  void refuse(const std::function<void(v1::ApplyPart&)>& change, const std::string& why) {
    v1::ApplyPart part = web();
    change(part);
    EXPECT_THAT(client->apply(client->report().generation() + 1, 0, part).error(), HasSubstr(why));
    EXPECT_THAT(client->commit().error(), HasSubstr("no transaction")) << "a refusal ends it";
  }
  std::unique_ptr<Client> client;
};

TEST_F(ApplyTest, HelloTellsWhoAndHowMuch) {
  const v1::HelloReply hello = client->hello().hello();
  EXPECT_EQ(hello.major(), 1u);
  EXPECT_EQ(hello.version(), "test-version");
  EXPECT_EQ(hello.boot().size(), 16u);
  EXPECT_EQ(hello.boot(), server->boot());
  EXPECT_EQ(hello.generation(), 0u);
  EXPECT_EQ(hello.workers(), 2u);
  EXPECT_EQ(hello.capacity().vips(), config.limits.vips);
  EXPECT_EQ(hello.capacity().backends(), config.limits.backends);
  EXPECT_EQ(hello.capacity().vip_ids(), config.limits.vip_ids);
}

TEST_F(ApplyTest, CommitPublishesAndAnswersWithItsGeneration) {
  EXPECT_EQ(client->begin(5, 0).apply().generation(), 0u);
  EXPECT_EQ(client->part(web()).apply().generation(), 0u);
  EXPECT_EQ(host->published(), nullptr) << "nothing is visible before the commit";
  const v1::Reply reply = client->commit();
  EXPECT_THAT(reply.error(), IsEmpty());
  EXPECT_EQ(reply.apply().generation(), 5u);
  EXPECT_EQ(reply.apply().tables_built(), 2u);
  ASSERT_NE(host->published(), nullptr);
  EXPECT_EQ(host->published()->generation(), 5u);
  EXPECT_EQ(host->published()->vip_count(), 2u);
}

TEST_F(ApplyTest, PartsAddUp) {
  client->begin(1, 0);
  v1::ApplyPart vips, rest = web();
  vips.mutable_upsert_vips()->Swap(rest.mutable_upsert_vips());
  EXPECT_THAT(client->part(vips).error(), IsEmpty()) << "what a VIP names may come later";
  EXPECT_THAT(client->part(rest).error(), IsEmpty());
  EXPECT_THAT(client->commit().error(), IsEmpty());
  EXPECT_EQ(host->published()->vip_count(), 2u);
}

TEST_F(ApplyTest, DeltaChangesItsBaseAlone) {
  EXPECT_THAT(client->apply(1, 0, web()).error(), IsEmpty());
  v1::ApplyPart delta;
  *delta.add_delete_vips() = key_message("2001:db8::1", 80);
  delta.add_delete_addresses(IpAddress::parse("2001:db8::1")->bytes());
  delta.add_delete_backends(3);
  const v1::Reply reply = client->apply(2, 1, delta);
  EXPECT_THAT(reply.error(), IsEmpty());
  EXPECT_EQ(reply.apply().tables_built(), 0u);
  EXPECT_EQ(host->published()->vip_count(), 1u);
  EXPECT_EQ(host->published()->backend_count(), 2u);
  EXPECT_THAT(client->apply(3, 1, delta).error(), HasSubstr("2 is serving"));
  EXPECT_THAT(client->apply(2, 0, delta).error(), HasSubstr("not greater than 2"));
}

TEST_F(ApplyTest, TheSeedOfBeginIsTheNewGenerationsAndIsReported) {
  const auto commit = [&](std::uint64_t generation, std::uint64_t base, std::uint64_t seed) {
    EXPECT_THAT(client->begin(generation, base, seed).error(), IsEmpty());
    EXPECT_THAT(client->part(base == 0 ? web() : v1::ApplyPart()).error(), IsEmpty());
    EXPECT_EQ(client->report().generation(), base) << "nothing changes before the commit";
    const v1::Reply reply = client->commit();
    EXPECT_THAT(reply.error(), IsEmpty());
    EXPECT_EQ(reply.apply().tables_built(), base == 0 ? 2u : 0u);
    EXPECT_EQ(host->published()->maglev_seed(), seed);
    EXPECT_EQ(client->report(false).maglev_seed(), seed);
    EXPECT_EQ(client->report(true).maglev_seed(), seed);
  };
  EXPECT_EQ(client->report().maglev_seed(), 0u);
  commit(1, 0, 0xfedcba9876543210u);
  commit(2, 1, 7);
  EXPECT_EQ(host->published()->vip_count(), 2u);
  commit(3, 2, 0);  // Not inherited.
}

TEST_F(ApplyTest, OneTransactionAtATimeAndItsOwnersEndEndsIt) {
  Client other(path);
  other.hello();
  EXPECT_THAT(client->begin(1, 0).error(), IsEmpty());
  EXPECT_THAT(client->begin(1, 0).error(), HasSubstr("this connection"));
  EXPECT_THAT(other.begin(1, 0).error(), HasSubstr("another connection"));
  EXPECT_THAT(other.part(web()).error(), HasSubstr("no transaction"));
  EXPECT_THAT(other.commit().error(), HasSubstr("no transaction"));
  v1::Request abort;
  abort.mutable_apply_abort();
  EXPECT_THAT(other.ask(abort).error(), IsEmpty()) << "to abort what is not one's own does nothing";
  EXPECT_THAT(client->part(web()).error(), IsEmpty());
  client->close();
  EXPECT_TRUE(eventually([&] { return other.begin(1, 0).error().empty(); }));
  EXPECT_THAT(other.part(web()).error(), IsEmpty());
  EXPECT_THAT(other.ask(abort).error(), IsEmpty());
  EXPECT_THAT(other.commit().error(), HasSubstr("no transaction"));
  EXPECT_EQ(host->published(), nullptr);
}

TEST_F(ApplyTest, BadPartsAreRefusedWithTheirReason) {
  ASSERT_THAT(client->apply(1, 0, web()).error(), IsEmpty());
  const auto before = host->published();
  refuse([](auto& p) { p.mutable_upsert_vips(0)->mutable_key()->set_address("abc"); }, "3 bytes");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->mutable_key()->set_port(0); }, "port 0");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->mutable_key()->set_port(70000); }, "port 70000");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->mutable_key()->clear_protocol(); }, "no protocol");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->clear_mode(); }, "forwarding mode 0");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->set_mode(static_cast<v1::ForwardingMode>(9)); },
         "mode 9");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->mutable_timers()->set_udp(16384); },
         "udp of 16384");
  refuse([](auto& p) { p.mutable_upsert_vips(0)->set_service(std::string(600, 'x')); },
         "600 bytes");
  refuse([](auto& p) { p.mutable_upsert_backends(0)->set_port(65536); }, "port 65536");
  refuse([](auto& p) { p.mutable_upsert_backends(0)->set_address(""); },
         "backend 1: an address of 0 bytes");
  refuse([](auto& p) { p.mutable_upsert_backends(0)->set_address(std::string(16, '\1')); },
         "another id");
  refuse(
      [](auto& p) {
        p.mutable_upsert_addresses(0)->set_unserved_ports(static_cast<v1::UnservedPorts>(5));
      },
      "policy 5");
  refuse([](auto& p) { p.add_delete_addresses("x"); }, "removed address");
  refuse([](auto& p) { p.add_delete_vips(); }, "VIP: an address of 0 bytes");
  refuse(
      [](auto& p) {
        p.mutable_upsert_vips()->DeleteSubrange(0, 1);
        p.mutable_upsert_vips(0)->set_maglev_size(100);
      },
      "not a prime");
  EXPECT_EQ(host->published(), before) << "nothing of it was published";
  EXPECT_EQ(client->report().generation(), 1u);
}

TEST_F(ApplyTest, PartBeyondAMebibyteIsRefused) {
  v1::ApplyPart part;
  for (int i = 0; i < 200000; ++i) part.add_delete_addresses("abcd");
  ASSERT_GT(part.ByteSizeLong(), Transaction::kMaxPart);
  EXPECT_THAT(client->apply(1, 0, part).error(), HasSubstr("split it"));
}

TEST_F(ApplyTest, TimersComeFromTheVipElseFromTheConfiguration) {
  stop();
  config.timers.udp = 77;
  start();
  Client again(path);
  again.hello();
  v1::ApplyPart part = web();
  part.mutable_upsert_vips(0)->mutable_timers()->set_tcp_closing(11);
  ASSERT_THAT(again.apply(1, 0, part).error(), IsEmpty());
  const VipBlock* vip = host->published()->find_vip(1, Be16::from_host(80));
  EXPECT_EQ(vip->timers.tcp_closing, 11 * kTicksPerSecond);
  EXPECT_EQ(vip->timers.udp, 77);
}

}  // namespace
}  // namespace sluice
