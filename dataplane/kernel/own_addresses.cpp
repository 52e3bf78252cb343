#include "dataplane/kernel/own_addresses.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <algorithm>

namespace sluice {

OwnAddresses::OwnAddresses(std::span<const MirrorPort> ports)
    : ports_(ports.begin(), ports.end()) {}

void OwnAddresses::apply(const KernelEvent& event) {
  const auto* address = std::get_if<AddressEvent>(&event);
  if (address == nullptr) return;
  const auto known = std::find_if(own_.begin(), own_.end(), [&](const Own& own) {
    return own.address.link == address->link && own.address.address == address->address;
  });
  if (address->removed) {
    if (known != own_.end()) own_.erase(known);
  } else if (known != own_.end()) {
    *known = {*address, true};
  } else {
    own_.push_back({*address, true});
  }
}

void OwnAddresses::begin_dump() {
  for (Own& own : own_) own.told = false;
}

void OwnAddresses::end_dump(bool complete) {
  if (complete) std::erase_if(own_, [](const Own& own) { return !own.told; });
}

void OwnAddresses::set_served(const std::vector<IpAddress>& addresses) {
  served_ = {addresses.begin(), addresses.end()};
}

bool OwnAddresses::usable(const AddressEvent& own) const {
  constexpr std::uint32_t kNotYetOrNotLong = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  if (own.scope != RT_SCOPE_UNIVERSE || own.address.is_link_local()) return false;
  // For IPv6, bit 0 says temporary (a privacy address); for IPv4, secondary.
  const bool temporary = own.address.is_v6() && (own.flags & IFA_F_TEMPORARY) != 0;
  return !temporary && (own.flags & kNotYetOrNotLong) == 0 && !served_.contains(own.address);
}

void OwnAddresses::choose(const MirrorPort& port, bool v4) {
  const Slot slot{port.port, v4};
  const auto present = chosen_.find(slot);
  const Own* first = nullptr;
  for (const Own& own : own_) {
    if (own.address.link != port.link || own.address.address.is_v4() != v4) continue;
    // Also when it has become deprecated meanwhile: flows hang on it.
    if (present != chosen_.end() && own.address.address == present->second &&
        !served_.contains(present->second)) {
      return;
    }
    if (first == nullptr && usable(own.address)) first = &own;
  }
  if (present != chosen_.end()) chosen_.erase(present);
  if (first != nullptr) chosen_[slot] = first->address.address;
}

const OwnAddresses::Choice& OwnAddresses::choose() {
  for (const MirrorPort& port : ports_) {
    choose(port, true);
    choose(port, false);
  }
  return chosen_;
}

}  // namespace sluice
