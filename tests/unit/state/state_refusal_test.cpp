// Each refusal of StateBuilder: it names the object, and the base stays as it was.
#include "tests/unit/state/state_fixture.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class RefusalTest : public StateTest {
 protected:
  void SetUp() override {
    serve_web();
    before_ = state;
  }
  // Expects that `vip` is refused with words that name it and say `why`.
  void refuse(const VipSpec& spec, const std::string& why) {
    Builder builder = change();
    builder.upsert(spec);
    EXPECT_THAT(refusal(builder), AllOf(HasSubstr(spec.key.text()), HasSubstr(why)));
    expect_unchanged();
  }
  void refuse(const BackendSpec& spec, const std::string& why) {
    Builder builder = change();
    builder.upsert(spec);
    EXPECT_THAT(refusal(builder),
                AllOf(HasSubstr("backend " + std::to_string(spec.id)), HasSubstr(why)));
    expect_unchanged();
  }
  void expect_unchanged() {
    EXPECT_EQ(state, before_);
    EXPECT_EQ(state->vip_count(), 2u);
    EXPECT_EQ(state->backend_count(), 4u);
    EXPECT_EQ(state->backend(1)->address[3], 1);
    EXPECT_EQ(state->identity(1)->vips, 1u);
    EXPECT_EQ(find("192.0.2.1", 80)->members.size(), 3u);
  }
  std::shared_ptr<const ForwardingState> before_;
};

TEST_F(RefusalTest, GenerationMustGrow) {
  Builder builder = change();
  Result<Builder::Built> built = builder.build(1, counters);
  ASSERT_FALSE(built.ok());
  EXPECT_THAT(built.error(), HasSubstr("not greater than 1"));
}

TEST_F(RefusalTest, Vips) {
  refuse(vip("192.0.2.1", 0, 1, {}), "port 0");
  refuse(vip("192.0.2.9", 80, 9, {}), "not among the addresses served");
  refuse(vip("192.0.2.1", 81, limits.vip_ids, {}), "out of range");
  refuse(vip("192.0.2.1", 81, 3, {{1, 1}}), "differs from 1");
  refuse(vip("192.0.2.1", 81, 2, {{1, 1}}), "stands for 2001:db8::1/TCP");
  VipSpec icmp = vip("192.0.2.1", 80, 5, {});
  icmp.key.protocol = kProtocolIcmp;
  refuse(icmp, "unknown protocol");
  VipSpec timer = vip("192.0.2.1", 80, 1, {{1, 1}});
  timer.timers.udp = 0;
  refuse(timer, "timer");
  timer.timers.udp = kMaxTimer + 1;
  refuse(timer, "timer");
}

TEST_F(RefusalTest, MaglevSizes) {
  refuse(vip("192.0.2.1", 80, 1, {{1, 1}}, 1000), "not a prime");
  refuse(vip("192.0.2.1", 80, 1, {{1, 1}}, 0), "too small for 1");
  refuse(vip("192.0.2.1", 80, 1, {{1, 1}, {2, 1}, {3, 1}}, 2), "too small for 3");
  refuse(vip("192.0.2.1", 80, 1, {{1, 1}}, 16777259), "above the limit");
  limits.slots = 1500;
  refuse(vip("192.0.2.1", 81, 1, {{1, 1}}, 1009), "more than 1500 slots");
}

TEST_F(RefusalTest, Members) {
  refuse(vip("192.0.2.1", 80, 1, {{77, 1}}), "member backend 77 is unknown");
  refuse(vip("192.0.2.1", 80, 1, {{4, 1}}), "other address family");
  VipSpec crossing = vip("2001:db8::1", 80, 2, {{1, 1}});
  crossing.mode = Mode::dnat;
  refuse(crossing, "other address family");
  crossing.mode = Mode::nat;  // NAT64.
  crossing.proxy_protocol = true;
  refuse(crossing, "other address family");
  refuse(vip("192.0.2.1", 80, 1, {{1, 0}}), "weight 0");
  refuse(vip("192.0.2.1", 80, 1, {{1, 65536}}), "weight 65536");
  refuse(vip("192.0.2.1", 80, 1, {{1, 1}, {1, 1}}), "may stand once");
  refuse(vip("192.0.2.1", 80, 1, {{2, 1}, {1, 1}}), "out of order");
  VipSpec dsr = vip("192.0.2.1", 80, 1, {{1, 1}});
  dsr.mode = Mode::dsr_mac;
  refuse(dsr, "needs equal ports");
  dsr.mode = Mode::gue;
  refuse(dsr, "needs equal ports");
  dsr.proxy_protocol = true;
  refuse(dsr, "PROXY protocol");
  VipSpec quic = vip("192.0.2.1", 80, 1, {{1, 1}});
  quic.quic = true;
  refuse(quic, "QUIC needs UDP");
  limits.members = 4;
  refuse(vip("192.0.2.1", 81, 1, {{1, 1}}), "more than 4 members");
}

