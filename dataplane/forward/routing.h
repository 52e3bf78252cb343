// Routing: what the packet path knows of the network: next hops, which of them leads to an address,
// which next hop each backend has, and the gateway's own NAT source addresses.
// The slow path mirrors the kernel's routes and neighbours into it.
//
// Thread: one writer (the slow path); workers read, by hop() and pick(). Next hops are updated in place:
//   destination_mac and port are one 64-bit word, source_mac and state another, so a reader never sees
//   half of either; an index gets another address only after a grace period, and so do multipath groups.
//   Whatever decides how a packet leaves towards a backend is written by methods that also move
//   version() on: what a worker has worked out from it holds while that stays the same.
// Ownership: fixed arrays, sized at construction; nat_sources belongs to the slow path.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

struct alignas(16) NextHop {
  std::uint8_t destination_mac[6];
  std::uint16_t port;              // DPDK port number.
  std::uint8_t source_mac[6];
  NextHopState state;
  std::uint8_t on_link;            // 1: the next hop is the destination itself (no router between).
};
static_assert(sizeof(NextHop) == 16 && offsetof(NextHop, source_mac) == 8);

inline constexpr NextHopIndex kNoNextHop = 0;        // Entry 0 always has state none.
inline constexpr NextHopIndex kMultipath = 1u << 23;  // Set: the low bits number a MultipathGroup.

struct MultipathGroup {
  static constexpr std::uint32_t kMax = 16;
  std::uint32_t count = 0;
  NextHopIndex hops[kMax] = {};
};

// Longest-prefix match of a burst: over rte_fib and rte_fib6 for large tables (kernel/fib.h), over sorted
// ranges for small ones (kernel/plain_fib.h). What matches nothing gives kNoNextHop.
template <typename Family>
class Fib {
 public:
  using Address = typename Family::Address;
  virtual ~Fib() = default;
  virtual void lookup(const Address* destinations, NextHopIndex* out, unsigned count) const = 0;

  // For the one writer. Host bits of the address are zero. insert replaces; false: the table is full (or
  // cannot be written), nothing has changed.
  virtual bool insert(const Address&, unsigned /*prefix_length*/, NextHopIndex) { return false; }
  virtual void erase(const Address&, unsigned /*prefix_length*/) {}
  // Changes are visible to readers after this at the latest. The result is what readers may still use:
  // keep it for a grace period, then drop it.
  [[nodiscard]] virtual std::shared_ptr<const void> publish() { return nullptr; }
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
  std::uint16_t first_port = 20000;  // Both inclusive, host order.
  std::uint16_t last_port = 65535;
  std::vector<NatSource<Ipv4>> ipv4;
  std::vector<NatSource<Ipv6>> ipv6;
};

// Where tunnels start: by egress port and family, one address or, where bits of it vary, a prefix whose
// host bits come from the flow's hash, so that backends spread the tunnel's packets over their queues.
template <typename Family>
struct TunnelSource {
  bool present = false;
  typename Family::Address address{};
  typename Family::Address varies{};  // Bits set: taken from the flow's hash.
};
// Immutable; replaced like NatSources.
struct TunnelSources {
  struct Port {
    TunnelSource<Ipv4> ipv4;
    TunnelSource<Ipv6> ipv6;
  };
  std::vector<Port> ports;  // By DPDK port number.
};

// What a backend's path lets through, learned from ICMP by whichever worker saw it: bytes in the lower
// half, Ticks / 16 of when in the upper; 0: nothing known.
using PathMtu = std::atomic<std::uint32_t>;
inline constexpr unsigned kMaxPorts = 64;  // DPDK port numbers are below.
inline constexpr std::uint16_t kDefaultMtu = 1500;

struct Routing {
  Routing(std::uint32_t next_hop_capacity, std::uint32_t multipath_capacity, std::uint32_t backend_capacity)
      : next_hops(new NextHop[next_hop_capacity]()),
        multipath(new MultipathGroup[multipath_capacity]()),
        next_hop_count(next_hop_capacity),
        multipath_count(multipath_capacity),
        backend_count(backend_capacity),
        backend_next_hop_(new std::atomic<NextHopIndex>[backend_capacity]()),
        backend_path_mtu_(new PathMtu[backend_capacity]()) {
    for (auto& mtu : port_mtu_) mtu.store(kDefaultMtu, std::memory_order_relaxed);
  }

