// The Maglev tables of a VIP: the one every gateway builds, and the one in use here, in which the
// members that this gateway's health checks fail are replaced. Thread: any, pure. Ownership: the
// block's.
#pragma once

#include "dataplane/forward/state.h"

namespace sluice {

// Sets table, slots, maglev and any_masked from block.members and block.maglev_size. The table of
// `old` (the VIP as it was, or nullptr) is taken over unless active members or size differ; true:
// one had to be built. `state` knows the names of the members; the size is a prime where there are
// active ones.
bool set_maglev(VipBlock& block, const VipBlock* old, const ForwardingState& state);

}  // namespace sluice
