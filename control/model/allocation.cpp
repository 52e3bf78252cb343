#include "control/model/allocation.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <variant>

#include "control/model/ledger_draft.h"
#include "control/model/pool_view.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

struct Choice {
  IpAddress address;
  std::string pool;
};
using Found = std::variant<Choice, Refusal>;

class Allocator {
 public:
  explicit Allocator(const AllocationInputs& inputs)
      : requests_(inputs.requests.begin(), inputs.requests.end()),
        pools_(pool_views(*inputs.pools)),
        draft_(inputs) {
    // Whoever asks for an address goes before those who take any.
    std::sort(requests_.begin(), requests_.end(), [&](const auto* a, const auto* b) {
      return std::tuple(a->addresses.empty(), std::tie(a->created, a->service)) <
             std::tuple(b->addresses.empty(), std::tie(b->created, b->service));
    });
  }

  Allocation run() {
    draft_.release_gone();
    // Ports of those who hold an address come before anybody who wants one.
    for (const AddressRequest* request : requests_) {
      if (request->invalid.empty()) problems_[request->service] = draft_.update_ports(*request);
    }
    for (const AddressRequest* request : requests_) {
      if (request->invalid.empty()) {
        serve(*request);
      } else {
        problems_[request->service].push_back({"InvalidRequest", request->invalid});
      }
      conclude(*request);
    }
    result_.writes = draft_.writes();
    result_.after = draft_.take();
    return std::move(result_);
  }

 private:
  const PoolView* pool_with(const IpAddress& address, const std::string& only) const {
    const auto at = std::find_if(pools_.begin(), pools_.end(), [&](const PoolView& pool) {
      return pool.contains(address) && (only.empty() || pool.name() == only);
    });
    return at == pools_.end() ? nullptr : &*at;
  }

  std::string pools_text() const {
    std::string text;
    for (const PoolView& pool : pools_) text += (text.empty() ? "" : ", ") + pool.text();
    return text.empty() ? "there is no AddressPool; apply one" : "pools: " + text;
  }

  // ---- Choosing.

  Found choose(IpFamily family, const AddressRequest& request) {
    if (const auto address = asked_for(request, family)) return requested(*address, request);
    std::vector<PoolView*> candidates;
    for (PoolView& pool : pools_) {
      const bool eligible = request.pool.empty() ? pool.auto_assign() : pool.name() == request.pool;
      if (eligible && pool.has_family(family)) candidates.push_back(&pool);
    }
    if (candidates.empty()) {
      const std::string which =
          request.pool.empty() ? "with autoAssign has" : "named " + request.pool + " has";
      return Refusal{
          "NoPool", "no pool " + which + " " + family_name(family) + " addresses; " + pools_text()};
    }
    for (const auto* known :
         {&draft_.last_held_by(request.service), &draft_.shared_by(request.sharing_key)}) {
      if (auto choice = known_one(*known, family, request, candidates)) return *choice;
    }
    return lowest_free(family, candidates);
  }

  Found requested(const IpAddress& address, const AddressRequest& request) const {
    const PoolView* pool = pool_with(address, request.pool);
    if (pool == nullptr) {
      return Refusal{"AddressOutsidePools",
                     address.text() + " is in no pool" +
                         (request.pool.empty() ? "" : " named " + request.pool) + "; " +
                         pools_text()};
    }
    if (auto why = draft_.refusal(address, request)) return std::move(*why);
    return Choice{address, pool->name()};
  }

  // One of the addresses it had, or can share.
  std::optional<Choice> known_one(const std::set<IpAddress>& addresses, IpFamily family,
                                  const AddressRequest& request,
                                  const std::vector<PoolView*>& candidates) const {
    for (const IpAddress& address : addresses) {
      if (family_of(address) != family || draft_.refusal(address, request)) continue;
      for (const PoolView* pool : candidates) {
        if (pool->contains(address)) return Choice{address, pool->name()};
      }
    }
    return std::nullopt;
  }

  Found lowest_free(IpFamily family, const std::vector<PoolView*>& candidates) const {
    // Shares with none and returns to none: what is free for it is free for everybody.
    const AddressRequest anybody;
    std::string names;
    for (PoolView* pool : candidates) {
      const auto address = pool->lowest_free(
          family, [&](const IpAddress& a) { return !draft_.refusal(a, anybody); });
      if (address) return Choice{*address, pool->name()};
      names += (names.empty() ? "" : ", ") + pool->text();
    }
    return Refusal{"PoolExhausted",
                   "no free " + std::string(family_name(family)) + " address is left in " + names};
  }

