// A gateway of plain memory: pipelines as workers, a forwarding state, routes and next hops set by
// hand. Port 0 leads to clients, port 1 to backends. Packets live on heap memory of their exact
// length.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../packet/packets.h"
#include "dataplane/forward/nat.h"
#include "dataplane/forward/pipeline.h"
#include "dataplane/forward/state_builder.h"
#include "dataplane/kernel/plain_fib.h"

namespace sluice::test {

inline IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}

// Addresses by role, so that one test serves both families.
template <typename Family>
struct Net {
  static constexpr bool kV4 = Family::kAddressBytes == 4;
  static std::string vip() { return kV4 ? "198.51.100.1" : "2001:db8:100::1"; }
  static std::string source() { return kV4 ? "10.0.0.254" : "fd00::fe"; }
  static std::string client(unsigned n) {
    return kV4 ? "192.0.2." + std::to_string(1 + n % 250)
               : "2001:db8:1::" + std::to_string(1 + n % 250);
  }
  static std::string backend(unsigned n) {
    return (kV4 ? "10.0.0." : "fd00::") + std::to_string(n);
  }
};

struct Outcome {
  Verdict verdict = Verdict::pending;
  DropReason reason = DropReason::none;
  std::uint16_t out_port = 0, out_worker = 0;
  NextHopIndex next_hop = 0;
  Bytes bytes;
  Decoded decoded() const { return decode(bytes); }
};

class Gateway {
 public:
  static constexpr NextHopIndex kToClients = 1, kToBackends = 2, kUnresolved = 3, kRouted = 4,
                                kBlackhole = 5, kLocal = 6;

  explicit Gateway(unsigned workers = 1, const std::function<void(PipelineConfig&)>& adjust = {}) {
    PipelineConfig config;
    config.workers = static_cast<std::uint16_t>(workers);
    config.flows_ipv4 = config.flows_ipv6 = 60000;
    config.nat_flows = 30000;
    config.backend_capacity = 64;
    config.secret[0] = 7;
    for (unsigned port = 0; port < 2; ++port) {
      std::vector<std::uint16_t> reta(128);
      for (unsigned i = 0; i < reta.size(); ++i)
        reta[i] = static_cast<std::uint16_t>((i / (1 + port)) % workers);
      config.steering.push_back(std::make_shared<Steering>(Toeplitz(default_rss_key()), reta));
    }
    if (adjust) adjust(config);
    for (unsigned w = 0; w < workers; ++w) {
      config.worker = static_cast<std::uint16_t>(w);
      counters.push_back(std::make_unique<WorkerCounters>(64, 64));
      pipelines.push_back(Pipeline::create(config, *counters.back()));
    }
    set_routes();
  }

  void set_routes() {
    const auto hop = [&](NextHopIndex index, NextHopState hop_state, std::uint16_t port,
                         std::uint8_t on_link) {
      NextHop h{};
      const auto n = static_cast<std::uint8_t>(index);
      const std::uint8_t to[6] = {2, 0, 0, 0, 1, n},
                         from[6] = {2, 0, 0, 0, 2, static_cast<std::uint8_t>(port)};
      std::memcpy(h.destination_mac, to, 6);
      std::memcpy(h.source_mac, from, 6);
      h.port = port;
      h.state = hop_state;
      h.on_link = on_link;
      routing.set_hop(index, h);
    };
    hop(kToClients, NextHopState::reachable, 0, 0);
    hop(kToBackends, NextHopState::reachable, 1, 1);
    hop(kUnresolved, NextHopState::resolve, 1, 1);
    hop(kRouted, NextHopState::reachable, 1, 0);
    hop(kBlackhole, NextHopState::blackhole, 0, 0);
    hop(kLocal, NextHopState::local, 0, 0);
    auto fib4 = std::make_unique<PlainFib<Ipv4>>();
    fib4->insert({}, 0, kToClients);
    (void)fib4->publish();
    routing.fib_ipv4 = std::move(fib4);
    auto fib6 = std::make_unique<PlainFib<Ipv6>>();
    fib6->insert({}, 0, kToClients);
    (void)fib6->publish();
    routing.fib_ipv6 = std::move(fib6);
    for (unsigned id = 0; id < 64; ++id) routing.set_backend_next_hop(id, kToBackends);
    NatSource<Ipv4> v4;
    std::memcpy(v4.address.data(), ip(Net<Ipv4>::source()).data(), 4);
    NatSource<Ipv6> v6;
    std::memcpy(v6.address.data(), ip(Net<Ipv6>::source()).data(), 16);
    v4.port_id = v6.port_id = 1;
    sources.ipv4 = {v4};
    sources.ipv6 = {v6};
    routing.nat_sources = &sources;
    tunnels.ports.resize(2);
    tunnels.ports[1].ipv4 = {true, v4.address, {}};
    tunnels.ports[1].ipv6 = {true, v6.address, {}};
    routing.set_tunnel_sources(&tunnels);
  }

