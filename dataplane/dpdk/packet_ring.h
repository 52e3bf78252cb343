// PacketRing: mbufs from several threads to one. Enqueuing does not wait for a producer that lost
// its CPU (relaxed tail sync), since threads may share CPUs.
//
// Thread: enqueue any, dequeue one. Ownership: a packet belongs to the ring between the two; what
// is left at destruction is freed. Errors: a full ring takes fewer; the rest stays the caller's.
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <memory>
#include <string>

#include "proto/result.h"

namespace sluice {

class PacketRing {
 public:
  // `size`: a power of two; one less fits in.
  static Result<std::unique_ptr<PacketRing>> create(const std::string& name, unsigned size,
                                                    int socket);
  ~PacketRing();
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;

  unsigned enqueue(rte_mbuf* const* packets, unsigned count) {
    return rte_ring_enqueue_burst(ring_, reinterpret_cast<void* const*>(packets), count, nullptr);
  }
  unsigned dequeue(rte_mbuf** packets, unsigned count) {
    return rte_ring_sc_dequeue_burst(ring_, reinterpret_cast<void**>(packets), count, nullptr);
  }
  bool empty() const { return rte_ring_empty(ring_) != 0; }

 private:
  explicit PacketRing(rte_ring* ring) : ring_(ring) {}
  rte_ring* ring_;
};

}  // namespace sluice
