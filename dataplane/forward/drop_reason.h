// Every reason a packet is refused for, once: name (of the counter) and help (what it means, what to do).
// Thread: any. H2 owns this list; names are lower-case with dashes and never change meaning.
#pragma once

#include <cstdint>

namespace sluice {

#define SLUICE_DROP_REASONS(X)                                                                       \
  X(none, "none", "not dropped")                                                                     \
  X(no_route, "no-route", "the kernel has no route to the destination; see `ip route get`")

enum class DropReason : std::uint8_t {
#define X(id, name, help) id,
  SLUICE_DROP_REASONS(X)
#undef X
      count
};

const char* name(DropReason reason);
const char* help(DropReason reason);

}  // namespace sluice
