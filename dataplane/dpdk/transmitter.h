// Transmitter: one worker's way out: packets gather per port and leave as bursts.
//
// Thread: one worker. Ownership: takes packets; those the port or the ring does not take are freed
// and
//   counted as tx-full.
#pragma once

#include <rte_ethdev.h>

#include <cstdint>
#include <vector>

#include "dataplane/dpdk/packet_ring.h"
#include "dataplane/dpdk/ports.h"
#include "dataplane/forward/burst.h"
#include "dataplane/forward/counters.h"

namespace sluice {

class Transmitter {
 public:
  // `rings`: the workers' transmit rings, by number.
  Transmitter(unsigned worker, const Ports& ports,
              const std::vector<std::unique_ptr<PacketRing>>& rings, WorkerCounters& counters);

  // `port`: a DPDK port number; one that is not ours counts as tx-full.
  void add(std::uint16_t port, rte_mbuf* packet) {
    if (port >= ways_.size() || !ways_[port].known) return refuse(&packet, 1);
    Way& way = ways_[port];
    way.waiting[way.count++] = packet;
    if (way.count == Burst::kMax) flush(port, way);
  }
  // Sends what has gathered; once per poll.
  void flush() {
    for (std::uint16_t port = 0; port < ways_.size(); ++port) {
      if (ways_[port].count != 0) flush(port, ways_[port]);
    }
  }

 private:
  struct Way {
    bool known = false;
    std::uint16_t queue = 0;
    PacketRing* ring = nullptr;  // Of the worker that has a queue; nullptr: this one has.
    unsigned count = 0;
    rte_mbuf* waiting[Burst::kMax];
  };
  void flush(std::uint16_t port, Way& way);
  void refuse(rte_mbuf** packets, unsigned count);

  std::vector<Way> ways_;  // By DPDK port number.
  WorkerCounters& counters_;
};

}  // namespace sluice
