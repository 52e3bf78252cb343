// Routing: what the packet path knows of the network: next hops, which of them leads to an address,
// which next hop each backend has, and the gateway's own NAT source addresses.
// The slow path mirrors the kernel's routes and neighbours into it.
//
// Thread: one writer (the slow path); workers read. Next hops are updated in place: `destination_mac`
//   and `port` are in one 64-bit word, so a reader never sees half of it; an index gets another address
//   only after a grace period.
// Ownership: fixed arrays, sized at construction.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/packet/family.h"

namespace sluice {

using NextHopIndex = std::uint32_t;

enum class NextHopState : std::uint8_t {
  none = 0,        // No route: drop "no-route".
  reachable = 1,   // Transmit.
  resolve = 2,     // The kernel is asked for the neighbour; packets wait in the slow path, counted.
  local = 3,       // The gateway's own address: slow path.
  blackhole = 4,   // Drop "route-blackhole".
};

struct NextHop {
  std::uint8_t destination_mac[6];
  std::uint16_t port;              // DPDK port number.
  std::uint8_t source_mac[6];
  NextHopState state;
  std::uint8_t on_link;            // 1: the next hop is the destination itself (no router between).
};
static_assert(sizeof(NextHop) == 16);

inline constexpr NextHopIndex kNoNextHop = 0;        // Entry 0 always has state none.
inline constexpr NextHopIndex kMultipath = 1u << 23;  // Set: the low bits number a MultipathGroup.

struct MultipathGroup {
  static constexpr std::uint32_t kMax = 16;
  std::uint32_t count = 0;
  NextHopIndex hops[kMax] = {};
};

// Longest-prefix match of a burst; implemented over rte_fib, rte_fib6, and by a plain map in tests.
template <typename Family>
class Fib {
 public:
  virtual ~Fib() = default;
  virtual void lookup(const typename Family::Address* destinations, NextHopIndex* out, unsigned count) const = 0;
};

// An address the gateway translates to, with the ports set aside for it. Few (at most 64 per family).
template <typename Family>
struct NatSource {
  typename Family::Address address{};
  std::uint16_t port_id = 0xffff;   // The DPDK port whose own address it is; 0xffff: any (configured pool).
  std::uint32_t number = 0;         // 0 to 1023, stable while the address lives; ids follow from it.
  // Id used in connection table keys, as a VIP's (address, protocol) would be.
  std::uint32_t id(std::uint8_t protocol) const {
    return kFirstNatSourceId + number * 4 + (protocol == kProtocolTcp ? 0 : protocol == kProtocolUdp ? 1 : 2);
  }
};

// Immutable; replaced as a whole and freed after a grace period when the gateway's addresses change.
struct NatSources {
  std::uint16_t first_port = 20000, last_port = 65535;  // Inclusive, host order.
  std::vector<NatSource<Ipv4>> ipv4;
  std::vector<NatSource<Ipv6>> ipv6;
};

struct Routing {
  Routing(std::uint32_t next_hop_capacity, std::uint32_t multipath_capacity, std::uint32_t backend_capacity)
      : next_hops(new NextHop[next_hop_capacity]()),
        multipath(new MultipathGroup[multipath_capacity]()),
        backend_next_hop(new std::atomic<NextHopIndex>[backend_capacity]()),
        next_hop_count(next_hop_capacity),
        multipath_count(multipath_capacity),
        backend_count(backend_capacity) {}

  std::unique_ptr<NextHop[]> next_hops;
  std::unique_ptr<MultipathGroup[]> multipath;
  // Resolved beforehand, by backend id: no longest-prefix match on the way to a backend.
  std::unique_ptr<std::atomic<NextHopIndex>[]> backend_next_hop;
  std::uint32_t next_hop_count, multipath_count, backend_count;
  std::unique_ptr<Fib<Ipv4>> fib_ipv4;
  std::unique_ptr<Fib<Ipv6>> fib_ipv6;
  std::atomic<const NatSources*> nat_sources{nullptr};

  // A single next hop: multipath groups are resolved by the flow's hash.
  NextHopIndex pick(NextHopIndex index, std::uint32_t flow_hash) const {
    if ((index & kMultipath) == 0) return index;
    const MultipathGroup& group = multipath[index & (kMultipath - 1)];
    return group.count == 0 ? kNoNextHop : group.hops[(std::uint64_t{flow_hash} * group.count) >> 32];
  }
};

}  // namespace sluice
