#include "dataplane/dpdk/packet_ring.h"

#include <rte_errno.h>

namespace sluice {

Result<std::unique_ptr<PacketRing>> PacketRing::create(const std::string& name, unsigned size,
                                                       int socket) {
  rte_ring* ring = rte_ring_create(name.c_str(), size, socket, RING_F_MP_RTS_ENQ | RING_F_SC_DEQ);
  if (ring == nullptr)
    return Error{"no memory for the ring " + name + ": " + rte_strerror(rte_errno)};
  return std::unique_ptr<PacketRing>(new PacketRing(ring));
}

PacketRing::~PacketRing() {
  rte_mbuf* packets[32];
  for (unsigned count; (count = dequeue(packets, 32)) != 0;) rte_pktmbuf_free_bulk(packets, count);
  rte_ring_free(ring_);
}

}  // namespace sluice
