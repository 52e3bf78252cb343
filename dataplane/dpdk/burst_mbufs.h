// How packets stand in a Burst as mbufs: from the mbuf into the burst before the pipeline, and back
// after it. Used by the worker, and by whatever else runs a pipeline on mbufs.
//
// Thread: one worker. Ownership: the mbufs stay the caller's. The caller keeps count below
// Burst::kMax, and begins with clear_burst().
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <cstring>

#include "dataplane/dpdk/fragment_field.h"
#include "dataplane/forward/burst.h"

namespace sluice {

inline void clear_burst(Burst& burst, bool steered) {
  burst.count = 0;
  burst.hinted = 0;
  std::memset(burst.steered, steered ? 1 : 0, sizeof(burst.steered));
}

inline void add_to_burst(Burst& burst, rte_mbuf* packet) {
  const unsigned i = burst.count++;
  auto* buffer = static_cast<std::uint8_t*>(packet->buf_addr);
  burst.handle[i] = packet;
  burst.data[i] = buffer + packet->data_off;
  burst.buffer[i] = buffer;
  burst.buffer_bytes[i] = packet->buf_len;
  burst.length[i] = packet->data_len;
  burst.total_length[i] = packet->pkt_len;
  burst.in_port[i] = packet->port;
  if (has_fragment_hint(packet)) [[unlikely]]
    burst.set_hint(i, take_fragment_hint(packet));
}

// The pipeline may have taken a tag off, put a tunnel's headers in front, or made a packet into its
// answer: then place or length differ.
inline rte_mbuf* take_from_burst(const Burst& burst, unsigned i) {
  auto* packet = static_cast<rte_mbuf*>(burst.handle[i]);
  const std::uint32_t length = burst.length[i], total_length = burst.total_length[i];
  const auto moved = burst.data[i] - rte_pktmbuf_mtod(packet, std::uint8_t*);
  if (moved == 0 && packet->pkt_len == total_length) [[likely]]
    return packet;
  if (packet->nb_segs > 1 && length == total_length) {  // An answer, in the first buffer.
    rte_pktmbuf_free(packet->next);
    packet->next = nullptr;
    packet->nb_segs = 1;
  }
  packet->data_off = static_cast<std::uint16_t>(packet->data_off + moved);
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = total_length;
  return packet;
}

}  // namespace sluice
