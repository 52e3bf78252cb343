// QUIC: which server a packet with a short header belongs to, by its connection ID. Experimental.
//
// Servers choose connection IDs as QUIC-LB's plaintext algorithm lays them out: one octet
// (configuration and length), the server ID, then whatever the server likes. Here the server ID is
// the backend's IPv4 address, or the last eight bytes of its IPv6 address. So a connection stays at
// its backend when the client's address changes.
// Thread: any, pure. Ownership: reads the caller's bytes.
// Errors: a packet that names no server gives one of zero bytes; so do long headers, whose
// connection
//   IDs the client may have made up.
// Sources: RFC 8999 and 9000 17.3 (short header), draft-ietf-quic-load-balancers 3, 5.2
// (plaintext).
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/packet/family.h"

namespace sluice {

inline constexpr std::uint32_t kQuicServerIdMax = 8;

// The bytes behind the first octet of the connection ID; how many of them are the server ID only
// the backend's family tells.
struct QuicServer {
  std::uint8_t bytes = 0;  // Present: 0, or 4 to 8.
  std::uint8_t id[kQuicServerIdMax] = {};
};

inline std::uint64_t quic_server_key(const std::uint8_t* id, std::uint32_t bytes) {
  std::uint64_t key = 0;
  std::memcpy(&key, id, bytes);
  return key;
}

// What a backend's server ID is, as a key to look it up by; `address` has `address_bytes`, 4 or 16.
inline std::uint64_t quic_server_key_of(const std::uint8_t* address, std::uint32_t address_bytes) {
  return address_bytes == 4 ? quic_server_key(address, 4) : quic_server_key(address + 8, 8);
}

// `payload`: what UDP carries; `bytes`: how much of it is there to be read.
inline QuicServer quic_server(const std::uint8_t* payload, std::uint32_t bytes) {
  constexpr std::uint8_t kLongHeader = 0x80;
  // The octet's upper three bits name a configuration; this one says that the ID names no server.
  constexpr std::uint8_t kUnroutable = 0xe0;
  constexpr std::uint32_t kIdAt = 2;
  QuicServer server;
  if (bytes < kIdAt + 4 || (payload[0] & kLongHeader) != 0) return server;
  if ((payload[1] & kUnroutable) == kUnroutable) return server;
  const std::uint32_t there = bytes - kIdAt;
  server.bytes = static_cast<std::uint8_t>(there < kQuicServerIdMax ? there : kQuicServerIdMax);
  std::memcpy(server.id, payload + kIdAt, server.bytes);
  return server;
}

}  // namespace sluice
