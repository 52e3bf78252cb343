// Waiting until the gateways serve what was applied, or no longer serve what was deleted.
// Purpose: --wait of apply and delete. Polls four times a second. Ownership: none. Thread: the
// context's. Errors: Redis' own; after `timeout`, one line for each object that is not there yet,
// with the gateway's own reason.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/cli/context.h"
#include "control/model/key.h"
#include "control/store/ledger.h"
#include "control/store/status.h"

namespace sluice {

struct WaitTarget {
  ServiceKey service;
  std::string uid;
  std::int64_t generation = 0;
  std::vector<IpAddress> addresses;  // Deleted ones: what they held.
};

// What there is to wait for. Applied: the Services gateways are asked to serve (LoadBalancer, of a
// class of ours). Deleted: LoadBalancers, with the addresses the ledger gives them before.
Result<std::vector<WaitTarget>> applied_targets(Context& context,
                                                const std::vector<v1::Object>& objects);
Result<std::vector<WaitTarget>> deleted_targets(Context& context, store::Redis& redis,
                                                const std::vector<store::StoredObject>& objects);

// Every live gateway has read all of `manual` there is, and says Programmed of this generation.
Status wait_programmed(Context& context, const std::vector<WaitTarget>& targets,
                       std::chrono::milliseconds timeout);
// No live gateway has a status of it, and all of them withdrew its addresses, or others hold these.
Status wait_withdrawn(Context& context, const std::vector<WaitTarget>& targets,
                      std::chrono::milliseconds timeout);

// Pure: why `target` is not programmed yet by this gateway; empty: it is.
std::string not_programmed(const WaitTarget& target, const store::Gateway& gateway,
                           std::uint64_t sequence, const v1::ServiceStatus* status);
// Pure: why `address` is not withdrawn yet; empty: it is.
std::string not_withdrawn(const WaitTarget& target, const IpAddress& address,
                          const v1::Address* record, const std::vector<store::Gateway>& gateways);

}  // namespace sluice