TEST_F(RefusalTest, Backends) {
  refuse(backend(limits.backends, "10.0.0.9"), "dataplane.tables.backends");
  refuse(backend(9, "10.0.0.9", 0), "port 0");
  refuse(backend(9, "0.0.0.0"), "not a unicast address");
  refuse(backend(9, "ff02::1"), "not a unicast address");
  refuse(backend(1, "10.0.0.9"), "another id");
  refuse(backend(1, "10.0.0.1", 9090), "another id");
  BackendSpec unnamed = backend(9, "10.0.0.9");
  unnamed.info.name.clear();
  refuse(unnamed, "no name");
  unnamed.address = {};
  refuse(unnamed, "not a unicast address");
}

TEST_F(RefusalTest, RemovingWhatIsStillNamed) {
  Builder gone = change();
  gone.remove_backend(2);
  EXPECT_THAT(refusal(gone),
              AllOf(HasSubstr("backend 2 (10.0.0.2:8080)"), HasSubstr("VIP 192.0.2.1:80/TCP")));
  Builder address = change();
  address.remove_address(ip("192.0.2.1"));
  EXPECT_THAT(refusal(address), AllOf(HasSubstr("192.0.2.1"), HasSubstr("1 VIPs of TCP")));
  expect_unchanged();
}

TEST_F(RefusalTest, IdsDoNotChangeTheirMeaningInOneStep) {
  Builder move = change();
  move.remove_vip({ip("192.0.2.1"), kProtocolTcp, 80});
  move.upsert(AddressSpec{ip("192.0.2.2")});
  move.upsert(vip("192.0.2.2", 80, 1, {{1, 1}}));
  EXPECT_THAT(refusal(move), HasSubstr("id 1 stood for 192.0.2.1/TCP"));
  Builder whole = change(Builder::Scope::whole);
  whole.upsert(backend(1, "10.0.0.9"));
  EXPECT_THAT(refusal(whole), HasSubstr("it is 10.0.0.1:8080"));
  expect_unchanged();
}

TEST_F(RefusalTest, ServedAddresses) {
  for (const char* address : {"0.0.0.0", "224.0.0.1", "127.0.0.1", "::1"}) {
    Builder builder = change();
    builder.upsert(AddressSpec{ip(address)});
    EXPECT_THAT(refusal(builder), AllOf(HasSubstr(address), HasSubstr("not a unicast"))) << address;
  }
  limits.vips = 2;
  Builder more = change();
  more.upsert(AddressSpec{ip("192.0.2.2")});
  EXPECT_THAT(refusal(more), HasSubstr("more than 2 addresses"));
  expect_unchanged();
}

TEST_F(RefusalTest, TooManyVipsGiveTheirCountersBack) {
  limits.vips = 3;
  counters = CounterIndexes(4);
  for (int i = 0; i < 5; ++i) {  // Each refused build takes one counter and must give it back.
    Builder builder = change();
    builder.upsert(vip("192.0.2.1", 81, 1, {{1, 1}}));
    builder.upsert(vip("192.0.2.1", 82, 1, {{1, 1}}));
    EXPECT_THAT(refusal(builder), HasSubstr("dataplane.tables.vips"));
  }
  expect_unchanged();
}

TEST_F(RefusalTest, AllOrNothing) {
  Builder builder = change();
  builder.upsert(vip("192.0.2.1", 80, 1, {{1, 1}}));
  builder.upsert(vip("192.0.2.1", 81, 1, {{1, 1}}));
  builder.upsert(vip("192.0.2.1", 82, 1, {{77, 1}}));
  EXPECT_THAT(refusal(builder), HasSubstr("192.0.2.1:82/TCP"));
  expect_unchanged();
}

}  // namespace
}  // namespace sluice
