#include "control/daemon/pool_seeds.h"

#include "control/cli/creation.h"
#include "control/manifest/validate.h"

namespace sluice {

std::vector<v1::Object> missing_pools(std::span<const v1::PoolSeed> seeds,
                                      const std::map<std::string, ObjectPointer>& existing) {
  std::vector<v1::Object> missing;
  for (const v1::PoolSeed& seed : seeds) {
    if (existing.contains(seed.name())) continue;
    v1::Object object;
    v1::AddressPool* pool = object.mutable_address_pool();
    pool->mutable_metadata()->set_name(seed.name());
    set_created(pool->mutable_metadata(), std::chrono::system_clock::now());
    *pool->mutable_spec()->mutable_addresses() = seed.addresses();
    set_defaults(&object);
    missing.push_back(std::move(object));
  }
  return missing;
}

}  // namespace sluice
