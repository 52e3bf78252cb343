// Short ways to write forwarding states in tests.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "dataplane/forward/state_builder.h"

namespace sluice {

inline IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

// A backend named by its address and port, as control does.
inline BackendSpec backend(std::uint32_t id, const std::string& address,
                           std::uint16_t port = 8080) {
  return {id,
          ip(address),
          port,
          {address_port_text(ip(address), port), "default/pod-" + std::to_string(id)}};
}

inline VipSpec vip(const std::string& address, std::uint16_t port, std::uint32_t id,
                   std::vector<VipBlock::Member> members, std::uint32_t size = 1009) {
  VipSpec spec;
  spec.key = {ip(address), kProtocolTcp, port};
  spec.id = id;
  spec.service = "manual/default/web";
  spec.maglev_size = size;
  spec.members = std::move(members);
  return spec;
}

class StateTest : public testing::Test {
 protected:
  using Builder = StateBuilder;

  Builder change(Builder::Scope scope = Builder::Scope::delta) { return {state, limits, scope}; }
  // Builds, expects success, and makes the result the base of the next change().
  Builder::Built take(Builder& builder) {
    const std::uint64_t generation = (state == nullptr ? 0 : state->generation()) + 1;
    Result<Builder::Built> built = builder.build(generation, counters);
    EXPECT_TRUE(built.ok()) << (built.ok() ? "" : built.error());
    if (!built) return {};
    state = built->state;
    return *built;
  }
  // The sentence a change is refused with.
  std::string refusal(Builder& builder) {
    Result<Builder::Built> built =
        builder.build(state == nullptr ? 1 : state->generation() + 1, counters);
    return built.ok() ? "" : built.error();
  }
  // 192.0.2.1:80 over three IPv4 backends, and 2001:db8::1:80 over one of IPv6.
  void serve_web() {
    Builder builder = change();
    builder.upsert(AddressSpec{ip("192.0.2.1")});
    builder.upsert(AddressSpec{ip("2001:db8::1"), Unserved::drop});
    builder.upsert(backend(1, "10.0.0.1"));
    builder.upsert(backend(2, "10.0.0.2"));
    builder.upsert(backend(3, "10.0.0.3"));
    builder.upsert(backend(4, "fd00::4"));
    builder.upsert(vip("192.0.2.1", 80, 1, {{1, 1}, {2, 1}, {3, 1}}));
    builder.upsert(vip("2001:db8::1", 80, 2, {{4, 1}}));
    take(builder);
  }
  const VipBlock* find(const std::string& address, std::uint16_t port) const {
    return state->find_vip(ip(address), kProtocolTcp, Be16::from_host(port));
  }

  StateLimits limits{.vips = 20000, .backends = 1000, .vip_ids = 20000};
  CounterIndexes counters{20000};
  std::shared_ptr<const ForwardingState> state;
};

}  // namespace sluice
