// split_mbuf: a packet that is too long for its way, as fragments in buffers of their own.
//
// Thread: one worker. Ownership: the packet stays the caller's; the fragments are the caller's too,
//   from the packet's own pool, each in one buffer. Bounds: kMostFragments.
// Errors: nothing is made, and a DropReason says why.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "dataplane/forward/drop_reason.h"

namespace sluice {

inline constexpr unsigned kMostFragments = 64;

struct SplitResult {
  unsigned count = 0;
  DropReason reason = DropReason::none;  // When there are none.
};

// `mtu` in bytes of layer 3; `id` for IPv6, see Splitter. `made`: kMostFragments.
SplitResult split_mbuf(const rte_mbuf* packet, std::uint32_t mtu, std::uint32_t id,
                       rte_mbuf** made);

}  // namespace sluice
