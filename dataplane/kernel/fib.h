// make_fib: longest-prefix match for a number of routes: PlainFib for small tables (kilobytes),
// rte_fib (DIR24_8, 64 MiB and 1 KiB for each group of prefixes longer than 24 bits) or rte_fib6
// (TRIE, 64 MiB and 1 KiB for each group of eight bits beyond 24) for large ones. Next hops of four
// bytes.
//
// Thread: as Fib: one writer, any number of readers. In rte_fib a reader that stands still between
// its
//   two loads while the writer frees and reuses a group may send one packet by another route of the
//   table: DPDK 22.11 has no RCU for it, and a packet in flight during a route change may go either
//   way.
// Ownership: the caller's. EAL must be running when a large one is made, and until it is destroyed.
// Errors: memory that EAL cannot give, with how much is needed.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "dataplane/forward/routing.h"
#include "proto/result.h"

namespace sluice {

// Up to so many routes and neighbours the sorted ranges stay in the caches, and changes take
// microseconds to a few milliseconds to publish.
inline constexpr std::uint32_t kPlainFibRoutes = 8192;

// `name` is unique in the process, at most 20 characters; `routes` at most, neighbours included.
template <typename Family>
Result<std::unique_ptr<Fib<Family>>> make_fib(const std::string& name, std::uint32_t routes,
                                              int socket);

extern template Result<std::unique_ptr<Fib<Ipv4>>> make_fib<Ipv4>(const std::string&, std::uint32_t,
                                                                  int);
extern template Result<std::unique_ptr<Fib<Ipv6>>> make_fib<Ipv6>(const std::string&, std::uint32_t,
                                                                  int);

}  // namespace sluice
