// WaitingPackets: packets held until their neighbour's MAC is known. Bounded per neighbour and in
// all. Thread: one. Ownership: holds the handles it was given until they are taken, expired or
// drained. Units: nanoseconds of a steady clock.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>

#include "dataplane/kernel/mirror.h"

namespace sluice {

class WaitingPackets {
 public:
  static constexpr std::int64_t kTimeout = 3'000'000'000;  // As long as the kernel tries.
  static constexpr std::int64_t kAskEvery = 1'000'000'000;
  // A scan of a large on-link prefix must not take the packet buffers, nor fill the kernel's table.
  static constexpr std::size_t kMaxNeighbours = 512;
  static constexpr std::size_t kMaxPackets = 4096;

  struct Packet {
    void* handle;
    std::uint8_t* data;
    std::int64_t since;
  };

  explicit WaitingPackets(std::size_t per_neighbour) : per_neighbour_(per_neighbour) {}

  // False: there is no room, the packet stays the caller's.
  bool add(const NeighbourKey& neighbour, const Packet& packet);
  // Whether the kernel should be asked for the neighbour now; true at most once per kAskEvery.
  bool due_to_ask(const NeighbourKey& neighbour, std::int64_t now);
  // Takes out the packets of each neighbour for which `reach` gives a next hop.
  void take_reachable(const std::function<std::optional<NextHop>(const NeighbourKey&)>& reach,
                      const std::function<void(const Packet&, const NextHop&)>& take);
  // Takes out what has waited too long.
  void expire(std::int64_t now, const std::function<void(const Packet&)>& drop);
  void drain(const std::function<void(const Packet&)>& drop);

  std::size_t size() const { return packets_; }

 private:
  struct Queue {
    std::deque<Packet> packets;
    std::int64_t asked = INT64_MIN / 2;
  };
  std::size_t per_neighbour_;
  std::size_t packets_ = 0;
  std::map<NeighbourKey, Queue> queues_;  // None is empty.
};

}  // namespace sluice
