#include "dataplane/kernel/mirror.h"

#include <linux/neighbour.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace sluice {
namespace {

constexpr std::uint16_t kUsable =
    NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
constexpr std::uint16_t kConfigured = NUD_PERMANENT | NUD_NOARP;

// Asked again at once, at most: the kernel's neighbour table has about a thousand places by
// default.
constexpr unsigned kAskedAgain = 256;

}  // namespace

Mirror::Mirror(std::span<const MirrorPort> ports, Routing& routing, GraceQueue& grace,
               NeighbourControl& control)
    : ports_(ports.begin(), ports.end()),
      routing_(routing),
      grace_(grace),
      control_(control),
      hops_(routing, grace) {}

void Mirror::apply(const KernelEvent& event) {
  std::visit([this](const auto& e) { on(e); }, event);
}

void Mirror::begin_dump() {
  before_dump_ = std::exchange(kernel_, {});
  dumping_ = true;
  needs_dump_ = false;
}

void Mirror::end_dump(bool complete) {
  dumping_ = false;
  if (!complete) {
    kernel_ = std::exchange(before_dump_, {});
    needs_dump_ = true;
    return;
  }
  before_dump_ = {};
  all_changed_ = true;
  for (const auto& [key, index] : hops_.in_use()) hops_.set(index, make_hop(key));
}

void Mirror::on(const LinkEvent& event) {
  constexpr unsigned kCarries = IFF_UP | IFF_RUNNING;
  const unsigned flags = event.removed ? 0 : event.flags & kCarries;
  const auto found = kernel_.link_flags.find(event.index);
  const bool known = found != kernel_.link_flags.end();
  // The kernel drops or marks the IPv4 routes over the link and says nothing of it.
  if (!dumping_ && (known ? found->second != flags : flags != 0)) needs_dump_ = true;
  if (event.removed) {
    kernel_.link_flags.erase(event.index);
  } else {
    kernel_.link_flags[event.index] = flags;
  }
}

void Mirror::on(const AddressEvent& event) {
  // Routes that prefer the address as their source go with it, unsaid.
  if (event.removed && !dumping_ && port_of(event.link) != nullptr) needs_dump_ = true;
}

void Mirror::on(const NexthopEvent& event) {
  if (event.removed) {
    kernel_.nexthops.erase(event.id);
    if (!dumping_) needs_dump_ = true;  // IPv4 routes by it go unsaid.
  } else {
    kernel_.nexthops[event.id] = event;
  }
  all_changed_ = true;
}

void Mirror::on(const RouteEvent& event) {
  if (kernel_.routes.apply(event)) mark(event.prefix);
}

void Mirror::mark(const IpPrefix& prefix) {
  if (all_changed_ || dumping_) return;
  changed_.insert(prefix);
  // The neighbours below it may have become on link, or ceased to be.
  const IpAddress last = prefix.last();
  for (auto it = kernel_.neighbours.lower_bound({prefix.address(), 0});
       it != kernel_.neighbours.end() && it->first.first <= last; ++it) {
    if (it->second.usable) mark_host(it->first.first);
  }
}

void Mirror::on(const NeighbourEvent& event) {
  if (event.proxy || port_of(event.link) == nullptr) return;
  const NeighbourKey key{event.address, event.link};
  Neighbour next;
  next.state = event.removed ? 0 : event.state;
  next.usable = (next.state & kUsable) != 0 && event.has_mac;
  if (next.usable) std::memcpy(next.mac, event.mac, sizeof next.mac);
  Neighbour& now = kernel_.neighbours[key];
  const bool differs =
      now.usable != next.usable || std::memcmp(now.mac, next.mac, sizeof now.mac) != 0;
  now = next;
  if (differs && !dumping_) {
    refresh_hops(key);
    mark_host(key.first);
  }
  if (event.removed) kernel_.neighbours.erase(key);
}

void Mirror::mark_host(const IpAddress& address) {
  if (!all_changed_) changed_.insert(IpPrefix(address, static_cast<unsigned>(address.size()) * 8));
}

