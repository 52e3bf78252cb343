#include "dataplane/dpdk/transmitter.h"

namespace sluice {

Transmitter::Transmitter(unsigned worker, const Ports& ports,
                         const std::vector<std::unique_ptr<PacketRing>>& rings,
                         WorkerCounters& counters)
    : ways_(ports.id_limit()), counters_(counters) {
  for (const Port& port : ports.all()) {
    Way& way = ways_[port.id];
    way.known = true;
    way.queue = static_cast<std::uint16_t>(worker);
    if (worker >= port.tx_queues) way.ring = rings[worker % port.tx_queues].get();
  }
}

void Transmitter::flush(std::uint16_t port, Way& way) {
  unsigned sent;
  if (way.ring == nullptr) {
    sent = rte_eth_tx_burst(port, way.queue, way.waiting, static_cast<std::uint16_t>(way.count));
    counters_.transmitted.add(sent);
  } else {
    // The worker at the other end counts them as transmitted.
    for (unsigned i = 0; i < way.count; ++i) way.waiting[i]->port = port;
    sent = way.ring->enqueue(way.waiting, way.count);
  }
  if (sent < way.count) refuse(way.waiting + sent, way.count - sent);
  way.count = 0;
}

void Transmitter::refuse(rte_mbuf** packets, unsigned count) {
  counters_.drops[static_cast<unsigned>(DropReason::tx_full)].add(count);
  rte_pktmbuf_free_bulk(packets, count);
}

}  // namespace sluice
