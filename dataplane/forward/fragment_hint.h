// What the pipeline and its callers tell each other of fragments. A FragmentHint is what a fragment
// itself does not say; it goes with it from the worker that gathers a datagram's fragments to the
// one that owns its flow.
//
// Thread: any, a value. Units: the id in host order, ports in network order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "dataplane/packet/family.h"

namespace sluice {

struct FragmentHint {
  std::uint32_t id = 0;  // To stand in its header where the source changes; IPv4: 16 bits.
  Be16 source_port{}, destination_port{};
  std::uint8_t protocol = 0;
  bool known = false;        // The above holds.
  bool by_software = false;  // This worker gathers by our own choice: the NIC spreads nothing.

  bool empty() const { return !known && !by_software; }
};
static_assert(sizeof(FragmentHint) == 12 && std::is_trivially_copyable_v<FragmentHint>);

struct FragmentLimits {
  std::uint32_t datagrams = 2048;        // Of them a quarter may wait for their first fragment.
  std::uint32_t waiting = 512;           // Fragments, of all datagrams together.
  Ticks first_within = kTicksPerSecond;  // Since the first fragment seen of a datagram.
  Ticks complete_within = 30 * kTicksPerSecond;  // Since its first fragment.
};

// A fragment that need wait no longer.
struct ReleasedFragment {
  void* handle = nullptr;
  FragmentHint hint;
};

}  // namespace sluice
