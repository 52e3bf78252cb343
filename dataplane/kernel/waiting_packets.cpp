#include "dataplane/kernel/waiting_packets.h"

namespace sluice {

bool WaitingPackets::add(const NeighbourKey& neighbour, const Packet& packet) {
  const auto found = queues_.find(neighbour);
  const std::size_t waiting = found == queues_.end() ? 0 : found->second.packets.size();
  if (waiting >= per_neighbour_ || packets_ >= kMaxPackets) return false;
  if (found == queues_.end() && queues_.size() >= kMaxNeighbours) return false;
  queues_[neighbour].packets.push_back(packet);
  ++packets_;
  return true;
}

bool WaitingPackets::due_to_ask(const NeighbourKey& neighbour, std::int64_t now) {
  const auto found = queues_.find(neighbour);
  if (found == queues_.end() || now - found->second.asked < kAskEvery) return false;
  found->second.asked = now;
  return true;
}

void WaitingPackets::take_reachable(
    const std::function<std::optional<NextHop>(const NeighbourKey&)>& reach,
    const std::function<void(const Packet&, const NextHop&)>& take) {
  for (auto it = queues_.begin(); it != queues_.end();) {
    const auto hop = reach(it->first);
    if (!hop) {
      ++it;
      continue;
    }
    for (const Packet& packet : it->second.packets) take(packet, *hop);
    packets_ -= it->second.packets.size();
    it = queues_.erase(it);
  }
}

void WaitingPackets::expire(std::int64_t now, const std::function<void(const Packet&)>& drop) {
  for (auto it = queues_.begin(); it != queues_.end();) {
    auto& packets = it->second.packets;
    while (!packets.empty() && now - packets.front().since >= kTimeout) {
      drop(packets.front());
      packets.pop_front();
      --packets_;
    }
    it = packets.empty() ? queues_.erase(it) : std::next(it);
  }
}

void WaitingPackets::drain(const std::function<void(const Packet&)>& drop) {
  for (const auto& [neighbour, queue] : queues_) {
    for (const Packet& packet : queue.packets) drop(packet);
  }
  queues_.clear();
  packets_ = 0;
}

}  // namespace sluice
