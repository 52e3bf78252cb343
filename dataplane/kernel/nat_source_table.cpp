#include "dataplane/kernel/nat_source_table.h"

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

NatSourceTable::NatSourceTable(std::vector<IpAddress> configured, std::uint16_t first_port,
                               std::uint16_t last_port)
    : configured_(std::move(configured)), first_port_(first_port), last_port_(last_port) {
  // More would be of no use, and find no number.
  if (configured_.size() > 2 * kMaxPerFamily) configured_.resize(2 * kMaxPerFamily);
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

std::unique_ptr<const NatSources> NatSourceTable::update(const OwnAddresses::Choice& own) {
  static const OwnAddresses::Choice none;
  const OwnAddresses::Choice& chosen = configured_.empty() ? own : none;
  if (!first_ && chosen == published_) return nullptr;
  first_ = false;
  published_ = chosen;
  std::erase_if(numbers_, [&](const auto& entry) {
    const bool in_use = std::any_of(chosen.begin(), chosen.end(), [&](const auto& choice) {
      return choice.second == entry.first;
    });
    return configured_.empty() && !in_use;
  });
  auto sources = std::make_unique<NatSources>();
  sources->first_port = first_port_;
  sources->last_port = last_port_;
  for (const auto& [slot, address] : chosen) {
    add_source(*sources, address, slot.port, number_of(address));
  }
  for (const IpAddress& address : configured_) {
    add_source(*sources, address, kAnyPort, number_of(address));
  }
  return sources;
}

}  // namespace sluice
