// The pools gateway.yaml names, as objects. Pure. Thread: any.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "config.pb.h"
#include "control/model/model.h"
#include "store.pb.h"

namespace sluice {

// An AddressPool for each seed of a name that `existing` lacks.
std::vector<v1::Object> missing_pools(std::span<const v1::PoolSeed> seeds,
                                      const std::map<std::string, ObjectPointer>& existing);

}  // namespace sluice
