#include "dataplane/dpdk/split_mbuf.h"

#include <algorithm>
#include <cstring>

#include "dataplane/packet/split.h"

namespace sluice {
namespace {

// nullptr: there is no buffer.
template <typename Family>
rte_mbuf* next_fragment(const rte_mbuf* packet, Splitter<Family>& splitter, bool& over) {
  std::uint8_t headers[kMostFragmentHeaders];
  FragmentPiece piece;
  over = !splitter.next(headers, piece);
  if (over) return nullptr;
  rte_mbuf* fragment = rte_pktmbuf_alloc(packet->pool);
  if (fragment == nullptr) return nullptr;
  const std::uint32_t payload = piece.end - piece.begin;
  // It fits: the MTU was bounded by the buffers.
  auto* to = reinterpret_cast<std::uint8_t*>(
      rte_pktmbuf_append(fragment, static_cast<std::uint16_t>(piece.header_bytes + payload)));
  std::memcpy(to, headers, piece.header_bytes);
  to += piece.header_bytes;
  const void* from = rte_pktmbuf_read(packet, piece.begin, payload, to);
  if (from != to) std::memcpy(to, from, payload);
  fragment->port = packet->port;
  return fragment;
}

template <typename Family>
SplitResult split(const rte_mbuf* packet, std::uint32_t mtu, std::uint32_t id, rte_mbuf** made) {
  const std::uint32_t room = rte_pktmbuf_data_room_size(packet->pool) - RTE_PKTMBUF_HEADROOM;
  mtu = std::min(mtu, room - static_cast<std::uint32_t>(sizeof(EthernetHeader)));
  Splitter<Family> splitter(rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len,
                            packet->pkt_len, mtu, id);
  SplitResult result;
  result.reason = DropReason::too_big;
  bool over = !splitter.ok();
  while (!over) {
    rte_mbuf* fragment = next_fragment(packet, splitter, over);
    if (over) return {result.count, DropReason::none};
    if (fragment == nullptr) result.reason = DropReason::fragment_no_buffer;
    if (fragment == nullptr || result.count == kMostFragments) {
      if (fragment != nullptr) rte_pktmbuf_free(fragment);
      break;
    }
    made[result.count++] = fragment;
  }
  if (result.count != 0) rte_pktmbuf_free_bulk(made, result.count);
  return {0, result.reason};
}

}  // namespace

SplitResult split_mbuf(const rte_mbuf* packet, std::uint32_t mtu, std::uint32_t id,
                       rte_mbuf** made) {
  if (packet->data_len < sizeof(EthernetHeader)) return {0, DropReason::too_big};
  const auto& ethernet = *rte_pktmbuf_mtod(packet, const EthernetHeader*);
  return ethernet.type == Be16::from_host(Ipv4::kEtherType) ? split<Ipv4>(packet, mtu, id, made)
                                                            : split<Ipv6>(packet, mtu, id, made);
}

}  // namespace sluice
