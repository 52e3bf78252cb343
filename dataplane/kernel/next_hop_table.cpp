#include "dataplane/kernel/next_hop_table.h"

#include <utility>

namespace sluice {

NextHopTable::NextHopTable(Routing& routing, GraceQueue& grace) : routing_(routing), grace_(grace) {
  entries_.resize(kBlackhole + 1);
  NextHop fixed{};
  fixed.state = NextHopState::local;
  routing_.set_hop(kLocal, fixed);
  fixed.state = NextHopState::blackhole;
  routing_.set_hop(kBlackhole, fixed);
}

NextHopIndex NextHopTable::acquire(const HopKey& key, const NextHop& initial) {
  if (const auto found = by_key_.find(key); found != by_key_.end()) {
    ++entries_[found->second].users;
    return found->second;
  }
  NextHopIndex index;
  if (!free_entries_.empty()) {
    index = free_entries_.back();
    free_entries_.pop_back();
  } else if (entries_.size() < routing_.next_hop_count) {
    index = static_cast<NextHopIndex>(entries_.size());
    entries_.emplace_back();
  } else {
    ++exhausted_;
    return kNoNextHop;
  }
  entries_[index] = {key, 1, true};
  by_key_.emplace(key, index);
  routing_.set_hop(index, initial);
  return index;
}

NextHopIndex NextHopTable::acquire_group(std::vector<NextHopIndex> hops) {
  if (const auto found = by_hops_.find(hops); found != by_hops_.end()) {
    for (NextHopIndex hop : hops) release(hop);  // The group has its own count of them.
    ++groups_[found->second].users;
    return kMultipath | found->second;
  }
  std::uint32_t number;
  if (!free_groups_.empty()) {
    number = free_groups_.back();
    free_groups_.pop_back();
  } else if (groups_.size() < routing_.multipath_count) {
    number = static_cast<std::uint32_t>(groups_.size());
    groups_.emplace_back();
  } else {
    ++exhausted_;
    for (NextHopIndex hop : hops) release(hop);
    return kNoNextHop;
  }
  MultipathGroup& group = routing_.multipath[number];
  group.count = 0;
  for (NextHopIndex hop : hops) {
    if (group.count < MultipathGroup::kMax) group.hops[group.count++] = hop;
  }
  groups_[number] = {hops, 1};
  by_hops_.emplace(std::move(hops), number);
  return kMultipath | number;
}

void NextHopTable::release(NextHopIndex index) {
  if (index <= kBlackhole) return;
  if ((index & kMultipath) != 0) return release_group(index & (kMultipath - 1));
  Entry& entry = entries_[index];
  if (--entry.users != 0) return;
  by_key_.erase(entry.key);
  grace_.retire([this, index] {
    entries_[index].known = false;
    routing_.set_hop(index, NextHop{});
    free_entries_.push_back(index);
  });
}

void NextHopTable::release_group(std::uint32_t number) {
  Group& group = groups_[number];
  if (--group.users != 0) return;
  by_hops_.erase(group.hops);
  // Its hops outlive it: a reader of the group may be about to read them.
  grace_.retire([this, number] {
    const std::vector<NextHopIndex> hops = std::move(groups_[number].hops);
    groups_[number].hops.clear();
    free_groups_.push_back(number);
    for (NextHopIndex hop : hops) release(hop);
  });
}

std::optional<NextHopIndex> NextHopTable::find(const HopKey& key) const {
  const auto found = by_key_.find(key);
  return found == by_key_.end() ? std::nullopt : std::optional(found->second);
}

const HopKey* NextHopTable::key(NextHopIndex index) const {
  return index < entries_.size() && entries_[index].known ? &entries_[index].key : nullptr;
}

}  // namespace sluice
