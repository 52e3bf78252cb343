// What was applied is reported as it was given; counters are summed and named.
#include <algorithm>
#include <map>

#include "tests/unit/server/fake_host.h"

namespace sluice {
namespace {

using testing::IsEmpty;

class ReportTest : public ServerTest {
 protected:
  void SetUp() override {
    start();
    client = std::make_unique<Client>(path);
    client->hello();
  }
  v1::Statistics statistics(bool vips, bool backends, bool workers,
                            std::size_t* replies = nullptr) {
    v1::Request request;
    request.mutable_statistics()->set_vips(vips);
    request.mutable_statistics()->set_backends(backends);
    request.mutable_statistics()->set_workers(workers);
    v1::Statistics all;
    const std::vector<v1::Reply> got = client->ask_all(request);
    for (const v1::Reply& reply : got) all.MergeFrom(reply.statistics());
    if (replies != nullptr) *replies = got.size();
    return all;
  }
  std::unique_ptr<Client> client;
};

TEST_F(ReportTest, GivesBackByteForByteWhatWasApplied) {
  v1::ApplyPart part = web();
  v1::Vip& vip = *part.mutable_upsert_vips(0);
  vip.set_mode(v1::FORWARDING_MODE_NAT);
  vip.mutable_members(0)->set_weight(65535);
  vip.mutable_members(1)->set_masked(true);
  vip.mutable_timers()->set_udp_weak(5);
  vip.mutable_timers()->set_tcp_established(16383);
  part.mutable_upsert_vips(1)->mutable_members(0)->set_draining(true);
  v1::Overlay& vxlan = *part.mutable_upsert_backends(0)->mutable_overlay();
  vxlan.set_kind(v1::OVERLAY_KIND_VXLAN);
  vxlan.set_remote(std::string("\x0a\x01\x00\x07", 4));
  vxlan.set_vni(1);
  vxlan.set_port(8472);
  vxlan.set_mac(std::string("\x02\x00\x00\x00\x00\x07", 6));
  v1::Overlay& ipip = *part.mutable_upsert_backends(1)->mutable_overlay();
  ipip.set_kind(v1::OVERLAY_KIND_IPIP);
  ipip.set_remote(std::string("\x0a\x01\x00\x08", 4));
  ASSERT_THAT(client->apply(7, 0, part).error(), IsEmpty());
  const v1::Report report = client->report(true);
  EXPECT_EQ(report.boot(), server->boot());
  EXPECT_EQ(report.generation(), 7u);
  v1::ApplyPart again;
  *again.mutable_upsert_addresses() = report.addresses();
  *again.mutable_upsert_backends() = report.backends();
  *again.mutable_upsert_vips() = report.vips();
  EXPECT_EQ(again.SerializeAsString(), part.SerializeAsString());
  EXPECT_EQ(client->report(false).vips_size(), 0);
}

TEST_F(ReportTest, GivesBackWhatVipsAddToTheirPackets) {
  v1::ApplyPart part = web();
  v1::Vip& tcp = *part.mutable_upsert_vips(0);
  tcp.set_proxy_protocol(true);
  v1::Vip& udp = *part.mutable_upsert_vips(1);
  udp.mutable_key()->set_protocol(v1::PROTOCOL_UDP);
  udp.set_id(tcp.id() + 1);
  udp.set_quic(true);
  ASSERT_THAT(client->apply(7, 0, part).error(), IsEmpty());
  const v1::Report report = client->report(true);
  ASSERT_EQ(report.vips_size(), 2);
  for (const v1::Vip& vip : report.vips()) {
    EXPECT_EQ(vip.proxy_protocol(), vip.key().protocol() == v1::PROTOCOL_TCP);
    EXPECT_EQ(vip.quic(), vip.key().protocol() == v1::PROTOCOL_UDP);
  }
}

TEST_F(ReportTest, ManyObjectsComeInSeveralRepliesAndComplete) {
  v1::ApplyPart part;
  for (std::uint32_t id = 1; id <= 4000; ++id) {
    *part.add_upsert_backends() = backend_message(
        id, "10.0." + std::to_string(id / 250) + "." + std::to_string(id % 250 + 1));
  }
  EXPECT_THAT(client->begin(1, 0).error(), IsEmpty());
  EXPECT_THAT(client->part(part).error(), IsEmpty());
  v1::ApplyPart vips;
  for (std::uint32_t i = 0; i < 4000; ++i) {
    const std::string address =
        "198.18." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    *vips.add_upsert_addresses() = served(address);
    v1::Vip vip = vip_message(address, 80, i + 1, {});
    vip.set_service("manual/default/" + std::string(100, 'a' + i % 26));
    *vips.add_upsert_vips() = vip;
  }
  EXPECT_THAT(client->part(vips).error(), IsEmpty());
  EXPECT_THAT(client->commit().error(), IsEmpty());

  v1::Request request;
  request.mutable_report()->set_full(true);
  const std::vector<v1::Reply> replies = client->ask_all(request);
  EXPECT_GT(replies.size(), 1u);
  v1::Report all;
  for (const v1::Reply& reply : replies) {
    EXPECT_LE(reply.ByteSizeLong(), 1u << 20);
    all.MergeFrom(reply.report());
  }
  ASSERT_EQ(all.vips_size(), 4000);
  EXPECT_EQ(all.backends_size(), 4000);
  EXPECT_EQ(all.addresses_size(), 4000);
  std::map<std::string, std::string> sent;
  for (const v1::Vip& vip : vips.upsert_vips())
    sent[vip.key().SerializeAsString()] = vip.SerializeAsString();
  for (const v1::Vip& vip : all.vips())
    EXPECT_EQ(sent[vip.key().SerializeAsString()], vip.SerializeAsString());

  std::size_t statistics_replies = 0;
  const v1::Statistics counted = statistics(true, true, true, &statistics_replies);
  EXPECT_GT(statistics_replies, 1u);
  EXPECT_EQ(counted.vips_size(), 4000);
  EXPECT_EQ(counted.backends_size(), 4000);
  EXPECT_EQ(counted.workers_size(), 2) << "once, not in every reply";
}

TEST_F(ReportTest, CountersAreSummedOverWorkers) {
  ASSERT_THAT(client->apply(1, 0, web()).error(), IsEmpty());
  const std::uint32_t index = host->published()->find_vip(1, Be16::from_host(80))->counter;
  for (unsigned worker = 0; worker < 2; ++worker) {
    WorkerCounters& counters = host->worker_counters(worker);
    counters.vips[index].packets_in.add(10 + worker);
    counters.vips[index].no_backend.add(1);
    counters.backends[2].bytes_out.add(1000);
    counters.drops[1].add(3);
    counters.received.add(50 + worker);
  }
  const v1::Statistics all = statistics(true, true, true);
  ASSERT_EQ(all.vips_size(), 2);
  EXPECT_EQ(all.vips(0).packets_in(), 21u);
  EXPECT_EQ(all.vips(0).no_backend(), 2u);
  EXPECT_EQ(all.vips(0).service(), "manual/default/web");
  EXPECT_EQ(all.vips(1).packets_in(), 0u);
  ASSERT_EQ(all.backends_size(), 3);
  EXPECT_EQ(all.backends(1).id(), 2u);
  EXPECT_EQ(all.backends(1).bytes_out(), 2000u);
  EXPECT_EQ(all.backends(1).target(), "default/pod-2");
  ASSERT_EQ(all.workers_size(), 2);
  EXPECT_EQ(all.workers(1).worker(), 1u);
  EXPECT_EQ(all.workers(1).lcore(), 2u);
  EXPECT_EQ(all.workers(1).received(), 51u);
  // Every reason but "none", and what the host counts.
  ASSERT_EQ(all.drops_size(), static_cast<int>(DropReason::count));
  EXPECT_EQ(all.drops(0).reason(), name(static_cast<DropReason>(1)));
  EXPECT_EQ(all.drops(0).packets(), 6u);
  EXPECT_FALSE(all.drops(0).help().empty());
  EXPECT_EQ(all.drops(all.drops_size() - 1).reason(), "slow-path-full");
  EXPECT_EQ(all.drops(all.drops_size() - 1).packets(), 7u);
  const v1::Statistics drops = statistics(false, false, false);
  EXPECT_EQ(drops.drops_size(), all.drops_size());
  EXPECT_EQ(drops.vips_size() + drops.backends_size() + drops.workers_size(), 0);
}

TEST_F(ReportTest, SweptGenerationFollowsTheWorkers) {
  ASSERT_THAT(client->apply(3, 0, web()).error(), IsEmpty());
  EXPECT_EQ(client->report().swept_generation(), 0u);
  EXPECT_TRUE(eventually([&] {
    host->complete_round(0);
    host->complete_round(1);
    return client->report().swept_generation() == 3;
  }));
}

TEST_F(ReportTest, RetiredIdsAreToldUntilTheyAreSwept) {
  ASSERT_THAT(client->apply(3, 0, web()).error(), IsEmpty());
  EXPECT_EQ(client->report(true).unswept_size(), 0);
  v1::ApplyPart delta;
  *delta.add_delete_vips() = key_message("2001:db8::1", 80);
  delta.add_delete_backends(3);
  ASSERT_THAT(client->apply(4, 3, delta).error(), IsEmpty());
  const v1::Report report = client->report(true);
  ASSERT_EQ(report.unswept_size(), 2);
  EXPECT_FALSE(report.unswept(0).backend());
  EXPECT_EQ(report.unswept(0).id(), 2u);
  EXPECT_TRUE(report.unswept(1).backend());
  EXPECT_EQ(report.unswept(1).id(), 3u);
  EXPECT_EQ(report.unswept(1).generation(), 4u);
  EXPECT_EQ(client->report(false).unswept_size(), 0);
  EXPECT_TRUE(eventually([&] {
    host->complete_round(0);
    host->complete_round(1);
    return client->report(true).unswept_size() == 0;
  }));
}

}  // namespace
}  // namespace sluice
