// What tunnels are made of, whichever way a packet takes through the pipeline: where they start, what
// varies with the flow, and what the outer headers take from the packet.
//
// Thread: any, pure. Ownership: none. Errors: nullptr where there is nothing.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/forward/routing.h"
#include "dataplane/packet/encapsulate.h"

namespace sluice {

// Differs from flow to flow, and tells nothing of the keyed hashes.
template <typename Family>
inline std::uint32_t tunnel_entropy(const typename Family::Address& source, Be16 source_port,
                                    Be16 destination_port) {
  std::uint64_t h = std::uint64_t{source_port.raw} << 16 | destination_port.raw;
  for (std::size_t at = 0; at < Family::kAddressBytes; at += 4) {
    std::uint32_t word;
    std::memcpy(&word, source.data() + at, sizeof(word));
    h = (h << 32 | h >> 32) ^ word;
    h *= 0x9e3779b97f4a7c15u;
    h ^= h >> 32;  // A product's lower bits know nothing of its factors' upper ones.
  }
  h *= 0xff51afd7ed558ccdu;
  return static_cast<std::uint32_t>(h >> 32);
}

// By egress port; nullptr: it has none.
template <typename Outer>
inline const TunnelSource<Outer>* tunnel_source(const TunnelSources* sources, std::uint16_t port) {
  if (sources == nullptr || port >= sources->ports.size()) return nullptr;
  if constexpr (Outer::kAddressBytes == 4) {
    return sources->ports[port].ipv4.present ? &sources->ports[port].ipv4 : nullptr;
  } else {
    return sources->ports[port].ipv6.present ? &sources->ports[port].ipv6 : nullptr;
  }
}

template <typename Outer>
inline typename Outer::Address vary(const TunnelSource<Outer>& source, std::uint32_t entropy) {
  typename Outer::Address address = source.address;
  std::uint32_t low, varies;
  std::memcpy(&low, address.data() + Outer::kAddressBytes - 4, sizeof(low));
  std::memcpy(&varies, source.varies.data() + Outer::kAddressBytes - 4, sizeof(varies));
  low = (low & ~varies) | (entropy & varies);
  std::memcpy(address.data() + Outer::kAddressBytes - 4, &low, sizeof(low));
  return address;
}

// But for its sum.
template <typename Family>
inline InnerPacket inner_packet(const std::uint8_t* l3, std::uint32_t bytes) {
  InnerPacket inner;
  inner.l3_bytes = bytes;
  inner.traffic_class = traffic_class<Family>(l3);
  if constexpr (Family::kAddressBytes == 4) {
    inner.protocol = kProtocolIpv4;
    const Be16 fragment = reinterpret_cast<const Ipv4Header*>(l3)->fragment;
    inner.may_fragment = (fragment.raw & Be16::from_host(kIpv4DontFragment).raw) == 0;
  } else {
    inner.protocol = kProtocolIpv6;
  }
  return inner;
}

}  // namespace sluice
