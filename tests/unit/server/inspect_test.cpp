// Flows, trace and ports over the socket, with real pipelines behind.
#include "tests/unit/server/fake_host.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class InspectTest : public ServerTest {
 protected:
  void SetUp() override {
    host->make_pipelines();
    start();
    client = std::make_unique<Client>(path);
    client->hello();
    ASSERT_THAT(client->apply(1, 0, web()).error(), IsEmpty());
  }
  static v1::Request trace(const std::string& from, const std::string& to, std::uint32_t port) {
    v1::Request request;
    v1::TraceRequest& trace = *request.mutable_trace();
    trace.set_source(IpAddress::parse(from)->bytes());
    trace.set_source_port(40000);
    trace.set_destination(IpAddress::parse(to)->bytes());
    trace.set_destination_port(port);
    trace.set_protocol(v1::PROTOCOL_TCP);
    return request;
  }
  std::unique_ptr<Client> client;
};

TEST_F(InspectTest, PortsAreTheHosts) {
  v1::Request request;
  request.mutable_ports();
  const v1::Reply reply = client->ask(request);
  ASSERT_EQ(reply.ports().ports_size(), 2);
  EXPECT_EQ(reply.ports().ports(1).name(), "lan");
}

TEST_F(InspectTest, TraceTellsVipAndWhy) {
  const v1::Trace known = client->ask(trace("198.51.100.1", "192.0.2.1", 80)).trace();
  EXPECT_GT(known.steps_size(), 0);
  EXPECT_EQ(known.vip().port(), 80u);
  EXPECT_EQ(known.service(), "manual/default/web");
  EXPECT_FALSE(known.flow_exists());
  const v1::Trace unserved = client->ask(trace("2001:db8:1::1", "2001:db8::1", 81)).trace();
  EXPECT_FALSE(unserved.has_vip());
  EXPECT_EQ(unserved.drop_reason(), "unserved-port");
}

TEST_F(InspectTest, TraceOfAnImpossiblePacketIsRefused) {
  EXPECT_THAT(client->ask(trace("2001:db8::9", "192.0.2.1", 80)).error(),
              HasSubstr("not of one address family"));
  EXPECT_THAT(client->ask(trace("198.51.100.1", "192.0.2.1", 70000)).error(),
              HasSubstr("beyond 65535"));
  v1::Request port = trace("198.51.100.1", "192.0.2.1", 80);
  port.mutable_trace()->set_port("moon");
  EXPECT_THAT(client->ask(port).error(), HasSubstr("no port is named moon"));
  v1::Request nothing;
  nothing.mutable_trace();
  EXPECT_THAT(client->ask(nothing).error(), HasSubstr("4 or 16 bytes"));
}

TEST_F(InspectTest, FlowsOfIdlePipelinesAreNone) {
  v1::Request request;
  request.mutable_flows();
  const v1::Reply reply = client->ask(request);
  EXPECT_THAT(reply.error(), IsEmpty());
  EXPECT_EQ(reply.flows().flows_size(), 0);
  EXPECT_FALSE(reply.flows().truncated());
  request.mutable_flows()->set_client("abc");
  EXPECT_THAT(client->ask(request).error(), HasSubstr("4 or 16 bytes"));
}

}  // namespace
}  // namespace sluice
