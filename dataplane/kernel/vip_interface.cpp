#include "dataplane/kernel/vip_interface.h"

#include <net/if.h>
#include <spdlog/spdlog.h>

#include <algorithm>

namespace sluice {

VipInterface::VipInterface(Netlink& netlink, std::string name, std::vector<int> taps,
                           std::vector<IpAddress> pinned)
    : netlink_(netlink),
      name_(std::move(name)),
      taps_(std::move(taps)),
      pinned_(pinned.begin(), pinned.end()),
      wanted_(pinned_) {}

Status VipInterface::open() {
  if (name_.empty() || name_.size() >= IFNAMSIZ) {
    return Error{"dataplane.slowPath.vipInterface: " + name_ + ": a name has 1 to 15 characters"};
  }
  link_ = static_cast<int>(if_nametoindex(name_.c_str()));
  if (link_ == 0) {
    Status made = netlink_.add_link(name_, "dummy");
    if (!made) made = netlink_.add_link(name_, "bridge");
    if (!made) return made;
    link_ = static_cast<int>(if_nametoindex(name_.c_str()));
    spdlog::info("made the interface of the VIPs name={}", name_);
  }
  if (Status up = netlink_.set_link_up(link_); !up) return up;
  proxies_.clear();
  return netlink_.dump_proxies([this](const KernelEvent& event) {
    const auto* neighbour = std::get_if<NeighbourEvent>(&event);
    if (neighbour == nullptr || !neighbour->proxy) return;
    if (neighbour->protocol != Netlink::kProxyProtocol) return;
    if (std::find(taps_.begin(), taps_.end(), neighbour->link) == taps_.end()) return;
    proxies_.emplace(neighbour->link, neighbour->address);
  });
}

void VipInterface::apply(const KernelEvent& event) {
  if (const auto* link = std::get_if<LinkEvent>(&event)) {
    if (!link->removed || link->index != link_) return;
    spdlog::warn("the interface of the VIPs was removed, it is made again name={}", name_);
    link_ = 0;
    held_.clear();
    changed_ = true;
    return;
  }
  const auto* address = std::get_if<AddressEvent>(&event);
  if (address == nullptr || address->link != link_ || address->address.is_link_local()) return;
  if (address->removed) {
    held_.erase(address->address);
  } else {
    held_.insert(address->address);
  }
  changed_ = true;
}

void VipInterface::begin_dump() {
  held_before_dump_ = std::move(held_);
  held_.clear();
}

void VipInterface::end_dump(bool complete) {
  if (!complete) held_ = std::move(held_before_dump_);
  held_before_dump_.clear();
  changed_ = true;
}

void VipInterface::set_served(std::vector<IpAddress> addresses) {
  wanted_ = pinned_;
  for (const IpAddress& address : addresses) {
    if (address.size() != 0) wanted_.insert(address);
  }
  served_known_ = true;
  changed_ = true;
}

void VipInterface::complain(const Status& status) {
  spdlog::warn("VIP not yet as it should be in the kernel, trying again reason=\"{}\"",
               status.error());
}

bool VipInterface::reconcile() {
  if (!changed_) return true;
  if (link_ == 0) {
    if (Status status = open(); !status) {
      complain(status);
      return false;
    }
  }
  const bool addresses = reconcile_addresses();
  const bool proxies = reconcile_proxies();
  changed_ = !(addresses && proxies);
  return !changed_;
}

bool VipInterface::reconcile_addresses() {
  bool done = true;
  for (const IpAddress& address : wanted_) {
    if (held_.contains(address)) continue;
    if (Status status = netlink_.add_host_address(link_, address); !status) {
      complain(status);
      done = false;
    } else {
      held_.insert(address);
    }
  }
  if (!served_known_) return done;
  for (auto it = held_.begin(); it != held_.end();) {
    if (wanted_.contains(*it)) {
      ++it;
      continue;
    }
    if (Status status = netlink_.remove_host_address(link_, *it); !status) {
      complain(status);
      done = false;
      ++it;
    } else {
      it = held_.erase(it);
    }
  }
  return done;
}

bool VipInterface::reconcile_proxies() {
  bool done = true;
  for (const IpAddress& address : wanted_) {
    if (!address.is_v6()) continue;
    for (const int tap : taps_) {
      if (proxies_.contains({tap, address})) continue;
      if (Status status = netlink_.add_proxy(tap, address); !status) {
        complain(status);
        done = false;
      } else {
        proxies_.emplace(tap, address);
      }
    }
  }
  if (!served_known_) return done;
  for (auto it = proxies_.begin(); it != proxies_.end();) {
    if (wanted_.contains(it->second)) {
      ++it;
      continue;
    }
    if (Status status = netlink_.remove_proxy(it->first, it->second); !status) {
      complain(status);
      done = false;
      ++it;
    } else {
      it = proxies_.erase(it);
    }
  }
  return done;
}

}  // namespace sluice
