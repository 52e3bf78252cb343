// The half of Mirror that turns what is known of the kernel into Routing.
#include <linux/rtnetlink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "dataplane/kernel/mirror.h"

namespace sluice {
namespace {

// Never forwarded: link-local scope and multicast belong to the gateway itself, on the port they
// came by.
const std::vector<IpPrefix>& always_local() {
  static const std::vector<IpPrefix> prefixes = {
      *IpPrefix::parse("224.0.0.0/4"), *IpPrefix::parse("255.255.255.255/32"),
      *IpPrefix::parse("fe80::/10"), *IpPrefix::parse("ff00::/8")};
  return prefixes;
}

bool is_always_local(const IpAddress& address) {
  return std::any_of(always_local().begin(), always_local().end(),
                     [&](const IpPrefix& prefix) { return prefix.contains(address); });
}

template <typename Family>
typename Family::Address address_as(const IpAddress& address) {
  typename Family::Address bytes;
  std::memcpy(bytes.data(), address.data(), bytes.size());
  return bytes;
}

// Calls with the FIB of the prefix's family and the address in its form.
template <typename Function>
void with_fib(Routing& routing, const IpAddress& address, Function function) {
  if (address.is_v4()) {
    function(*routing.fib_ipv4, address_as<Ipv4>(address));
  } else {
    function(*routing.fib_ipv6, address_as<Ipv6>(address));
  }
}

bool on_link_by(const std::vector<RouteHop>& hops, int link) {
  return std::any_of(hops.begin(), hops.end(), [&](const RouteHop& hop) {
    return hop.link == link && hop.gateway.size() == 0 && !hop.dead;
  });
}

// Repeats each hop by its share of the group's places, at least once.
std::vector<NextHopIndex> by_weight(
    const std::vector<std::pair<NextHopIndex, std::uint32_t>>& hops) {
  std::uint32_t divisor = 0;
  for (const auto& [hop, weight] : hops) divisor = std::gcd(divisor, weight);
  std::uint64_t total = 0;
  for (const auto& [hop, weight] : hops) total += weight / divisor;
  std::vector<NextHopIndex> places;
  for (const auto& [hop, weight] : hops) {
    std::uint64_t count = weight / divisor;
    if (total > MultipathGroup::kMax) {
      count = std::max<std::uint64_t>(1, count * (MultipathGroup::kMax - hops.size() + 1) / total);
    }
    for (; count > 0 && places.size() < MultipathGroup::kMax; --count) places.push_back(hop);
  }
  return places;
}

}  // namespace

std::vector<RouteHop> Mirror::hops_of(const KernelRoutes::Route& route) const {
  if (!route.hops.empty() || route.nexthop_id == 0) return route.hops;
  std::vector<RouteHop> hops;
  const auto add = [&](std::uint32_t id, std::uint32_t weight) {
    const auto found = kernel_.nexthops.find(id);
    if (found == kernel_.nexthops.end() || found->second.blackhole || !found->second.group.empty())
      return;
    hops.push_back(found->second.hop);
    hops.back().weight = weight;
  };
  const auto object = kernel_.nexthops.find(route.nexthop_id);
  if (object == kernel_.nexthops.end()) return hops;
  if (object->second.group.empty()) add(route.nexthop_id, 1);
  for (const NexthopEvent::Member& member : object->second.group) add(member.id, member.weight);
  return hops;
}

// Counted for the caller.
NextHopIndex Mirror::wanted_route(const KernelRoutes::Route& route) {
  switch (route.type) {
    case RTN_UNICAST:
      break;
    case RTN_BLACKHOLE:
    case RTN_UNREACHABLE:
    case RTN_PROHIBIT:
      return NextHopTable::kBlackhole;
    default:
      return NextHopTable::kLocal;
  }
  std::vector<std::pair<NextHopIndex, std::uint32_t>> hops;
  bool elsewhere = false;
  for (const RouteHop& hop : hops_of(route)) {
    if (hops.size() == MultipathGroup::kMax) break;
    if (port_of(hop.link) == nullptr) {
      elsewhere = true;
      continue;
    }
    if (hop.dead) continue;
    const HopKey key{hop.link, hop.gateway, hop.gateway.size() == 0};
    const NextHopIndex index = hops_.acquire(key, make_hop(key));
    if (index == kNoNextHop) continue;
    const auto same = std::find_if(hops.begin(), hops.end(),
                                   [&](const auto& known) { return known.first == index; });
    if (same == hops.end()) {
      hops.emplace_back(index, std::max(hop.weight, 1u));
    } else {
      same->second += hop.weight;
      hops_.release(index);
    }
  }
  if (hops.empty()) {
    const auto object = kernel_.nexthops.find(route.nexthop_id);
    if (object != kernel_.nexthops.end() && object->second.blackhole)
      return NextHopTable::kBlackhole;
    return elsewhere ? NextHopTable::kLocal : kNoNextHop;
  }
  if (hops.size() == 1) return hops.front().first;
  const HopKey first = *hops_.key(hops.front().first);
  const std::vector<NextHopIndex> places = by_weight(hops);
  // The group counts every place it has.
  for (const auto& [index, weight] : hops) {
    const auto repeats = std::count(places.begin(), places.end(), index);
    const HopKey key = *hops_.key(index);
    for (auto i = repeats; i > 1; --i) (void)hops_.acquire(key, NextHop{});
  }
  const NextHopIndex group = hops_.acquire_group(places);
  return group != kNoNextHop ? group
                             : hops_.acquire(first, make_hop(first));  // One way beats none.
}

// The neighbour that a host prefix leads to directly, if the kernel would use it.
std::optional<HopKey> Mirror::wanted_neighbour(const IpPrefix& prefix) const {
  const IpAddress& address = prefix.address();
  if (prefix.length() != address.size() * 8) return std::nullopt;
  auto it = kernel_.neighbours.lower_bound({address, 0});
  if (it == kernel_.neighbours.end() || it->first.first != address) return std::nullopt;
  const KernelRoutes::Route* route = kernel_.routes.covering(address);
  if (route == nullptr || route->type != RTN_UNICAST) return std::nullopt;
  const std::vector<RouteHop> hops = hops_of(*route);
  for (; it != kernel_.neighbours.end() && it->first.first == address; ++it) {
    if (it->second.usable && on_link_by(hops, it->first.second)) {
      return HopKey{it->first.second, address, true};
    }
  }
  return std::nullopt;
}

NextHopIndex Mirror::wanted(const IpPrefix& prefix) {
  if (is_always_local(prefix.address()) && prefix.length() > 3) return NextHopTable::kLocal;
  if (const auto key = wanted_neighbour(prefix)) return hops_.acquire(*key, make_hop(*key));
  const KernelRoutes::Route* route = kernel_.routes.best(prefix);
  return route == nullptr ? kNoNextHop : wanted_route(*route);
}

// A route that leads nowhere now (all its links are down) is in the FIB as kNoNextHop: it must
// still hide a less specific one. Without a route, nothing is.
void Mirror::install(const IpPrefix& prefix) {
  const NextHopIndex next = wanted(prefix);
  const bool present = next != kNoNextHop || kernel_.routes.best(prefix) != nullptr;
  const auto old = installed_.find(prefix);
  if (old != installed_.end() && present && old->second == next) {
    hops_.release(next);
    return;
  }
  bool done = true;
  with_fib(routing_, prefix.address(), [&](auto& fib, const auto& address) {
    if (present) {
      done = fib.insert(address, prefix.length(), next);
    } else if (old != installed_.end()) {
      fib.erase(address, prefix.length());
    }
  });
  if (!done) {
    ++full_fib_;
    hops_.release(next);
    return;
  }
  if (old != installed_.end()) hops_.release(old->second);
  if (present) {
    installed_[prefix] = next;
  } else if (old != installed_.end()) {
    installed_.erase(old);
  }
}

void Mirror::mark_all() {
  changed_.insert(always_local().begin(), always_local().end());
  for (const auto& [prefix, routes] : kernel_.routes.all()) changed_.insert(prefix);
  for (const auto& [prefix, index] : installed_) changed_.insert(prefix);
  for (const auto& [key, neighbour] : kernel_.neighbours) {
    if (neighbour.usable) {
      changed_.insert(IpPrefix(key.first, static_cast<unsigned>(key.first.size()) * 8));
    }
  }
  all_changed_ = false;
}

void Mirror::commit() {
  if (dumping_) return;
  if (all_changed_) mark_all();
  if (changed_.empty()) return look_up_changed();
  for (const IpPrefix& prefix : changed_) install(prefix);
  changed_.clear();
  publish_fib(*routing_.fib_ipv4);
  publish_fib(*routing_.fib_ipv6);
  look_up_all();
  update_needed();
  if (problems() != logged_problems_) {
    spdlog::error(
        "routing table is full: raise dataplane.tables.routesIPv4 or routesIPv6 "
        "routes={} refused_routes={} refused_next_hops={}",
        installed_.size(), full_fib_, hops_.exhausted());
    logged_problems_ = problems();
  }
}

template <typename Family>
void Mirror::publish_fib(Fib<Family>& fib) {
  if (auto old = fib.publish()) grace_.retire([old = std::move(old)] {});
}

template <typename Family>
void Mirror::look_up_backends(const Fib<Family>& fib, const std::vector<BackendAddress>& backends) {
  constexpr std::size_t kBulk = 64;
  typename Family::Address addresses[kBulk];
  NextHopIndex found[kBulk];
  for (std::size_t from = 0; from < backends.size(); from += kBulk) {
    const std::size_t count = std::min(kBulk, backends.size() - from);
    for (std::size_t i = 0; i < count; ++i) {
      addresses[i] = address_as<Family>(backends[from + i].address);
    }
    fib.lookup(addresses, found, static_cast<unsigned>(count));
    for (std::size_t i = 0; i < count; ++i) {
      routing_.set_backend_next_hop(backends[from + i].id, found[i]);
    }
  }
}

void Mirror::look_up(const std::vector<BackendAddress>& backends) {
  std::vector<BackendAddress> ipv4, ipv6;
  for (const BackendAddress& backend : backends)
    (backend.address.is_v4() ? ipv4 : ipv6).push_back(backend);
  look_up_backends(*routing_.fib_ipv4, ipv4);
  look_up_backends(*routing_.fib_ipv6, ipv6);
}

void Mirror::look_up_all() {
  std::vector<BackendAddress> all;
  all.reserve(backends_.size());
  for (const auto& [id, address] : backends_) all.push_back({id, address});
  look_up(all);
  changed_backends_.clear();
}

// With the routes as they were.
void Mirror::look_up_changed() {
  if (changed_backends_.empty()) return;
  std::vector<BackendAddress> changed;
  for (const std::uint32_t id : changed_backends_) changed.push_back({id, backends_.at(id)});
  changed_backends_.clear();
  look_up(changed);
  for (const BackendAddress& backend : changed) {
    const auto needed = neighbour_of_backend(backend.id, backend.address);
    if (needed && needed_[*needed]++ == 0) ask(*needed);
  }
}

std::optional<NeighbourKey> Mirror::neighbour_of(NextHopIndex hop,
                                                 const IpAddress& destination) const {
  const HopKey* key = hops_.key(hop);
  if (key == nullptr) return std::nullopt;
  if (key->address.size() != 0) return NeighbourKey{key->address, key->link};
  if (destination.size() == 0 || destination.is_unspecified() || is_always_local(destination)) {
    return std::nullopt;
  }
  return NeighbourKey{destination, key->link};
}

}  // namespace sluice
