// NAT64 beside NAT: one backend, one NAT source, clients of both families.
#include <map>
#include <set>

#include "gateway.h"

namespace sluice {
namespace {

using namespace test;

void serve_both(Gateway& gateway) {
  gateway.change([&](StateBuilder& builder) {
    const IpAddress backend = ip(Net<Ipv4>::backend(1));
    builder.upsert(
        BackendSpec{1, backend, 8080, {address_port_text(backend, 8080), "default/pod"}});
    std::uint32_t id = 1;
    for (const std::string& vip : {Net<Ipv4>::vip(), Net<Ipv6>::vip()}) {
      builder.upsert(AddressSpec{ip(vip), Unserved::reject});
      VipSpec spec;
      spec.key = {ip(vip), kProtocolTcp, 80};
      spec.id = id++;
      spec.service = "manual/default/web";
      spec.mode = Mode::nat;
      spec.maglev_size = 1009;
      spec.members = {{1, 1, false, false}};
      builder.upsert(spec);
    }
  });
  gateway.headroom = 32;
}

// The backend sees one address: no two flows may share a port there, of whichever family.
TEST(Nat64Flow, FamiliesShareThePortsOfABackend) {
  Gateway gateway;
  serve_both(gateway);
  gateway.sources.first_port = 20000;
  gateway.sources.last_port = 20039;
  std::map<unsigned, unsigned> client_of;  // By NAT port.
  unsigned refused = 0;
  for (unsigned n = 0; n < 60; ++n) {
    const bool v6 = n % 3 != 0;
    const Packet p = v6 ? from_client<Ipv6>(n) : from_client<Ipv4>(n);
    const Outcome out = gateway.process(0, build(p));
    if (out.verdict != Verdict::transmit) {
      EXPECT_EQ(out.reason, DropReason::nat_ports_exhausted);
      ++refused;
      continue;
    }
    const Decoded d = out.decoded();
    EXPECT_EQ(d.source, Net<Ipv4>::source());
    EXPECT_EQ(d.destination, Net<Ipv4>::backend(1));
    EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
    EXPECT_TRUE(client_of.emplace(d.source_port, n).second) << "port " << d.source_port;
  }
  EXPECT_EQ(client_of.size(), 40u);
  EXPECT_EQ(refused, 20u);
  // And each answer finds its own client.
  for (const auto& [port, n] : client_of) {
    Packet answer;
    answer.source = Net<Ipv4>::backend(1);
    answer.source_port = 8080;
    answer.destination = Net<Ipv4>::source();
    answer.destination_port = port;
    answer.flags = kTcpSyn | kTcpAck;
    const Outcome out = gateway.process(0, build(answer), 1);
    ASSERT_EQ(out.verdict, Verdict::transmit) << name(out.reason);
    const Decoded d = out.decoded();
    EXPECT_EQ(d.destination, n % 3 != 0 ? Net<Ipv6>::client(n) : Net<Ipv4>::client(n));
    EXPECT_EQ(d.destination_port, 1024 + n);
    EXPECT_EQ(d.source, n % 3 != 0 ? Net<Ipv6>::vip() : Net<Ipv4>::vip());
    EXPECT_TRUE(d.ip_checksum_right && d.l4_checksum_right);
  }
}

TEST(Nat64Flow, AnswersNeedRoomForTheLongerHeader) {
  Gateway gateway;
  serve_both(gateway);
  const Outcome there = gateway.process(0, build(from_client<Ipv6>(1)));
  ASSERT_EQ(there.verdict, Verdict::transmit) << name(there.reason);
  gateway.headroom = 19;
  const Bytes answer = build(from_backend(there.decoded(), kTcpSyn | kTcpAck));
  EXPECT_EQ(gateway.process(0, answer, 1).reason, DropReason::tunnel_headroom);
  gateway.headroom = 20;
  EXPECT_EQ(gateway.process(0, answer, 1).verdict, Verdict::transmit);
}

}  // namespace
}  // namespace sluice
