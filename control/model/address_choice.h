// Which address a request may have: of those the pools and the ledger leave. Thread: one. Refers to
// the inputs, pools and draft, which must outlive it.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "control/model/ledger_draft.h"
#include "control/model/pool_view.h"

namespace sluice {

struct Choice {
  IpAddress address;
  std::string pool;
};
using Found = std::variant<Choice, Refusal>;

class AddressChoice {
 public:
  AddressChoice(const AllocationInputs& inputs, Pools& pools, const LedgerDraft& draft)
      : in_(inputs), pools_(pools), draft_(draft) {}

  // Of a family for status.loadBalancer: the one asked for, else one it had or can share, else the
  // lowest free one.
  Found choose(IpFamily family, const AddressRequest& request);
  // This very address; for spec.externalIPs if `external`.
  Found requested(const IpAddress& address, const AddressRequest& request, bool external);
  // The same by the pools alone, whoever holds it.
  Found pool_for(const IpAddress& address, const AddressRequest& request, bool external);
  Admission admission(const PoolView& pool, const AddressRequest& request);

  static std::optional<IpAddress> asked_for(const AddressRequest& request, IpFamily family);

 private:
  struct Candidates {
    std::vector<PoolView*> pools;
    std::optional<Refusal> waits;  // For what may be a better pool than any after these.
    std::string excluded;          // Pools that would do but for whom they are for.
  };
  Candidates candidates(IpFamily family, const AddressRequest& request);
  std::optional<Choice> known_one(const Addresses& addresses, IpFamily family,
                                  const AddressRequest& request,
                                  const std::vector<PoolView*>& candidates) const;
  Found lowest_free(IpFamily family, const std::vector<PoolView*>& candidates) const;

  const AllocationInputs& in_;
  Pools& pools_;
  const LedgerDraft& draft_;
  std::map<std::pair<std::string, std::string>, ObjectPointer> namespaces_;  // Asked for once.
};

}  // namespace sluice
