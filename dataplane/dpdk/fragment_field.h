// The hint of a fragment, carried by its mbuf from worker to worker: a dynamic field and flag of
// DPDK's.
//
// Thread: register_fragment_field() on the main thread after EAL, before any worker; the others
// any,
//   on an mbuf that is the caller's. Without registration there is never a hint.
#pragma once

#include <rte_mbuf.h>
#include <rte_mbuf_dyn.h>

#include <cstdint>

#include "dataplane/forward/fragment_hint.h"
#include "proto/result.h"

namespace sluice {

namespace fragment_field {
inline int offset = -1;
inline std::uint64_t flag = 0;
}  // namespace fragment_field

// Errors: no room is left in the mbuf.
Status register_fragment_field();

inline void put_fragment_hint(rte_mbuf* packet, const FragmentHint& hint) {
  if (fragment_field::flag == 0) return;
  *RTE_MBUF_DYNFIELD(packet, fragment_field::offset, FragmentHint*) = hint;
  packet->ol_flags |= fragment_field::flag;
}

inline bool has_fragment_hint(const rte_mbuf* packet) {
  return (packet->ol_flags & fragment_field::flag) != 0;
}
// One that was put; it is gone from the mbuf then.
inline FragmentHint take_fragment_hint(rte_mbuf* packet) {
  packet->ol_flags &= ~fragment_field::flag;
  return *RTE_MBUF_DYNFIELD(packet, fragment_field::offset, FragmentHint*);
}

}  // namespace sluice
