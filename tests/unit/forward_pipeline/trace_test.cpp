// Trace says what the pipeline then does; flows show what it tracks.
#include "dataplane/forward/trace.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "gateway.h"

namespace sluice {
namespace {

using namespace test;

template <typename Family>
class Trace : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(Trace, Families);

TraceResult trace_of(const Gateway& gateway, const Packet& p) {
  std::vector<const Pipeline*> workers;
  for (const auto& pipeline : gateway.pipelines) workers.push_back(pipeline.get());
  TraceInput input;
  input.source = ip(p.source);
  input.destination = ip(p.destination);
  input.source_port = static_cast<std::uint16_t>(p.source_port);
  input.destination_port = static_cast<std::uint16_t>(p.destination_port);
  input.protocol = p.protocol;
  input.tcp_flags = p.flags;
  return trace(input, *gateway.state, gateway.routing, workers);
}

std::string backend_text(const BackendRecord& backend) {
  return IpAddress::from_bytes(
             {reinterpret_cast<const char*>(backend.address), backend.address_bytes})
      ->text();
}

TYPED_TEST(Trace, FindsTheBackendAndWorkerThePacketThenGets) {
  Gateway gateway(2);
  gateway.serve<TypeParam>(5);
  gateway.change([](StateBuilder& builder) { builder.set_maglev_seed(0x0123456789abcdefu); });
  for (unsigned n = 0; n < 300; ++n) {
    const Packet p = from_client<TypeParam>(n, kTcpSyn, n % 2 == 0 ? kProtocolTcp : kProtocolUdp);
    const TraceResult before = trace_of(gateway, p);
    ASSERT_EQ(before.verdict, "transmit");
    ASSERT_FALSE(before.flow_exists);
    const Outcome first = gateway.process(0, build(p));
    ASSERT_EQ(before.worker, first.verdict == Verdict::hand_over ? first.out_worker : 0);
    const Outcome out = first.verdict == Verdict::hand_over
                            ? gateway.process(first.out_worker, build(p), 0, true)
                            : first;
    ASSERT_EQ(out.decoded().destination, backend_text(*before.backend));
    ASSERT_EQ(out.next_hop, before.next_hop_index);
    const TraceResult after = trace_of(gateway, p);
    ASSERT_TRUE(after.flow_exists);
    ASSERT_EQ(after.backend->id, before.backend->id);
    ASSERT_EQ(after.worker, before.worker);
  }
}

TYPED_TEST(Trace, VerdictsAndReasonsAreThePipelines) {
  using N = Net<TypeParam>;
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  const auto agree = [&](const Packet& p, const char* verdict, std::uint16_t port = 0) {
    const TraceResult traced = trace_of(gateway, p);
    EXPECT_EQ(traced.verdict, verdict);
    EXPECT_FALSE(traced.steps.empty());
    const Outcome out = gateway.process(0, build(p), port, false, 64);
    EXPECT_EQ(traced.reason, out.reason) << name(traced.reason) << " " << name(out.reason);
    const bool rejected = out.verdict == Verdict::transmit && out.reason != DropReason::none;
    const std::string got = rejected                       ? "reject"
                            : out.verdict == Verdict::drop ? "drop"
                            : out.verdict == Verdict::punt ? "slow-path"
                                                           : "transmit";
    EXPECT_EQ(got, verdict);
  };
  Packet p = from_client<TypeParam>(1);
  agree(p, "transmit");
  p.destination_port = 4444;
  agree(p, "reject");
  p.flags = kTcpRst;
  agree(p, "drop");
  agree(from_client<TypeParam>(2, kTcpAck), "reject");
  p = from_client<TypeParam>(1);
  p.destination = N::client(88);
  agree(p, "slow-path");
  p.source = N::vip();
  agree(p, "drop");
  p = from_client<TypeParam>(1);
  p.source = N::backend(1);
  p.destination = N::source();
  p.destination_port = 30000;
  agree(p, "drop");
  for (unsigned id = 1; id <= 3; ++id) gateway.routing.set_backend_next_hop(id, kNoNextHop);
  agree(from_client<TypeParam>(5), "drop");
  gateway.serve<TypeParam>(0);
  agree(from_client<TypeParam>(6), "reject");
}

std::string text_of(const TraceResult& result, const char* stage) {
  std::string all;
  for (const TraceStep& step : result.steps)
    if (step.stage == stage) all += step.text + "\n";
  return all;
}

TYPED_TEST(Trace, SaysWhatIsTooLong) {
  const bool v4 = TypeParam::kAddressBytes == 4;
  for (const Mode mode : {Mode::nat, Mode::ipip, Mode::gue}) {
    Gateway gateway;
    gateway.headroom = 128;
    gateway.serve<TypeParam>(1, mode);
    gateway.routing.set_port_mtu(1, 1450);
    const unsigned added = mode == Mode::nat ? 0 : (v4 ? 20 : 40) + (mode == Mode::gue ? 12 : 0);
    const auto longest = [&](unsigned mtu) {
      return "packets of up to " + std::to_string(mtu - added) + " bytes get through";
    };
    Packet p = from_client<TypeParam>(1, kTcpSyn, kProtocolUdp);
    EXPECT_NE(text_of(trace_of(gateway, p), "mtu").find(longest(1450)), std::string::npos);
    // The pipeline's own opinion: a byte more does not fit.
    p.payload = 1450 - added - (v4 ? 28 : 48);
    EXPECT_EQ(gateway.deliver(build(p)).verdict, Verdict::transmit);
    ++p.payload;
    const Outcome longer = gateway.deliver(build(p));
    EXPECT_EQ(longer.verdict == Verdict::split, v4);
    EXPECT_EQ(longer.reason, v4 ? DropReason::none : DropReason::too_big);
    for (unsigned id = 0; id < 64; ++id) gateway.routing.set_backend_path_mtu(id, 1400);
    EXPECT_NE(text_of(trace_of(gateway, p), "mtu").find(longest(1400) + ", as a router"),
              std::string::npos);
  }
}

TEST(TraceWords, OfSctpQuicAndNat64) {
  Gateway gateway;
  gateway.serve<Ipv6>(1);
  Packet p = from_client<Ipv6>(1, kTcpSyn, kProtocolSctp);
  EXPECT_EQ(trace_of(gateway, p).verdict, "drop");  // The pipeline answers no SCTP.
  gateway.change([](StateBuilder& builder) {
    builder.upsert(BackendSpec{40, ip("10.0.0.7"), 8080, {"10.0.0.7:8080", "default/pod"}});
    builder.upsert(BackendSpec{41, ip("fd00::7"), 8080, {"[fd00::7]:8080", "default/pod"}});
    for (const std::uint8_t protocol : {kProtocolUdp, kProtocolSctp}) {
      VipSpec spec;
      spec.key = {ip(Net<Ipv6>::vip()), protocol, 443};
      spec.id = protocol == kProtocolUdp ? 2 : 3;
      spec.service = "manual/default/web";
      spec.quic = protocol == kProtocolUdp;
      spec.maglev_size = 1009;
      spec.members = {{protocol == kProtocolUdp ? 40u : 41u, 1, false, false}};
      builder.upsert(spec);
    }
  });
  p.destination_port = 443;
  EXPECT_NE(text_of(trace_of(gateway, p), "mode").find("CRC32c"), std::string::npos);
  p.protocol = kProtocolUdp;
  const TraceResult across = trace_of(gateway, p);
  EXPECT_NE(text_of(across, "mode").find("NAT64"), std::string::npos);
  EXPECT_NE(text_of(across, "mtu").find("up to 1520 bytes"), std::string::npos);
  EXPECT_NE(text_of(across, "backend").find("QUIC"), std::string::npos);
}

// Before and after its flow exists, trace names the mode, and sends the packet where the pipeline
// does.
TYPED_TEST(Trace, NamesTheMode) {
  for (const Mode mode : {Mode::nat, Mode::dnat, Mode::dsr_mac, Mode::ipip, Mode::gue}) {
    Gateway gateway(2);
    gateway.headroom = 64;
    gateway.serve<TypeParam>(3, mode);
    for (unsigned n = 0; n < 20; ++n) {
      const Packet p = from_client<TypeParam>(n);
      const TraceResult before = trace_of(gateway, p);
      EXPECT_EQ(before.verdict, "transmit") << name(mode);
      EXPECT_EQ(before.mode, mode);
      const auto step = std::find_if(before.steps.begin(), before.steps.end(),
                                     [](const TraceStep& s) { return s.stage == "mode"; });
      ASSERT_NE(step, before.steps.end());
      EXPECT_TRUE(step->text.starts_with(name(mode))) << step->text;
      const Outcome out = gateway.deliver(build(p));
      EXPECT_EQ(out.verdict, Verdict::transmit);
      const TraceResult after = trace_of(gateway, p);
      EXPECT_TRUE(after.flow_exists);
      EXPECT_EQ(after.mode, mode) << name(mode);
      EXPECT_EQ(after.backend->id, before.backend->id);
      if (translates(mode)) {
        EXPECT_EQ(after.worker, before.worker) << name(mode);
      }
    }
    gateway.routing.set_tunnel_sources(nullptr);
    const TraceResult without = trace_of(gateway, from_client<TypeParam>(50));
    EXPECT_EQ(without.reason, encapsulates(mode) ? DropReason::tunnel_no_source : DropReason::none);
  }
}

TYPED_TEST(Trace, ShowsTheOverlay) {
  Gateway gateway;
  gateway.serve<TypeParam>(1);
  gateway.change([](StateBuilder& builder) {
    const IpAddress address = ip(Net<TypeParam>::backend(1));
    BackendSpec spec{1, address, 8080, {address_port_text(address, 8080), "default/pod"}};
    spec.overlay.kind = OverlayKind::vxlan;
    spec.overlay.remote_bytes = 4;
    std::memcpy(spec.overlay.remote, ip("10.9.0.1").data(), 4);
    spec.overlay.port = Be16::from_host(8472);
    spec.overlay.vni = 7;
    builder.upsert(spec);
  });
  const TraceResult traced = trace_of(gateway, from_client<TypeParam>(1));
  EXPECT_EQ(traced.verdict, "transmit");
  EXPECT_TRUE(std::any_of(traced.steps.begin(), traced.steps.end(), [](const TraceStep& s) {
    return s.stage == "overlay" && s.text == "vxlan to the node 10.9.0.1, UDP port 8472, VNI 7";
  }));
}

TYPED_TEST(Trace, FlowsShowBothModes) {
  Gateway gateway;
  gateway.serve<TypeParam>(3);
  std::map<unsigned, Decoded> sent;
  for (unsigned n = 0; n < 50; ++n)
    sent[n] = gateway.process(0, build(from_client<TypeParam>(n))).decoded();
  gateway.now += 20;
  std::map<unsigned, FlowView> shown;
  const auto collect = [&](const FlowView& flow) {
    shown[flow.client_port - 1024u] = flow;
    return true;
  };
  for_each_flow(*gateway.pipelines[0], *gateway.state, gateway.now, collect);
  ASSERT_EQ(shown.size(), 50u);
  for (const auto& [n, flow] : shown) {
    EXPECT_TRUE(flow.nat);
    EXPECT_EQ(flow.protocol, kProtocolTcp);
    EXPECT_EQ(flow.client.text(), Net<TypeParam>::client(n));
    EXPECT_EQ(flow.vip.text(), Net<TypeParam>::vip());
    EXPECT_EQ(flow.vip_port, 80);
    EXPECT_EQ(flow.backend.text(), sent[n].destination);
    EXPECT_EQ(flow.backend_port, 8080);
    EXPECT_EQ(flow.nat_source.text(), sent[n].source);
    EXPECT_EQ(flow.nat_port, sent[n].source_port);
    EXPECT_STREQ(name(flow.state), "handshake");
    EXPECT_EQ(flow.idle_seconds, 10u);
  }
  unsigned count = 0;
  for_each_flow(*gateway.pipelines[0], *gateway.state, gateway.now,
                [&](const FlowView&) { return ++count < 7; });
  EXPECT_EQ(count, 7u);

  Gateway direct;
  direct.serve<TypeParam>(3, Mode::dsr_mac);
  direct.process(0, build(from_client<TypeParam>(1)));
  for_each_flow(*direct.pipelines[0], *direct.state, direct.now, [&](const FlowView& flow) {
    EXPECT_FALSE(flow.nat);
    EXPECT_EQ(flow.nat_source.size(), 0u);
    EXPECT_EQ(flow.backend_port, 80);
    return true;
  });
}

TEST(TraceInputs, OfTwoFamiliesAreRefused) {
  Gateway gateway;
  gateway.serve<Ipv4>(1);
  Packet p = from_client<Ipv4>(1);
  p.source = "2001:db8::1";
  EXPECT_EQ(trace_of(gateway, p).verdict, "drop");
}

}  // namespace
}  // namespace sluice
