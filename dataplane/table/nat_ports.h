// Which ports of a NAT source a worker may use towards a backend: those whose replies RSS gives
// back to the worker. Toeplitz is linear, so the reply's hash is one fixed word for (backend, NAT
// source) XOR one word for the port, and each address's ports fall apart among the workers, per
// backend, with no lock.
//
// Whether a port is in use is the caller's to know (the reverse entry in its connection table).
// Thread: immutable; any thread. No division, no allocation, a bounded number of steps.
// Units: ports in host order. Errors: 0 when no port was found.
#pragma once

#include <cstdint>

#include "dataplane/packet/family.h"
#include "dataplane/table/steering.h"

namespace sluice {

struct PortRange {
  std::uint16_t first = 1, last = 65535;  // Inclusive; first is at least 1 and at most last.
};

// The part of a reply's hash that does not depend on the NAT port.
template <typename Family>
std::uint32_t nat_reply_hash(const Toeplitz& toeplitz, const typename Family::Address& backend,
                             Be16 backend_port, const typename Family::Address& nat_source) {
  return toeplitz.source<Family>(backend) ^ toeplitz.source_port<Family>(backend_port) ^
         toeplitz.destination<Family>(nat_source);
}

// Ports tried by one call at most. With W workers and a RETA that is dealt evenly W are expected;
// only a key that maps whole runs of ports to one RETA entry comes near the bound.
inline constexpr unsigned kNatPortTries = 1024;

// The first port from `cursor` on (wrapping from last to first; a cursor outside of the range
// starts at first) whose replies fall to `worker`; 0 when none of `tries` ports does. Each port is
// tried once.
template <typename Family>
std::uint16_t next_nat_port(const Steering& steering, std::uint16_t worker,
                            std::uint32_t reply_hash, PortRange range, std::uint16_t cursor,
                            unsigned tries = kNatPortTries) {
  const unsigned ports = range.last - range.first + 1u;
  if (tries > ports) tries = ports;
  unsigned port = cursor >= range.first && cursor <= range.last ? cursor : range.first;
  for (; tries > 0; --tries) {
    const Be16 candidate = Be16::from_host(static_cast<std::uint16_t>(port));
    const std::uint32_t hash = reply_hash ^ steering.toeplitz().destination_port<Family>(candidate);
    if (steering.owner(hash) == worker) return static_cast<std::uint16_t>(port);
    port = port == range.last ? range.first : port + 1;
  }
  return 0;
}

}  // namespace sluice
