// Exchange: what the workers of one process share: what to forward by, rings between threads, grace
// periods, and when to stop. Nothing here is written by two threads without being made for it.
//
// Thread: made on the main thread before workers start; afterwards as each member says.
// Ownership: the Exchange must outlive workers, server and slow path.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/dpdk/clock.h"
#include "dataplane/dpdk/packet_ring.h"
#include "dataplane/dpdk/rate_limit.h"
#include "dataplane/dpdk/rcu.h"
#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"

namespace sluice {

enum class Idle : std::uint8_t { spin, back_off, power };

struct Exchange {
  Exchange(std::uint64_t hz, std::uint32_t slow_path_per_second)
      : slow_path_rate(hz, slow_path_per_second) {}

  // Published by the server's thread; a worker takes it up once per poll and drops it before it
  // reports itself quiescent.
  std::atomic<const ForwardingState*> state{nullptr};
  const Routing* routing = nullptr;  // Written in place by the slow path, see routing.h.
  std::unique_ptr<Rcu> rcu;          // Readers are the workers, by number.
  Clock clock;

  // By worker: packets it owns the flow of, to be processed from the start (mbuf.port: came in by).
  std::vector<std::unique_ptr<PacketRing>> hand_over;
  // By worker: finished packets it is to send (mbuf.port: goes out by): the slow path's, and those
  // of workers without a transmit queue of their own.
  std::vector<std::unique_ptr<PacketRing>> transmit;
  // To the slow path: for the kernel, of these the protocols that keep the network up apart, so
  // that nothing crowds them out; and packets that wait for their neighbour (mbuf.hash.usr: the
  // next hop).
  std::unique_ptr<PacketRing> punt_control, punt, resolve;
  // Of punt alone.
  RateLimit slow_path_rate;

  std::atomic<bool> stop{false};
  std::atomic<Idle> idle{Idle::back_off};
};

}  // namespace sluice
