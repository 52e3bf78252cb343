// NextHopTable: allocates Routing's next hops and multipath groups. Each is counted by its users;
// one that nobody uses is given again only after a grace period, and until then still tells what it
// was, for packets under way.
//
// Thread: the slow path's. Ownership: borrows Routing, as its one writer of next_hops and
// multipath. Errors: kNoNextHop when the table is full (counted).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "dataplane/forward/routing.h"
#include "dataplane/kernel/grace_queue.h"
#include "proto/address.h"

namespace sluice {

// What a next hop stands for.
struct HopKey {
  int link = 0;       // Kernel's index of the TAP.
  IpAddress address;  // Neighbour; size() 0: the link's prefixes, the neighbour is the destination.
  bool on_link = true;  // False: the neighbour is a router on the way.
  friend auto operator<=>(const HopKey&, const HopKey&) = default;
};

class NextHopTable {
 public:
  // Always there, never counted.
  static constexpr NextHopIndex kLocal = 1;
  static constexpr NextHopIndex kBlackhole = 2;

  NextHopTable(Routing& routing, GraceQueue& grace);

  // Counts one more user. `initial` is written if the key is new.
  NextHopIndex acquire(const HopKey& key, const NextHop& initial);
  // A group of these hops, in this order (repeated by weight); takes over the caller's count of
  // each hop, also when it fails.
  NextHopIndex acquire_group(std::vector<NextHopIndex> hops);
  void release(NextHopIndex index);

  // The index of a key in use.
  std::optional<NextHopIndex> find(const HopKey& key) const;
  // Also of one that was released but may still be named by packets; nullptr: never was one.
  const HopKey* key(NextHopIndex index) const;
  const std::map<HopKey, NextHopIndex>& in_use() const { return by_key_; }

  void set(NextHopIndex index, const NextHop& value) { routing_.set_hop(index, value); }
  NextHop get(NextHopIndex index) const { return routing_.hop(index); }
  std::uint64_t exhausted() const { return exhausted_; }

 private:
  struct Entry {
    HopKey key;
    std::uint32_t users = 0;
    bool known = false;
  };
  struct Group {
    std::vector<NextHopIndex> hops;
    std::uint32_t users = 0;
  };
  void release_group(std::uint32_t number);

  Routing& routing_;
  GraceQueue& grace_;
  std::vector<Entry> entries_;  // Grows up to Routing's count.
  std::vector<Group> groups_;
  std::vector<NextHopIndex> free_entries_;
  std::vector<std::uint32_t> free_groups_;
  std::map<HopKey, NextHopIndex> by_key_;
  std::map<std::vector<NextHopIndex>, std::uint32_t> by_hops_;
  std::uint64_t exhausted_ = 0;
};

}  // namespace sluice