void Mirror::refresh_hops(const NeighbourKey& neighbour) {
  for (const bool on_link : {false, true}) {
    const HopKey key{neighbour.second, neighbour.first, on_link};
    if (const auto index = hops_.find(key)) hops_.set(*index, make_hop(key));
  }
}

void Mirror::change_backend(std::uint32_t id, const IpAddress& address) {
  if (id >= routing_.backend_count) return;
  if (const auto old = backends_.find(id); old != backends_.end()) {
    const auto needed = neighbour_of_backend(id, old->second);
    if (needed && !changed_backends_.contains(id)) drop_need(*needed);
    backends_.erase(old);
  }
  changed_backends_.erase(id);
  if (address.size() == 0) {
    routing_.set_backend_next_hop(id, kNoNextHop);
    return;
  }
  backends_.emplace(id, address);
  changed_backends_.insert(id);
}

void Mirror::drop_need(const NeighbourKey& neighbour) {
  const auto at = needed_.find(neighbour);
  if (at == needed_.end() || --at->second > 0) return;
  needed_.erase(at);
  stop_resolving(neighbour);
}

void Mirror::stop_resolving(const NeighbourKey& neighbour) {
  const auto found = kernel_.neighbours.find(neighbour);
  if (found != kernel_.neighbours.end() && (found->second.state & kConfigured) == 0)
    control_.resolve(neighbour, false);
}

const MirrorPort* Mirror::port_of(int link) const {
  const auto found = std::find_if(ports_.begin(), ports_.end(),
                                  [&](const MirrorPort& port) { return port.link == link; });
  return found == ports_.end() ? nullptr : &*found;
}

NextHop Mirror::make_hop(const HopKey& key) const {
  NextHop hop{};
  hop.state = NextHopState::resolve;
  hop.on_link = key.on_link ? 1 : 0;
  const MirrorPort* port = port_of(key.link);
  if (port == nullptr) return hop;
  hop.port = port->port;
  std::memcpy(hop.source_mac, port->mac, sizeof hop.source_mac);
  const auto neighbour = kernel_.neighbours.find({key.address, key.link});
  if (neighbour != kernel_.neighbours.end() && neighbour->second.usable) {
    hop.state = NextHopState::reachable;
    std::memcpy(hop.destination_mac, neighbour->second.mac, sizeof hop.destination_mac);
  }
  return hop;
}

std::optional<NeighbourKey> Mirror::neighbour_of_backend(std::uint32_t id,
                                                         const IpAddress& address) const {
  const NextHopIndex hop = routing_.backend_next_hop(id);
  // The gateways of a group are in use, and so needed anyway.
  return (hop & kMultipath) != 0 ? std::nullopt : neighbour_of(hop, address);
}

void Mirror::update_needed() {
  std::map<NeighbourKey, std::uint32_t> needed;
  for (const auto& [key, index] : hops_.in_use()) {
    if (!key.on_link) ++needed[{key.address, key.link}];
  }
  for (const auto& [id, address] : backends_) {
    if (const auto key = neighbour_of_backend(id, address)) ++needed[*key];
  }
  needed.swap(needed_);
  for (const auto& [key, count] : needed_) {
    if (!needed.contains(key)) ask(key);
  }
  for (const auto& [key, count] : needed) {
    if (!needed_.contains(key)) stop_resolving(key);
  }
}

void Mirror::ask_again() {
  unsigned asked = 0;
  for (const auto& [key, count] : needed_) {
    const auto found = kernel_.neighbours.find(key);
    if (found != kernel_.neighbours.end() && found->second.usable) continue;
    ask(key);
    if (++asked == kAskedAgain) return;
  }
}

void Mirror::ask(const NeighbourKey& neighbour) {
  const auto found = kernel_.neighbours.find(neighbour);
  // The kernel would turn an entry the operator made into one of its own.
  if (found != kernel_.neighbours.end() && (found->second.state & kConfigured) != 0) return;
  control_.resolve(neighbour, needed_.contains(neighbour));
}

std::optional<NextHop> Mirror::reach(const NeighbourKey& neighbour) const {
  const NextHop hop = make_hop({neighbour.second, neighbour.first, true});
  return hop.state == NextHopState::reachable ? std::optional(hop) : std::nullopt;
}

}  // namespace sluice
