// Pools on the command line, with what the ledger says of them. Errors: as the commands they serve.
#pragma once

#include <string>
#include <vector>

#include "control/cli/context.h"
#include "control/store/objects.h"
#include "control/store/redis.h"

namespace sluice {

// `sluice describe pool NAME`.
int describe_pool_command(Context& context, const std::string& name);

// Fills the status of the pools among them, for -o json and yaml.
Status add_pool_status(Context& context, store::Redis& redis,
                       const std::vector<v1::AddressPool*>& pools);

// Warns of overlaps and of holders left outside, before these objects are written.
Status warn_of_pools(Context& context, store::Redis& redis, const std::vector<v1::Object>& applied);

}  // namespace sluice
