// SlowPathPackets: what the slow path needs of the workers' side: packets in, packets out, grace
// periods. The DPDK runtime implements it over rings; tests implement it over plain memory.
//
// Thread: every function is called by the slow path's thread alone (and by whoever calls
//   SlowPath::stop, after that thread has ended). None may block.
// Ownership: a received packet belongs to the slow path until it gives the handle back, by
// release()
//   or by a transmit() that returned true. Frames given to send() are copied.
// Units: lengths in bytes of layer 2, without FCS. Errors: false, as stated for each.
#pragma once

#include <cstdint>

#include "dataplane/forward/routing.h"

namespace sluice {

struct PuntedPacket {
  void* handle = nullptr;        // The runtime's own (an mbuf).
  std::uint8_t* data = nullptr;  // Ethernet header; writable.
  std::uint32_t length = 0;      // Contiguous bytes at data.
  std::uint16_t port = 0;        // DPDK port it came in by.
  bool resolve = false;  // Verdict resolve: wait for the neighbour of next_hop, then transmit.
  NextHopIndex next_hop = kNoNextHop;  // For resolve: a single next hop, never a multipath group.
};

// Grace periods of the workers (RCU): what was unpublished before grace_start() may be reused or
// freed once grace_passed() says so for the token.
struct Grace {
  virtual ~Grace() = default;
  virtual std::uint64_t grace_start() = 0;
  virtual bool grace_passed(std::uint64_t token) = 0;
};

struct SlowPathPackets : Grace {
  // The next packet for the slow path; false: there is none now.
  virtual bool receive(PuntedPacket& packet) = 0;
  // The packet is done with: dropped, or copied to the kernel.
  virtual void release(void* handle) = 0;
  // A frame made by the kernel leaves by the port; false: it could not be taken and is lost.
  virtual bool send(std::uint16_t port, const std::uint8_t* frame, std::uint32_t length) = 0;
  // A packet that waited for its neighbour leaves by the port, its MACs written; false: it could
  // not be taken, and stays the caller's.
  virtual bool transmit(void* handle, std::uint16_t port) = 0;
};

}  // namespace sluice