  std::unique_ptr<NextHop[]> next_hops;
  std::unique_ptr<MultipathGroup[]> multipath;
  std::uint32_t next_hop_count, multipath_count, backend_count;
  std::unique_ptr<Fib<Ipv4>> fib_ipv4;
  std::unique_ptr<Fib<Ipv6>> fib_ipv6;
  std::atomic<const NatSources*> nat_sources{nullptr};

  // Read before what it stands for; what is read afterwards is as new as it or newer.
  std::uint32_t version() const { return version_.load(std::memory_order_acquire); }

  // Resolved beforehand, by backend id: no longest-prefix match on the way to a backend, or to the
  // node its overlay leads to. Ids are below backend_count.
  NextHopIndex backend_next_hop(std::uint32_t id) const {
    return backend_next_hop_[id].load(std::memory_order_acquire);
  }
  void set_backend_next_hop(std::uint32_t id, NextHopIndex index) {
    if (backend_next_hop_[id].exchange(index, std::memory_order_release) != index) changed();
  }
  // By DPDK port number, below kMaxPorts; bytes of layer 3.
  std::uint32_t port_mtu(std::uint16_t port) const {
    return port_mtu_[port].load(std::memory_order_relaxed);
  }
  void set_port_mtu(std::uint16_t port, std::uint16_t bytes) {
    port_mtu_[port].store(bytes, std::memory_order_relaxed);
    changed();
  }
  // As PathMtu; workers write it too.
  std::uint32_t backend_path_mtu(std::uint32_t id) const {
    return backend_path_mtu_[id].load(std::memory_order_relaxed);
  }
  void set_backend_path_mtu(std::uint32_t id, std::uint32_t word) const {
    backend_path_mtu_[id].store(word, std::memory_order_relaxed);
    changed();
  }
  const TunnelSources* tunnel_sources() const {
    return tunnel_sources_.load(std::memory_order_acquire);
  }
  // The caller frees the former one after a grace period.
  void set_tunnel_sources(const TunnelSources* sources) {
    tunnel_sources_.store(sources, std::memory_order_release);
    changed();
  }

  // A consistent copy of one next hop. Never of a group: pick() first.
  NextHop hop(NextHopIndex index) const {
    const auto* words = reinterpret_cast<const Word*>(&next_hops[index]);
    std::uint64_t copy[2];
    copy[1] = __atomic_load_n(&words[1], __ATOMIC_ACQUIRE);  // The state first: what it promises is then there.
    copy[0] = __atomic_load_n(&words[0], __ATOMIC_RELAXED);
    NextHop value;
    std::memcpy(&value, copy, sizeof value);
    return value;
  }
  // For the one writer.
  void set_hop(NextHopIndex index, const NextHop& value) {
    auto* words = reinterpret_cast<Word*>(&next_hops[index]);
    std::uint64_t copy[2];
    std::memcpy(copy, &value, sizeof copy);
    __atomic_store_n(&words[0], copy[0], __ATOMIC_RELAXED);
    __atomic_store_n(&words[1], copy[1], __ATOMIC_RELEASE);
    changed();
  }

  // A single next hop: multipath groups are resolved by the flow's hash.
  NextHopIndex pick(NextHopIndex index, std::uint32_t flow_hash) const {
    if ((index & kMultipath) == 0) return index;
    const MultipathGroup& group = multipath[index & (kMultipath - 1)];
    return group.count == 0 ? kNoNextHop : group.hops[(std::uint64_t{flow_hash} * group.count) >> 32];
  }

 private:
  using Word [[gnu::may_alias]] = std::uint64_t;
  // Not often enough to matter, for anyone but who waits for it.
  void changed() const { version_.fetch_add(1, std::memory_order_acq_rel); }

  std::unique_ptr<std::atomic<NextHopIndex>[]> backend_next_hop_;
  std::unique_ptr<PathMtu[]> backend_path_mtu_;
  std::atomic<std::uint16_t> port_mtu_[kMaxPorts];
  std::atomic<const TunnelSources*> tunnel_sources_{nullptr};
  mutable std::atomic<std::uint32_t> version_{1};
};

}  // namespace sluice
