// Burst: up to 64 packets on their way through one worker, held as a structure of arrays.
// The DPDK side fills the first part from mbufs, the pipeline the rest; tests fill it from plain
// memory.
// Ownership: the packets stay the caller's; nothing here frees one. Thread: one worker.
// Units: lengths in bytes, without FCS.
// A packet may change its place and length: the pipeline takes VLAN tags out, puts tunnel headers
// in
//   front (data[i] moves into the headroom), and turns a refused packet into its answer. Where
//   data[i], length[i] or total_length[i] differ from what the caller filled in, the caller moves,
//   trims or extends its buffer before it sends the packet.
// Errors: a refused packet has verdict drop and a reason; or it was turned into an answer (TCP RST,
//   ICMP unreachable), then its verdict is that of the answer and reason says what was refused.
#pragma once

#include <cstdint>

#include "dataplane/forward/drop_reason.h"
#include "dataplane/forward/fragment_hint.h"
#include "dataplane/forward/routing.h"

namespace sluice {

enum class Verdict : std::uint8_t {
  pending = 0,  // No stage has decided yet.
  transmit,     // On out_port[i]; MACs are written.
  drop,         // reason[i] says why; it is counted.
  punt,         // To the TAP of the port it came in by.
  hand_over,    // To worker out_worker[i], which processes it from the start.
  resolve,  // To the slow path: wait for the neighbour of next_hop[i]; the packet is complete but
            // for its MACs.
  hold,     // A fragment, kept as it is until the pipeline gives its handle back: see pipeline.h.
  split,    // As transmit, in fragments that are no longer than mtu[i].
};

struct Burst {
  static constexpr unsigned kMax = 64;

  // Filled by the caller.
  unsigned count = 0;
  void* handle[kMax];                // The caller's own (an mbuf).
  std::uint8_t* data[kMax];          // Ethernet header.
  std::uint32_t length[kMax];        // Contiguous bytes at data.
  std::uint32_t total_length[kMax];  // Bytes of the whole packet; greater than length when in
                                     // several segments.
  // Where the first segment's buffer begins, at data or before, and its length. All of it before
  // data may be written, and behind data + length where there is no other segment.
  std::uint8_t* buffer[kMax];
  std::uint32_t buffer_bytes[kMax];
  std::uint16_t in_port[kMax];  // DPDK port number.
  bool steered[kMax];           // Already with its owner: handed over, or hashed by the NIC.
  // Bits of the packets that have a hint, which has fragments that were handed over or released.
  // What is handed over takes it along.
  std::uint64_t hinted = 0;
  std::uint32_t milliseconds = 0;  // The real time, modulo 2^32: the clock that backends are shown.

  // Filled by the pipeline.
  Verdict verdict[kMax];
  DropReason reason[kMax];         // For drop.
  std::uint16_t out_port[kMax];    // For transmit.
  std::uint16_t out_worker[kMax];  // For hand_over.
  NextHopIndex next_hop[kMax];     // For transmit and resolve.
  // For split and resolve: bytes of layer 3 that the way lets through; 0: the packet is no longer.
  std::uint32_t mtu[kMax];
  std::uint32_t fragment_id[kMax];  // When mtu is not 0: the id of IPv6 fragments.

  // Bytes that may be written before data[i].
  std::uint32_t headroom(unsigned i) const {
    return static_cast<std::uint32_t>(data[i] - buffer[i]);
  }
  // Bytes that may be written behind data[i] + length[i].
  std::uint32_t tailroom(unsigned i) const {
    if (length[i] != total_length[i]) return 0;
    return buffer_bytes[i] - headroom(i) - length[i];
  }
  FragmentHint hint(unsigned i) const {
    return (hinted >> i & 1) != 0 ? hints_[i] : FragmentHint{};
  }
  void set_hint(unsigned i, const FragmentHint& hint) {
    hints_[i] = hint;
    hinted |= std::uint64_t{1} << i;
  }

 private:
  FragmentHint hints_[kMax];
};

}  // namespace sluice
