// KernelRoutes: the kernel's main and local tables, both families, as its notifications tell them,
// and which route the kernel would use for a prefix. Pure. Thread: one. Ownership: by value.
// Source: rtnetlink(7); the rules local, main, default, in this order.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "dataplane/kernel/kernel_event.h"

namespace sluice {

struct PrefixHash {
  std::size_t operator()(const IpPrefix& prefix) const noexcept {
    return std::hash<IpAddress>()(prefix.address()) * 131 + prefix.length();
  }
};

class KernelRoutes {
 public:
  struct Route {
    std::uint32_t table, metric;
    std::uint8_t type;  // RTN_*.
    std::uint32_t nexthop_id;
    std::vector<RouteHop> hops;
  };

  // Routes of other tables, or for a type of service, are ignored. True: the prefix may have
  // changed.
  bool apply(const RouteEvent& event);
  void clear();

  // What the kernel uses for exactly this prefix; nullptr: it has no route.
  const Route* best(const IpPrefix& prefix) const;
  // The longest prefix with a route that covers the address; with `shorter_than`, of fewer bits
  // only.
  const Route* covering(const IpAddress& address, unsigned shorter_than = 129) const;

  const std::unordered_map<IpPrefix, std::vector<Route>, PrefixHash>& all() const {
    return routes_;
  }

 private:
  void remove(const RouteEvent& event, std::vector<Route>& routes);
  std::array<std::uint32_t, 129>& lengths(bool v4) { return lengths_[v4 ? 0 : 1]; }

  std::unordered_map<IpPrefix, std::vector<Route>, PrefixHash>
      routes_;                                               // In the order of preference.
  std::array<std::array<std::uint32_t, 129>, 2> lengths_{};  // Prefixes by length.
};

}  // namespace sluice
