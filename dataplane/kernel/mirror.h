// Mirror: from what the kernel knows (routes, neighbours, nexthop objects) to what the workers use
// (Routing: longest-prefix match, next hops, multipath groups, the next hop of each backend).
//
//   on-link prefix            -> one next hop per link in state resolve (glean), and each neighbour
//   of it
//                                that is resolved a host route to a reachable next hop
//   prefix by a gateway       -> the gateway's next hop, reachable or resolve as its neighbour is
//   several gateways          -> a multipath group, by weight
//   local, broadcast, routes over links that are not ours -> local: the kernel's business
//   blackhole, unreachable, prohibit -> blackhole
// Neighbours that are STALE, DELAY, PROBE, REACHABLE, PERMANENT or NOARP are usable.
//
// Pure but for NeighbourControl: no system call. Thread: one. Ownership: borrows everything it is
// given;
//   the one writer of Routing but for what PortFacts writes.
// Errors: a full table is counted in problems() and logged; less specific routes or the slow path
// then
//   take what did not fit.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "dataplane/forward/routing.h"
#include "dataplane/kernel/grace_queue.h"
#include "dataplane/kernel/kernel_event.h"
#include "dataplane/kernel/kernel_routes.h"
#include "dataplane/kernel/next_hop_table.h"
#include "dataplane/kernel/slow_path.h"

namespace sluice {

struct MirrorPort {
  int link = 0;            // Of the TAP.
  std::uint16_t port = 0;  // DPDK port number.
  std::uint8_t mac[6] = {};
};

// The neighbour at an address on a link.
using NeighbourKey = std::pair<IpAddress, int>;

struct NeighbourControl {
  virtual ~NeighbourControl() = default;
  // Has the kernel look for the neighbour; managed: and keep it resolved until asked again without.
  virtual void resolve(const NeighbourKey& neighbour, bool managed) = 0;
};

class Mirror {
 public:
  Mirror(std::span<const MirrorPort> ports, Routing& routing, GraceQueue& grace,
         NeighbourControl& control);

  // A notification, or a part of a dump. Workers see routes after commit(), neighbours at once.
  void apply(const KernelEvent& event);
  // Around a dump: what it does not tell again is gone; one that failed changes nothing.
  void begin_dump();
  void end_dump(bool complete);
  // The kernel changes routes without telling, for instance when a link goes down: dump again.
  bool needs_dump() const { return needs_dump_; }

  // Where packets to it go; without an address: it is gone.
  void change_backend(std::uint32_t id, const IpAddress& address);

  // Publishes what has changed: FIB, groups, backends; asks for neighbours now needed.
  void commit();
  // About once a second: asks again for neighbours needed and not found.
  void ask_again();

  // The neighbour a packet to `destination` over this next hop waits for.
  std::optional<NeighbourKey> neighbour_of(NextHopIndex hop, const IpAddress& destination) const;
  // Port and MACs, if the neighbour is usable.
  std::optional<NextHop> reach(const NeighbourKey& neighbour) const;
  // Asks once, keeping a managed one managed.
  void ask(const NeighbourKey& neighbour);

  std::uint64_t problems() const { return full_fib_ + hops_.exhausted(); }
  std::size_t routes() const { return installed_.size(); }

 private:
  struct Neighbour {
    std::uint16_t state = 0;
    bool usable = false;
    std::uint8_t mac[6] = {};
  };
  struct Kernel {  // All that is known of it.
    KernelRoutes routes;
    std::map<int, unsigned> link_flags;
    std::map<NeighbourKey, Neighbour> neighbours;
    std::map<std::uint32_t, NexthopEvent> nexthops;
  };

  void on(const LinkEvent& event);
  void on(const AddressEvent& event);
  void on(const RouteEvent& event);
  void on(const NeighbourEvent& event);
  void on(const NexthopEvent& event);
  void refresh_hops(const NeighbourKey& neighbour);
  void mark(const IpPrefix& prefix);
  void mark_host(const IpAddress& address);
  void mark_all();

  const MirrorPort* port_of(int link) const;
  NextHop make_hop(const HopKey& key) const;
  std::vector<RouteHop> hops_of(const KernelRoutes::Route& route) const;
  NextHopIndex wanted(const IpPrefix& prefix);
  NextHopIndex wanted_route(const KernelRoutes::Route& route);
  std::optional<HopKey> wanted_neighbour(const IpPrefix& prefix) const;
  void install(const IpPrefix& prefix);
  template <typename Family>
  void publish_fib(Fib<Family>& fib);
  template <typename Family>
  void look_up_backends(const Fib<Family>& fib, const std::vector<BackendAddress>& backends);
  void look_up(const std::vector<BackendAddress>& backends);
  void look_up_all();
  void look_up_changed();
  // Whose MAC packets to the backend need.
  std::optional<NeighbourKey> neighbour_of_backend(std::uint32_t id,
                                                   const IpAddress& address) const;
  void update_needed();
  void drop_need(const NeighbourKey& neighbour);
  void stop_resolving(const NeighbourKey& neighbour);

  std::vector<MirrorPort> ports_;
  Routing& routing_;
  GraceQueue& grace_;
  NeighbourControl& control_;
  NextHopTable hops_;

  Kernel kernel_, before_dump_;
  std::unordered_map<std::uint32_t, IpAddress> backends_;
  std::unordered_set<std::uint32_t> changed_backends_;  // To be looked up by commit().

  std::unordered_map<IpPrefix, NextHopIndex, PrefixHash> installed_;  // What the FIBs hold.
  std::unordered_set<IpPrefix, PrefixHash> changed_;  // To be looked at by commit().
  bool all_changed_ = true;
  bool dumping_ = false;
  bool needs_dump_ = false;
  // Gateways and backends on link, with how many routes and backends need them.
  std::map<NeighbourKey, std::uint32_t> needed_;
  std::uint64_t full_fib_ = 0, logged_problems_ = 0;
};

}  // namespace sluice
