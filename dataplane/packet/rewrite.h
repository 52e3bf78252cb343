// Rewrites of a parsed packet in place: what NAT changes of layers 3 and 4, MAC addresses, VLAN
// tags.
//
// Requires: the parser accepted the packet, and its headers lie within the bytes given. Thread:
// any.
// Ownership: the packet's bytes are the caller's. Checksums are updated by what changed, so a
//   checksum that was wrong stays wrong and payload corruption is not papered over.
// Sources: RFC 1624, RFC 3022 4.1, RFC 7915 notes on zero UDP checksums.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/family.h"
#include "dataplane/packet/headers.h"

namespace sluice {

template <typename Family>
struct Endpoint {
  typename Family::Address address{};
  Be16 port{};
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

// TTL (IPv4) or hop limit (IPv6).
template <typename Family>
std::uint8_t time_to_live(const std::uint8_t* l3) {
  const auto& ip = *reinterpret_cast<const IpHeader<Family>*>(l3);
  if constexpr (Family::kAddressBytes == 4) {
    return ip.ttl;
  } else {
    return ip.hop_limit;
  }
}

// Source and destination become those given, and the packet is one hop older. `protocol` is TCP,
// UDP, or SCTP, whose ports and checksum are left: see translate_sctp_ports().
template <typename Family>
void translate(std::uint8_t* l3, std::uint8_t* l4, std::uint8_t protocol,
               const Endpoint<Family>& source, const Endpoint<Family>& destination) {
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(l3);
  ChecksumDelta addresses;
  addresses.replace<Family::kAddressBytes>(ip.source, source.address.data());
  addresses.replace<Family::kAddressBytes>(ip.destination, destination.address.data());
  std::memcpy(ip.source, source.address.data(), Family::kAddressBytes);
  std::memcpy(ip.destination, destination.address.data(), Family::kAddressBytes);

  if (protocol != kProtocolSctp) [[likely]] {
    ChecksumDelta transport = addresses;              // The pseudo header has the addresses too.
    auto& ports = *reinterpret_cast<UdpHeader*>(l4);  // Ports lie in the same place in TCP and UDP.
    std::uint32_t before;
    std::memcpy(&before, l4, sizeof(before));
    const std::uint32_t after = source.port.raw | std::uint32_t{destination.port.raw} << 16;
    transport.replace(before, after);
    std::memcpy(l4, &after, sizeof(after));
    if (protocol == kProtocolTcp) {
      auto& tcp = *reinterpret_cast<TcpHeader*>(l4);
      tcp.checksum = transport.apply(tcp.checksum);
    } else {
      ports.checksum = transport.apply_udp(ports.checksum);
    }
  }

  if constexpr (Family::kAddressBytes == 4) {
    --ip.ttl;
    addresses.replace(Be16{1}, Be16{0});  // The low byte of a word, as it lies in memory.
    ip.checksum = addresses.apply(ip.checksum);
  } else {
    --ip.hop_limit;
  }
}

// The same without a transport header, as of a later fragment.
template <typename Family>
void translate_addresses(std::uint8_t* l3, const typename Family::Address& source,
                         const typename Family::Address& destination) {
  // SCTP's checksum does not cover addresses: nothing behind layer 3 is read or written for it.
  translate<Family>(l3, nullptr, kProtocolSctp, {source, {}}, {destination, {}});
}

inline void write_macs(std::uint8_t* frame, const std::uint8_t (&destination)[6],
                       const std::uint8_t (&source)[6]) {
  std::memcpy(frame, destination, 6);
  std::memcpy(frame + 6, source, 6);
}

}  // namespace sluice
