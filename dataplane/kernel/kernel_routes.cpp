#include "dataplane/kernel/kernel_routes.h"

#include <linux/rtnetlink.h>

#include <algorithm>

namespace sluice {
namespace {

// The order of `ip rule`'s defaults; 3: not a table that we follow.
unsigned rank(std::uint32_t table) {
  switch (table) {
    case RT_TABLE_LOCAL:
      return 0;
    case RT_TABLE_MAIN:
      return 1;
    case RT_TABLE_DEFAULT:
      return 2;
    default:
      return 3;
  }
}

bool same_key(const KernelRoutes::Route& route, const RouteEvent& event) {
  return route.table == event.table && route.metric == event.metric;
}

bool has_gateway(const std::vector<RouteHop>& hops) {
  return std::any_of(hops.begin(), hops.end(),
                     [](const RouteHop& h) { return h.gateway.size() != 0; });
}

// Whether the kernel keeps the new route instead of, not beside, the old one of the same key. It
// tells an IPv6 multipath route whole each time a hop joins it; on-link routes of one prefix on
// several links, and appended IPv4 routes, stand beside each other.
bool takes_place_of(const RouteEvent& event, const KernelRoutes::Route& route) {
  if (!same_key(route, event)) return false;
  if (event.replace) return true;
  if (event.prefix.address().is_v6() && has_gateway(event.hops) && has_gateway(route.hops))
    return true;
  const auto same_place = [](const RouteHop& a, const RouteHop& b) {
    return a.link == b.link && a.gateway == b.gateway;
  };
  return route.type == event.type && std::equal(route.hops.begin(), route.hops.end(),
                                                event.hops.begin(), event.hops.end(), same_place);
}

}  // namespace

bool KernelRoutes::apply(const RouteEvent& event) {
  if (rank(event.table) == 3 || event.tos != 0) return false;
  if (event.removed) {
    const auto found = routes_.find(event.prefix);
    if (found == routes_.end()) return false;
    remove(event, found->second);
    if (found->second.empty()) {
      routes_.erase(found);
      --lengths(event.prefix.address().is_v4())[event.prefix.length()];
    }
    return true;
  }
  auto& routes = routes_[event.prefix];
  if (routes.empty()) ++lengths(event.prefix.address().is_v4())[event.prefix.length()];
  Route route{event.table, event.metric, event.type, event.nexthop_id, event.hops};
  const auto old = std::find_if(routes.begin(), routes.end(),
                                [&](const Route& r) { return takes_place_of(event, r); });
  if (old != routes.end()) {
    *old = std::move(route);
    return true;
  }
  const auto before = std::find_if(routes.begin(), routes.end(), [&](const Route& r) {
    return std::pair(rank(route.table), route.metric) < std::pair(rank(r.table), r.metric);
  });
  routes.insert(before, std::move(route));
  return true;
}

void KernelRoutes::remove(const RouteEvent& event, std::vector<Route>& routes) {
  const auto is_of = [&](const RouteHop& hop) {
    return std::any_of(event.hops.begin(), event.hops.end(), [&](const RouteHop& gone) {
      return gone.link == hop.link && gone.gateway == hop.gateway;
    });
  };
  for (auto route = routes.begin(); route != routes.end(); ++route) {
    if (!same_key(*route, event) || route->type != event.type) continue;
    if (!event.hops.empty() && std::none_of(route->hops.begin(), route->hops.end(), is_of)) {
      if (!route->hops.empty()) continue;
    }
    // The kernel tells a hop that leaves an IPv6 multipath route as the removal of that hop alone.
    const bool part = event.prefix.address().is_v6() && route->hops.size() > event.hops.size();
    if (part && !event.hops.empty()) {
      std::erase_if(route->hops, is_of);
    } else {
      routes.erase(route);
    }
    return;
  }
}

void KernelRoutes::clear() {
  routes_.clear();
  lengths_ = {};
}

const KernelRoutes::Route* KernelRoutes::best(const IpPrefix& prefix) const {
  const auto found = routes_.find(prefix);
  if (found == routes_.end()) return nullptr;
  for (const Route& route : found->second) {
    if (route.type != RTN_THROW) return &route;
  }
  return nullptr;
}

const KernelRoutes::Route* KernelRoutes::covering(const IpAddress& address,
                                                  unsigned shorter_than) const {
  const auto& present = lengths_[address.is_v4() ? 0 : 1];
  const unsigned bits = static_cast<unsigned>(address.size()) * 8;
  for (unsigned length = std::min(shorter_than, bits + 1); length-- > 0;) {
    if (present[length] == 0) continue;
    if (const Route* route = best(IpPrefix(address, length))) return route;
  }
  return nullptr;
}

}  // namespace sluice