  void change(const std::function<void(StateBuilder&)>& edit) {
    StateBuilder builder(state, StateLimits{.vips = 64, .backends = 64, .vip_ids = 1000});
    edit(builder);
    auto built = builder.build(++generation, indexes);
    ASSERT_TRUE(built.ok()) << built.error();
    state = built->state;
  }

  // Backends 1 to n, on the VIP's ports 80 over TCP (id 1) and 53 over UDP (id 2).
  template <typename Family>
  void serve(unsigned backends, Mode mode = Mode::nat, const std::vector<unsigned>& draining = {}) {
    change([&](StateBuilder& builder) {
      builder.upsert(AddressSpec{ip(Net<Family>::vip()), Unserved::reject});
      std::vector<VipBlock::Member> members[2];
      for (unsigned n = 1; n <= 8; ++n) {
        for (unsigned udp : {0u, 1u}) {
          const std::uint32_t id = n + udp * 8;
          if (n > backends) {
            builder.remove_backend(id);
            continue;
          }
          const std::uint16_t port = translates(mode) ? 8080 : udp == 1 ? 53 : 80;
          const IpAddress address = ip(Net<Family>::backend(n));
          builder.upsert(
              BackendSpec{id, address, port, {address_port_text(address, port), "default/pod"}});
          const bool drains = std::find(draining.begin(), draining.end(), n) != draining.end();
          members[udp].push_back({id, 1, drains, false});
        }
      }
      for (unsigned udp : {0u, 1u}) {
        VipSpec spec;
        spec.key = {ip(Net<Family>::vip()), udp == 1 ? kProtocolUdp : kProtocolTcp,
                    static_cast<std::uint16_t>(udp == 1 ? 53 : 80)};
        spec.id = 1 + udp;
        spec.service = "manual/default/web";
        spec.mode = mode;
        spec.maglev_size = 1009;
        spec.members = members[udp];
        builder.upsert(spec);
      }
    });
  }

