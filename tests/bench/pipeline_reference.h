// The reference: what testpmd's forwarding mode 5tswap does to a packet, on the same packets.
// Parses Ethernet (with VLAN tags), IPv4 or IPv6 and TCP or UDP, and swaps MACs, addresses and
// ports; fills in the header lengths of the mbuf. It checks no length.
// Source: DPDK's testpmd user guide, "5tswap". Thread: any. Ownership: the caller's.
#pragma once

#include <rte_mbuf.h>
#include <rte_prefetch.h>

#include <cstdint>
#include <cstring>

#include "dataplane/packet/headers.h"

namespace sluice::bench {

template <std::size_t kBytes>
inline void swap_bytes(std::uint8_t* a, std::uint8_t* b) {
  std::uint8_t first[kBytes], second[kBytes];
  std::memcpy(first, a, kBytes);
  std::memcpy(second, b, kBytes);
  std::memcpy(a, second, kBytes);
  std::memcpy(b, first, kBytes);
}

template <typename Family>
inline std::uint8_t swap_addresses(std::uint8_t* l3, std::uint32_t& header_bytes) {
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(l3);
  swap_bytes<Family::kAddressBytes>(ip.source, ip.destination);
  if constexpr (Family::kAddressBytes == 4) {
    header_bytes = ip.header_bytes();
    return ip.protocol;
  } else {
    header_bytes = sizeof(Ipv6Header);
    return ip.next_header;
  }
}

inline void swap_five_tuple(rte_mbuf* packet) {
  auto* data = rte_pktmbuf_mtod(packet, std::uint8_t*);
  auto& ethernet = *reinterpret_cast<EthernetHeader*>(data);
  swap_bytes<6>(ethernet.destination, ethernet.source);
  std::uint32_t l2 = sizeof(EthernetHeader), l3 = 0;
  Be16 type = ethernet.type;
  while (type == Be16::from_host(kEtherTypeVlan)) {
    std::memcpy(&type, data + l2 + 2, sizeof type);
    l2 += kVlanTagBytes;
  }
  std::uint8_t protocol;
  packet->l2_len = l2;
  if (type == Be16::from_host(Ipv4::kEtherType)) {
    protocol = swap_addresses<Ipv4>(data + l2, l3);
  } else if (type == Be16::from_host(Ipv6::kEtherType)) {
    protocol = swap_addresses<Ipv6>(data + l2, l3);
  } else {
    return;
  }
  packet->l3_len = l3;
  auto* l4 = data + l2 + l3;
  if (protocol == kProtocolTcp) {
    packet->l4_len = reinterpret_cast<const TcpHeader*>(l4)->header_bytes();
  } else if (protocol == kProtocolUdp) {
    packet->l4_len = sizeof(UdpHeader);
  } else {
    return;
  }
  swap_bytes<2>(l4, l4 + 2);
}

inline void swap_five_tuples(rte_mbuf** packets, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    if (i + 1 < count) rte_prefetch0(rte_pktmbuf_mtod(packets[i + 1], void*));
    swap_five_tuple(packets[i]);
  }
}

}  // namespace sluice::bench
