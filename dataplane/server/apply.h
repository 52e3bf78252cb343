// From the messages of an Apply transaction to the specs of a StateBuilder. What a message alone
// can tell is checked here (lengths, enums, ranges of a type), everything else by
// StateBuilder::build(). Thread: any. Errors: a sentence that names the object.
#pragma once

#include "dataplane.pb.h"
#include "dataplane/forward/state_builder.h"
#include "proto/result.h"

namespace sluice {

// Adds all changes of `part` to `builder`; on an error the builder must be thrown away. `defaults`:
// for timers a VIP leaves at 0.
Status add_part(StateBuilder& builder, const v1::ApplyPart& part, const FlowTimers& defaults);

// Refused: an address that has not 4 or 16 bytes, a port beyond 65535, an unspecified protocol.
Result<VipId> vip_id_of(const v1::VipKey& key);
v1::VipKey to_message(const VipId& vip);
VipId vip_id_of(const VipBlock& vip);
v1::ForwardingMode to_message(Mode mode);

}  // namespace sluice
