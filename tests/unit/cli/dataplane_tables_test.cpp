#include "control/cli/dataplane_tables.h"

#include <gmock/gmock.h>

#include "control/cli/dataplane_commands.h"

namespace sluice {
namespace {

using testing::HasSubstr;

std::string bytes(const char* text) {
  return IpAddress::parse(text)->bytes();
}

v1::VipKey key(const char* address, unsigned port, v1::Protocol protocol = v1::PROTOCOL_TCP) {
  v1::VipKey k;
  k.set_address(bytes(address));
  k.set_port(port);
  k.set_protocol(protocol);
  return k;
}

v1::Report two_vips() {
  v1::Report report;
  auto* six = report.add_vips();
  *six->mutable_key() = key("2001:db8::1", 443, v1::PROTOCOL_UDP);
  six->set_service("manual/shop/web");
  six->set_mode(v1::FORWARDING_MODE_DSR_MAC);
  auto* four = report.add_vips();
  *four->mutable_key() = key("192.0.2.1", 80);
  four->set_service("manual/default/web");
  four->set_mode(v1::FORWARDING_MODE_NAT);
  four->add_members()->set_backend(1);
  four->add_members()->set_backend(2);
  four->mutable_members(1)->set_draining(true);
  auto* backend = report.add_backends();
  backend->set_id(1);
  backend->set_address(bytes("10.0.2.11"));
  backend->set_port(8080);
  backend->set_target("default/web-1");
  return report;
}

TEST(VipTable, OrdersByFamilyAndAddressAndCounts) {
  v1::Statistics statistics;
  auto* counters = statistics.add_vips();
  *counters->mutable_key() = key("192.0.2.1", 80);
  counters->set_new_flows(300);
  EXPECT_EQ(vip_table(two_vips(), statistics, "", false).text(),
            "ADDRESS       PORT   PROTOCOL   SERVICE              MODE      BACKENDS         "
            "CONNECTIONS\n"
            "192.0.2.1     80     TCP        manual/default/web   nat       1 (1 draining)   300\n"
            "2001:db8::1   443    UDP        manual/shop/web      dsr-mac   0                0\n");
  EXPECT_EQ(vip_table(two_vips(), statistics, "shop", false).size(), 1u);
}

TEST(BackendTable, NamesTheServicesThatUseIt) {
  v1::Statistics statistics;
  auto* counters = statistics.add_backends();
  counters->set_id(1);
  counters->set_new_flows(7);
  EXPECT_EQ(backend_table(two_vips(), statistics, false).text(),
            "BACKEND          TARGET          SERVICES             CONNECTIONS\n"
            "10.0.2.11:8080   default/web-1   manual/default/web   7\n");
}

TEST(WorkerTable, SharesAndImbalance) {
  v1::Statistics statistics;
  for (const std::uint64_t received : {60'000u, 20'000u, 20'000u}) {
    auto* worker = statistics.add_workers();
    worker->set_worker(static_cast<std::uint32_t>(statistics.workers_size() - 1));
    worker->set_received(received);
  }
  const std::string text = worker_table(statistics).text();
  EXPECT_THAT(text, HasSubstr("RECEIVED   SHARE"));
  EXPECT_THAT(text, HasSubstr("60000      60%"));
  EXPECT_THAT(imbalance_text(statistics),
              HasSubstr("worker 0 received 60000 packets and worker 1 20000"));
  statistics.mutable_workers(0)->set_received(40'000);
  EXPECT_EQ(imbalance_text(statistics), "") << "twice is not more than twice";
  statistics.mutable_workers(1)->set_received(0);
  EXPECT_NE(imbalance_text(statistics), "");
  for (auto& worker : *statistics.mutable_workers()) worker.set_received(worker.received() / 5);
  EXPECT_EQ(imbalance_text(statistics), "") << "too few to say";
}

TEST(DropTable, ZerosOnlyOnRequest) {
  v1::Statistics statistics;
  auto* seen = statistics.add_drops();
  seen->set_reason("no-route");
  seen->set_packets(3);
  seen->set_help("the kernel has no route");
  statistics.add_drops()->set_reason("ipv4-checksum");
  EXPECT_EQ(drop_table(statistics, false).text(),
            "COUNTER    PACKETS   MEANING\n"
            "no-route   3         the kernel has no route\n");
  EXPECT_EQ(drop_table(statistics, true).size(), 2u);
}

TEST(GatewayTable, TheGoneAreStillListed) {
  std::vector<store::Gateway> gateways(2);
  gateways[0].name = "edge-1";
  gateways[0].alive = true;
  gateways[0].presence.set_dataplane_connected(true);
  gateways[0].presence.set_leading(true);
  gateways[0].presence.set_vips(4);
  gateways[0].presence.set_generation(9);
  gateways[0].presence.set_started_unix_ms(1'000'000);
  gateways[1].name = "edge-2";
  const std::chrono::system_clock::time_point now(std::chrono::milliseconds(1'060'000));
  EXPECT_EQ(gateway_table(gateways, false, now).text(),
            "NAME     STATUS   ROLE     DATAPLANE   VIPS        GENERATION   AGE\n"
            "edge-1   Ready    leader   connected   4           9            60s\n"
            "edge-2   Gone     <none>   <unknown>   <unknown>   <unknown>    <unknown>\n");
}

TEST(TraceText, StepsThenTheVerdict) {
  v1::Trace trace;
  auto* step = trace.add_steps();
  step->set_stage("vip");
  step->set_text("192.0.2.1:80/TCP is a VIP of manual/default/web");
  trace.set_verdict("transmit");
  trace.set_service("manual/default/web");
  trace.set_mode(v1::FORWARDING_MODE_NAT);
  trace.set_backend(bytes("10.0.2.11"));
  trace.set_backend_port(8080);
  trace.set_egress_port("p1");
  trace.set_next_hop(bytes("10.0.2.11"));
  trace.set_next_hop_mac(std::string("\x02\x00\x00\x00\x00\x0a", 6));
  EXPECT_EQ(trace_text(trace),
            "STAGE   RESULT\n"
            "vip     192.0.2.1:80/TCP is a VIP of manual/default/web\n"
            "\n"
            "verdict: transmit\n"
            "service: manual/default/web, mode nat\n"
            "backend: 10.0.2.11:8080 (a new flow)\n"
            "leaves by: p1 to 10.0.2.11 (02:00:00:00:00:0a)\n"
            "worker: 0\n");
}

TEST(ParseAddressPort, BothFamilies) {
  EXPECT_EQ(parse_address_port("192.0.2.1:80")->port, 80u);
  EXPECT_EQ(parse_address_port("192.0.2.1")->port, 0u);
  EXPECT_EQ(parse_address_port("[2001:db8::1]:443")->port, 443u);
  EXPECT_EQ(parse_address_port("[2001:db8::1]:443")->address.text(), "2001:db8::1");
  EXPECT_EQ(parse_address_port("2001:db8::1")->port, 0u);
  for (const char* text : {"", "x", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:70000", "192.0.2.1:8x",
                           "[192.0.2.1]:80", "[2001:db8::1]", ":80", "192.0.2:80"})
    EXPECT_FALSE(parse_address_port(text)) << text;
}

TEST(ParseTcpFlags, ByName) {
  EXPECT_EQ(*parse_tcp_flags(""), 0u);
  EXPECT_EQ(*parse_tcp_flags("syn"), 0x02u);
  EXPECT_EQ(*parse_tcp_flags("syn,ack"), 0x12u);
  EXPECT_EQ(*parse_tcp_flags("cwr"), 0x80u);
  EXPECT_FALSE(parse_tcp_flags("sin"));
  EXPECT_FALSE(parse_tcp_flags("syn,,ack"));
}

}  // namespace
}  // namespace sluice
