// `sluice get -w`: the list, then a line (or an object) for every change, until interrupted.
// Follows the stream of changes, and asks for the Services' statuses once a second, since these are
// not in it. A Redis that does not answer is waited for; after a gap the list is read again.
#pragma once

#include "control/cli/context.h"
#include "control/cli/get.h"

namespace sluice {

int watch_objects(Context& context, const ResourceNames& wanted, const GetOptions& options);

}  // namespace sluice