  Outcome process(unsigned worker, const Bytes& packet, std::uint16_t port = 0,
                  bool steered = false, std::uint32_t tailroom = 0) {
    auto burst = std::make_unique<Burst>();
    std::vector<std::unique_ptr<std::uint8_t[]>> memory;
    add(*burst, memory, packet, port, steered, tailroom);
    pipelines[worker]->process(*burst, *state, routing, now);
    return outcome(*burst, 0);
  }
  // From the wire, where nothing hashes: worker 0 gets it, and hands it over if it must.
  Outcome deliver(const Bytes& packet, std::uint16_t port = 0) {
    const Outcome first = process(0, packet, port);
    if (first.verdict != Verdict::hand_over) return first;
    EXPECT_EQ(first.bytes, packet);
    return process(first.out_worker, packet, port, true);
  }
  std::vector<Outcome> process_all(const std::vector<Bytes>& packets, std::uint16_t port = 0) {
    auto burst = std::make_unique<Burst>();
    std::vector<std::unique_ptr<std::uint8_t[]>> memory;
    for (const Bytes& packet : packets) add(*burst, memory, packet, port, false, 0);
    pipelines[0]->process(*burst, *state, routing, now);
    std::vector<Outcome> all;
    for (unsigned i = 0; i < burst->count; ++i) all.push_back(outcome(*burst, i));
    return all;
  }
  // At least one whole round over the tables of every worker. Takes up to 16 ticks, as it does in
  // life.
  void sweep() {
    for (auto& pipeline : pipelines) {
      for (unsigned rounds = 0; rounds < 2;) {
        const Ticks before = now;
        for (unsigned polls = 0; polls < 100000 && rounds < 2; ++polls)
          rounds += pipeline->sweep(*state, now);
        if (rounds < 2) ++now;
        ASSERT_LT(now - before, 100u);
      }
    }
  }
  std::uint64_t drops(DropReason reason) const {
    std::uint64_t sum = 0;
    for (const auto& c : counters) sum += c->drops[static_cast<unsigned>(reason)].read();
    return sum;
  }

  Ticks now = 1000;
  std::uint64_t generation = 0;
  std::vector<std::unique_ptr<WorkerCounters>> counters;
  std::vector<std::unique_ptr<Pipeline>> pipelines;
  std::shared_ptr<const ForwardingState> state;
  CounterIndexes indexes{64};
  Routing routing{16, 4, 64};
  NatSources sources;
  TunnelSources tunnels;
  std::uint32_t headroom = 0;  // Of every packet.

 private:
  void add(Burst& burst, std::vector<std::unique_ptr<std::uint8_t[]>>& memory, const Bytes& packet,
           std::uint16_t port, bool steered, std::uint32_t tailroom) const {
    auto copy = std::make_unique<std::uint8_t[]>(headroom + packet.size() + tailroom);
    std::memcpy(copy.get() + headroom, packet.data(), packet.size());
    const unsigned i = burst.count++;
    burst.handle[i] = nullptr;
    burst.data[i] = copy.get() + headroom;
    burst.length[i] = burst.total_length[i] = static_cast<std::uint32_t>(packet.size());
    burst.buffer[i] = copy.get();
    burst.buffer_bytes[i] = headroom + burst.length[i] + tailroom;
    burst.in_port[i] = port;
    burst.steered[i] = steered;
    memory.push_back(std::move(copy));
  }
  static Outcome outcome(const Burst& burst, unsigned i) {
    return {burst.verdict[i],  burst.reason[i],
            burst.out_port[i], burst.out_worker[i],
            burst.next_hop[i], Bytes(burst.data[i], burst.data[i] + burst.length[i])};
  }
};

// A packet of client n to the VIP's TCP port, or its UDP port.
template <typename Family>
Packet from_client(unsigned n, std::uint8_t flags = kTcpSyn, std::uint8_t protocol = kProtocolTcp) {
  Packet p;
  p.source = Net<Family>::client(n);
  p.source_port = 1024 + n;
  p.destination = Net<Family>::vip();
  p.destination_port = protocol == kProtocolTcp ? 80 : 53;
  p.protocol = protocol;
  p.flags = flags;
  p.acknowledgment = 5001;
  p.payload = 8;
  return p;
}

// What the backend answers to a packet that was forwarded to it by NAT.
inline Packet from_backend(const Decoded& forwarded, std::uint8_t flags) {
  Packet p;
  p.source = forwarded.destination;
  p.source_port = forwarded.destination_port;
  p.destination = forwarded.source;
  p.destination_port = forwarded.source_port;
  p.protocol = forwarded.protocol;
  p.flags = flags;
  p.sequence = 5000;
  p.payload = 5;
  return p;
}

}  // namespace sluice::test
