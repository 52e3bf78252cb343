// What must hold of an object beyond its fields' types, so that the rest of the program can rely on
// it. Not the API server's validation over again: what a real server let pass stays.
// Thread: any, pure. Errors: in Decoded, as api_json.h says.
#pragma once

#include "control/kubernetes/api_json.h"

namespace sluice::kube {

// Sets `error` if there is none yet; leaves out bad addresses, each a problem.
void check_object(v1::Kind kind, Decoded* decoded);

}  // namespace sluice::kube
