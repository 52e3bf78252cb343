#include "control/cli/pool_commands.h"

#include <iostream>

#include "control/cli/pool_usage.h"
#include "control/store/ledger.h"

namespace sluice {
namespace {

Result<Ledger> read_ledger(Context& context, store::Redis& redis) {
  store::Ledger ledger(redis);
  if (Status s = context.run(ledger.refresh()); !s) return Error{s.error()};
  return ledger.records();
}

Result<store::Listing> read_pools(Context& context, store::Redis& redis) {
  auto listing = context.run(store::list_objects(redis, kManualSource, v1::KIND_ADDRESS_POOL));
  if (!listing) return listing;
  for (const store::Problem& problem : listing->problems) warn(problem.key + ": " + problem.text);
  return listing;
}

std::vector<const v1::AddressPool*> pools_of(const store::Listing& listing) {
  std::vector<const v1::AddressPool*> pools;
  for (const store::StoredObject& stored : listing.objects) {
    pools.push_back(&stored.object.address_pool());
  }
  return pools;
}

}  // namespace

int describe_pool_command(Context& context, const std::string& name) {
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  const auto listing = read_pools(context, **redis);
  if (!listing) return fail(listing.error());
  const std::vector<const v1::AddressPool*> pools = pools_of(*listing);
  for (const v1::AddressPool* pool : pools) {
    if (pool->metadata().name() != name) continue;
    const auto ledger = read_ledger(context, **redis);
    if (!ledger) return fail(ledger.error());
    std::cout << describe_pool(*pool, pools, *ledger, std::chrono::system_clock::now());
    return kExitOk;
  }
  return fail("addresspool.sluice.dev \"" + name + "\" not found");
}

Status add_pool_status(Context& context, store::Redis& redis,
                       const std::vector<v1::AddressPool*>& pools) {
  if (pools.empty()) return Ok{};
  const auto ledger = read_ledger(context, redis);
  if (!ledger) return Error{ledger.error()};
  for (v1::AddressPool* pool : pools) *pool->mutable_status() = usage_of(pool->spec(), *ledger);
  return Ok{};
}

Status warn_of_pools(Context& context, store::Redis& redis,
                     const std::vector<v1::Object>& applied) {
  std::vector<const v1::AddressPool*> changed;
  for (const v1::Object& object : applied) {
    if (object.has_address_pool()) changed.push_back(&object.address_pool());
  }
  if (changed.empty()) return Ok{};
  const auto listing = read_pools(context, redis);
  if (!listing) return Error{listing.error()};
  const auto ledger = read_ledger(context, redis);
  if (!ledger) return Error{ledger.error()};
  for (const std::string& text : pool_warnings(changed, pools_of(*listing), *ledger)) warn(text);
  return Ok{};
}

}  // namespace sluice
