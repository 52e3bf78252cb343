// The PROXY protocol header, version 2, as it stands before a connection's first byte.
//
// Thread: any, pure. Ownership: writes kProxyHeaderBytes<Family> bytes. No errors.
// Source: the PROXY protocol specification of HAProxy, section 2.2 (binary header): 12 bytes of
//   signature, version and command (PROXY), family and transport (STREAM), length of the rest,
//   source and destination address, source and destination port.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/rewrite.h"

namespace sluice {

template <typename Family>
inline constexpr std::uint32_t kProxyHeaderBytes = 16 + 2 * (Family::kAddressBytes + 2);
inline constexpr std::uint32_t kMaxProxyHeaderBytes = kProxyHeaderBytes<Ipv6>;
static_assert(kProxyHeaderBytes<Ipv4> == 28 && kProxyHeaderBytes<Ipv6> == 52);

template <typename Family>
void write_proxy_header(std::uint8_t* out, const Endpoint<Family>& client,
                        const Endpoint<Family>& vip) {
  constexpr std::uint8_t kSignature[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                           '\n', 'Q',  'U',  'I',  'T', '\n'};
  constexpr std::uint8_t kVersionAndCommand = 0x21;
  constexpr std::uint8_t kStream = Family::kAddressBytes == 4 ? 0x11 : 0x21;
  constexpr std::uint16_t kRest = kProxyHeaderBytes<Family> - 16;
  std::memcpy(out, kSignature, sizeof(kSignature));
  out[12] = kVersionAndCommand;
  out[13] = kStream;
  out[14] = 0;
  out[15] = kRest;
  out += 16;
  std::memcpy(out, client.address.data(), Family::kAddressBytes);
  std::memcpy(out + Family::kAddressBytes, vip.address.data(), Family::kAddressBytes);
  out += 2 * Family::kAddressBytes;
  std::memcpy(out, &client.port, 2);
  std::memcpy(out + 2, &vip.port, 2);
}

}  // namespace sluice