  static std::optional<IpAddress> asked_for(const AddressRequest& request, IpFamily family) {
    for (const IpAddress& address : request.addresses) {
      if (family_of(address) == family) return address;
    }
    return std::nullopt;
  }

  // ---- Serving one request.

  bool satisfies(const IpAddress& address, const AddressRequest& request) const {
    if (const auto wanted = asked_for(request, family_of(address))) return address == *wanted;
    return request.pool.empty() || draft_.pool_of(address) == request.pool;
  }

  // What the Service holds of a family; what satisfies the request comes first.
  std::vector<IpAddress> held(const AddressRequest& request, IpFamily family) const {
    std::vector<IpAddress> addresses;
    for (const IpAddress& address : draft_.held_by(request.service)) {
      if (family_of(address) != family) continue;
      const bool fits = satisfies(address, request);
      addresses.insert(fits ? addresses.begin() : addresses.end(), address);
    }
    return addresses;
  }

  void serve(const AddressRequest& request) {
    std::vector<Refusal> refused;
    std::vector<Choice> choices;
    std::vector<IpAddress> surplus;
    bool holds_any = false;
    for (const IpFamily family : kIpFamilies) {
      const std::vector<IpAddress> now = held(request, family);
      const auto& families = request.families;
      if (std::find(families.begin(), families.end(), family) == families.end()) {
        surplus.insert(surplus.end(), now.begin(), now.end());
        continue;
      }
      holds_any = holds_any || !now.empty();
      if (!now.empty() && satisfies(now.front(), request)) {
        surplus.insert(surplus.end(), now.begin() + 1, now.end());
        continue;
      }
      Found found = choose(family, request);
      if (auto* choice = std::get_if<Choice>(&found)) {
        choices.push_back(std::move(*choice));
        surplus.insert(surplus.end(), now.begin(), now.end());
        continue;
      }
      // What it has it keeps until it can have what it asks for.
      refused.push_back(std::move(std::get<Refusal>(found)));
      if (!now.empty()) refused.back().message += "; it keeps " + now.front().text();
    }
    const bool all_or_none = request.policy == FamilyPolicy::require_dual_stack && !holds_any;
    if (!all_or_none || refused.empty()) {
      for (const Choice& choice : choices) draft_.grant(choice.address, choice.pool, request);
      for (const IpAddress& address : surplus) draft_.release(address, request.service);
    }
    auto& problems = problems_[request.service];
    problems.insert(problems.end(), refused.begin(), refused.end());
  }

  void conclude(const AddressRequest& request) {
    std::vector<std::string> sentences;
    std::string addresses;
    for (const IpAddress& address : draft_.held_by(request.service)) {
      addresses += (addresses.empty() ? "" : ", ") + address.text();
    }
    if (!addresses.empty()) sentences.push_back(addresses);
    bool only_short = true;  // Nothing but a lack of addresses.
    const std::vector<Refusal>& problems = problems_[request.service];
    for (const Refusal& problem : problems) {
      sentences.push_back(problem.message);
      only_short = only_short && (problem.reason == "NoPool" || problem.reason == "PoolExhausted");
    }
    for (const IpAddress& address : draft_.held_by(request.service)) {
      if (pool_with(address, "") != nullptr) continue;
      sentences.push_back(address.text() + " is in no pool any more, and is kept");
    }
    const bool partly = request.policy == FamilyPolicy::prefer_dual_stack && only_short &&
                        !addresses.empty() && !problems.empty();
    const std::string reason = problems.empty() ? "Allocated"
                               : partly         ? "AllocatedPartly"
                                                : problems.front().reason;
    std::string message;
    for (const std::string& s : sentences) message += (message.empty() ? "" : "; ") + s;
    result_.conditions[request.service] =
        make_condition(kAddressAllocated, problems.empty() || partly, reason, std::move(message));
  }

  std::vector<const AddressRequest*> requests_;  // Those for an address first, then older ones.
  std::vector<PoolView> pools_;
  LedgerDraft draft_;
  std::map<ServiceKey, std::vector<Refusal>> problems_;
  Allocation result_;
};

}  // namespace

Allocation allocate(const AllocationInputs& inputs) {
  return Allocator(inputs).run();
}

std::map<ServiceKey, std::vector<Grant>> grants_of(const Ledger& ledger) {
  std::map<ServiceKey, std::vector<Grant>> grants;
  for (const auto& [address, record] : ledger) {
    for (const v1::AddressHolder& holder : record.holders()) {
      grants[{holder.source(), holder.namespace_(), holder.name()}].push_back(
          {address, record.pool(), {holder.ports().begin(), holder.ports().end()}});
    }
  }
  return grants;
}

}  // namespace sluice
