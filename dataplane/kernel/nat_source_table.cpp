#include "dataplane/kernel/nat_source_table.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>

namespace sluice {
namespace {

constexpr std::uint16_t kAnyPort = 0xffff;

template <typename Family>
void add_source(std::vector<NatSource<Family>>& sources, const IpAddress& address,
                std::uint16_t port, std::uint32_t number) {
  if (sources.size() == NatSourceTable::kMaxPerFamily) return;
  NatSource<Family>& source = sources.emplace_back();
  std::memcpy(source.address.data(), address.data(), source.address.size());
  source.port_id = port;
  source.number = number;
}

void add_source(NatSources& sources, const IpAddress& address, std::uint16_t port,
                std::uint32_t number) {
  if (address.is_v4()) {
    add_source(sources.ipv4, address, port, number);
  } else {
    add_source(sources.ipv6, address, port, number);
  }
}

}  // namespace

NatSourceTable::NatSourceTable(std::span<const MirrorPort> ports, std::vector<IpAddress> configured,
                               std::uint16_t first_port, std::uint16_t last_port)
    : ports_(ports.begin(), ports.end()),
      configured_(std::move(configured)),
      first_port_(first_port),
      last_port_(last_port) {
  // More would be of no use, and find no number.
  if (configured_.size() > 2 * kMaxPerFamily) configured_.resize(2 * kMaxPerFamily);
}

void NatSourceTable::apply(const KernelEvent& event) {
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

void NatSourceTable::begin_dump() {
  for (Own& own : own_) own.told = false;
}

void NatSourceTable::end_dump(bool complete) {
  if (complete) std::erase_if(own_, [](const Own& own) { return !own.told; });
}

void NatSourceTable::set_served(const std::vector<IpAddress>& addresses) {
  served_ = {addresses.begin(), addresses.end()};
}

bool NatSourceTable::usable(const AddressEvent& own) const {
  constexpr std::uint32_t kNotYetOrNotLong = IFA_F_TENTATIVE | IFA_F_DADFAILED | IFA_F_DEPRECATED;
  if (own.scope != RT_SCOPE_UNIVERSE || own.address.is_link_local()) return false;
  // For IPv6, bit 0 says temporary (a privacy address); for IPv4, secondary.
  const bool temporary = own.address.is_v6() && (own.flags & IFA_F_TEMPORARY) != 0;
  return !temporary && (own.flags & kNotYetOrNotLong) == 0 && !served_.contains(own.address);
}

void NatSourceTable::choose(const MirrorPort& port, bool v4) {
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

std::uint32_t NatSourceTable::number_of(const IpAddress& address) {
  const auto known = numbers_.find(address);
  if (known != numbers_.end()) return known->second;
  const auto taken = [&](std::uint32_t number) {
    return std::any_of(numbers_.begin(), numbers_.end(),
                       [&](const auto& entry) { return entry.second == number; });
  };
  while (taken(next_number_)) next_number_ = (next_number_ + 1) % kNumbers;  // At most 128 are.
  const std::uint32_t number = next_number_;
  next_number_ = (next_number_ + 1) % kNumbers;
  numbers_[address] = number;
  return number;
}

std::unique_ptr<const NatSources> NatSourceTable::update() {
  if (configured_.empty()) {
    for (const MirrorPort& port : ports_) {
      choose(port, true);
      choose(port, false);
    }
  }
  if (!first_ && chosen_ == published_) return nullptr;
  first_ = false;
  published_ = chosen_;
  std::erase_if(numbers_, [&](const auto& entry) {
    const bool chosen = std::any_of(chosen_.begin(), chosen_.end(), [&](const auto& choice) {
      return choice.second == entry.first;
    });
    return configured_.empty() && !chosen;
  });
  auto sources = std::make_unique<NatSources>();
  sources->first_port = first_port_;
  sources->last_port = last_port_;
  for (const auto& [slot, address] : chosen_) {
    add_source(*sources, address, slot.port, number_of(address));
  }
  for (const IpAddress& address : configured_) {
    add_source(*sources, address, kAnyPort, number_of(address));
  }
  return sources;
}

}  // namespace sluice
