#include "control/model/allocation.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <variant>

#include "control/model/address_choice.h"
#include "control/model/ledger_draft.h"
#include "control/model/pool_view.h"
#include "control/model/service_plan.h"

namespace sluice {
namespace {

void append(std::string* list, const std::string& text) {
  *list += (list->empty() ? "" : ", ") + text;
}

bool contains(const std::vector<IpAddress>& addresses, const IpAddress& address) {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

class Allocator {
 public:
  explicit Allocator(const AllocationInputs& inputs)
      : in_(inputs),
        pools_(*inputs.pools),
        draft_(inputs, pools_),
        choice_(inputs, pools_, draft_) {}

  Allocation run() {
    draft_.correct_times();
    draft_.release_gone();
    // Ports of those who hold an address come before anybody who wants one.
    std::vector<Unsettled> unsettled;
    for (const AddressRequest* request : in_.requests) {
      std::vector<Refusal> problems;
      if (!request->invalid.empty()) {
        release_of_predecessor(*request);
      } else {
        problems = draft_.update_ports(*request);
      }
      if (request->invalid.empty() && problems.empty() && is_settled(*request)) {
        conclude(*request, {});
      } else {
        unsettled.push_back({request, std::move(problems)});
      }
    }
    serve_all(&unsettled);
    for (const auto& [request, problems] : unsettled) conclude(*request, problems);
    result_.writes = draft_.writes();
    return std::move(result_);
  }

 private:
  struct Unsettled {
    const AddressRequest* request;
    std::vector<Refusal> problems;
  };

  // Who asks for what cannot be understood keeps what it has, but has nothing of an older Service
  // of its name: that one is gone.
  void release_of_predecessor(const AddressRequest& request) {
    const Addresses held = draft_.held_by(request.service);
    for (const IpAddress& address : held) {
      if (draft_.holder(address, request.service)->uid() == request.uid) continue;
      draft_.release(address, request.service);
    }
  }

  // ---- Serving one request.

  bool is_external(const IpAddress& address, const AddressRequest& request) const {
    return draft_.holder(address, request.service)->external_ip();
  }

  static bool wants(const AddressRequest& request, IpFamily family) {
    const auto& families = request.families;
    return request.load_balancer &&
           std::find(families.begin(), families.end(), family) != families.end();
  }

  bool satisfies(const IpAddress& address, const AddressRequest& request) const {
    if (const auto wanted = AddressChoice::asked_for(request, family_of(address)))
      return address == *wanted;
    return request.pool.empty() || draft_.pool_of(address) == request.pool;
  }

  // It holds what it wants, and nothing else.
  bool is_settled(const AddressRequest& request) const {
    std::array<int, 2> own{};
    std::size_t external = 0;
    for (const IpAddress& address : draft_.held_by(request.service)) {
      if (is_external(address, request)) {
        if (!contains(request.external_ips, address)) return false;
        ++external;
        continue;
      }
      if (!wants(request, family_of(address)) || !satisfies(address, request)) return false;
      if (++own[static_cast<std::size_t>(family_of(address))] > 1) return false;
      external += contains(request.external_ips, address) ? 1 : 0;
    }
    for (const IpFamily family : kIpFamilies) {
      const bool holds = own[static_cast<std::size_t>(family)] == 1;
      if (holds != wants(request, family)) return false;
    }
    return external == request.external_ips.size();
  }

  // What the Service holds of a family; what satisfies the request comes first.
  std::vector<IpAddress> held(const AddressRequest& request, IpFamily family) const {
    std::vector<IpAddress> addresses;
    for (const IpAddress& address : draft_.held_by(request.service)) {
      if (family_of(address) != family || is_external(address, request)) continue;
      const bool fits = satisfies(address, request);
      addresses.insert(fits ? addresses.begin() : addresses.end(), address);
    }
    return addresses;
  }

  // Those for an address first, then who had one, then older ones.
  void serve_all(std::vector<Unsettled>* unsettled) {
    struct Step {
      int rank;
      Unsettled* of;
      bool external;
    };
    std::vector<Step> steps;
    for (Unsettled& u : *unsettled) {
      const AddressRequest& request = *u.request;
      if (!request.invalid.empty()) {
        u.problems.push_back({"InvalidRequest", request.invalid});
        continue;
      }
      const int rank = !request.addresses.empty() ? 0 : !request.status_addresses.empty() ? 1 : 2;
      steps.push_back({0, &u, true});
      steps.push_back({rank, &u, false});
    }
    const auto order = [](const Step& step) {
      const AddressRequest& request = *step.of->request;
      return std::tuple(step.rank, std::tie(request.created, request.service));
    };
    std::stable_sort(steps.begin(), steps.end(),
                     [&](const Step& a, const Step& b) { return order(a) < order(b); });
    for (const Step& step : steps) {
      if (step.external) {
        serve_external(*step.of->request);
      } else {
        serve_families(*step.of->request, &step.of->problems);
      }
    }
  }

  void serve_families(const AddressRequest& request, std::vector<Refusal>* problems) {
    std::vector<Refusal> refused;
    std::vector<Choice> choices;
    std::vector<IpAddress> surplus;
    bool holds_any = false;
    for (const IpFamily family : kIpFamilies) {
      const std::vector<IpAddress> now = held(request, family);
      if (!wants(request, family)) {
        surplus.insert(surplus.end(), now.begin(), now.end());
        continue;
      }
      holds_any = holds_any || !now.empty();
      if (!now.empty() && satisfies(now.front(), request)) {
        surplus.insert(surplus.end(), now.begin() + 1, now.end());
        continue;
      }
      Found found = choice_.choose(family, request);
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
      for (const Choice& choice : choices) {
        draft_.grant(choice.address, choice.pool, request, false);
      }
      for (const IpAddress& address : surplus) give_up(address, request);
    }
    problems->insert(problems->end(), refused.begin(), refused.end());
  }

  // As an external address it stays if the operator lets it.
  void give_up(const IpAddress& address, const AddressRequest& request) {
    if (contains(request.external_ips, address)) {
      Found found = choice_.pool_for(address, request, true);
      if (std::holds_alternative<Choice>(found)) {
        draft_.grant(address, draft_.pool_of(address), request, true);
        return;
      }
      Refusal& refusal = std::get<Refusal>(found);
      const bool waits = refusal.reason == "NamespaceUnknown";
      external_refusals_[request.service].push_back(std::move(refusal));
      if (waits) return;
    }
    draft_.release(address, request.service);
  }

  void serve_external(const AddressRequest& request) {
    const Addresses now = draft_.held_by(request.service);
    for (const IpAddress& address : now) {
      if (is_external(address, request) && !contains(request.external_ips, address)) {
        draft_.release(address, request.service);
      }
    }
    for (const IpAddress& address : request.external_ips) {
      // As its own address it serves as well; if it is given up as such, it becomes an external
      // one.
      if (draft_.holder(address, request.service) != nullptr) continue;
      Found found = choice_.requested(address, request, true);
      if (const auto* choice = std::get_if<Choice>(&found)) {
        draft_.grant(address, choice->pool, request, true);
      } else {
        external_refusals_[request.service].push_back(std::move(std::get<Refusal>(found)));
      }
    }
  }

  // ---- What there is to say.

  void conclude(const AddressRequest& request, const std::vector<Refusal>& problems) {
    std::string own, external;
    std::vector<Warning> warnings;
    for (const IpAddress& address : draft_.held_by(request.service)) {
      append(is_external(address, request) ? &external : &own, address.text());
      if (auto why = outgrown(address, request)) {
        warnings.push_back({"AddressKept", std::move(*why)});
      }
    }
    if (request.load_balancer) {
      say_allocated(request, own, problems, &warnings);
    } else {
      say_external(request, external, problems);
    }
    const auto refused = external_refusals_.find(request.service);
    if (refused != external_refusals_.end() &&
        (request.load_balancer || result_.conditions.contains(request.service))) {
      for (const Refusal& refusal : refused->second) {
        warnings.push_back({"ExternalIPsNotServed", "externalIPs: " + refusal.message});
      }
    }
    if (!warnings.empty()) result_.warnings[request.service] = warning_conditions(warnings);
  }

  // Why the Service would not be given this address of its own today.
  std::optional<std::string> outgrown(const IpAddress& address, const AddressRequest& request) {
    const PoolView* pool = pools_.find(draft_.pool_of(address));
    if (pool != nullptr && pool->contains(address) &&
        (!is_external(address, request) || pool->allows_external_ips()) &&
        choice_.admission(*pool, request).match != Match::no) {
      return std::nullopt;
    }
    const bool external = is_external(address, request);
    AddressRequest of_any_pool;  // Whichever it came from.
    of_any_pool.service = request.service;
    of_any_pool.object = request.object;
    Found found = choice_.pool_for(address, of_any_pool, external);
    const auto* refusal = std::get_if<Refusal>(&found);
    if (refusal == nullptr || refusal->reason == "NamespaceUnknown") return std::nullopt;
    if (refusal->reason == "AddressOutsidePools") {
      return address.text() + " is in no pool any more, and is kept";
    }
    return refusal->message + "; it is kept";
  }

  void say_allocated(const AddressRequest& request, const std::string& addresses,
                     const std::vector<Refusal>& problems, std::vector<Warning>* warnings) {
    std::string message = addresses;
    bool only_short = true;  // Nothing but a lack of addresses.
    for (const Refusal& problem : problems) {
      message += (message.empty() ? "" : "; ") + problem.message;
      only_short = only_short && (problem.reason == "NoPool" || problem.reason == "PoolExhausted" ||
                                  problem.reason == "PoolNotAllowed");
    }
    const bool partly = request.policy == FamilyPolicy::prefer_dual_stack && only_short &&
                        !addresses.empty() && !problems.empty();
    if (partly) {
      warnings->push_back({"DualStackNotServed",
                           "ipFamilyPolicy PreferDualStack, but " + problems.front().message});
    }
    set_condition(request, problems.empty() || partly,
                  problems.empty() ? "Allocated"
                  : partly         ? "AllocatedPartly"
                                   : problems.front().reason,
                  std::move(message));
  }

  // Addresses that no pool has are none of ours, and nothing is said of them.
  void say_external(const AddressRequest& request, const std::string& addresses,
                    std::vector<Refusal> problems) {
    const auto refused = external_refusals_.find(request.service);
    if (refused != external_refusals_.end()) {
      for (const Refusal& refusal : refused->second) {
        if (refusal.reason != "AddressOutsidePools") problems.push_back(refusal);
      }
    }
    if (addresses.empty() && problems.empty()) return;
    std::string message = addresses.empty() ? "" : "externalIPs " + addresses;
    for (const Refusal& problem : problems) {
      message += (message.empty() ? "" : "; ") + problem.message;
    }
    set_condition(request, problems.empty(),
                  problems.empty() ? "Allocated" : problems.front().reason, std::move(message));
  }

  void set_condition(const AddressRequest& request, bool status, const std::string& reason,
                     std::string message) {
    // Requests mostly come in the order of their Services.
    result_.conditions.insert_or_assign(
        result_.conditions.end(), request.service,
        make_condition(kAddressAllocated, status, reason, std::move(message)));
  }

  const AllocationInputs& in_;
  Pools pools_;
  LedgerDraft draft_;
  AddressChoice choice_;
  std::map<ServiceKey, std::vector<Refusal>> external_refusals_;
  Allocation result_;
};

}  // namespace

Allocation allocate(const AllocationInputs& inputs) {
  return Allocator(inputs).run();
}

bool same_allocation(const AddressRequest& a, const AddressRequest& b,
                     std::span<const IpAddress> held, const Ledger& ledger) {
  const auto same_labels = [&] {
    if (a.object == b.object) return true;
    if (a.object == nullptr || b.object == nullptr) return false;
    const auto& x = a.object->service().metadata().labels();
    const auto& y = b.object->service().metadata().labels();
    return x.size() == y.size() && std::all_of(x.begin(), x.end(), [&](const auto& label) {
             const auto at = y.find(label.first);
             return at != y.end() && at->second == label.second;
           });
  };
  const auto same_size_at = [&](const IpAddress& address, const PortRequest& x,
                                const PortRequest& y) {
    const auto record = ledger.find(address);
    if (record == ledger.end()) return true;
    for (const v1::AddressHolder& holder : record->second.holders()) {
      if (!is_of(holder, a.service)) continue;
      for (const v1::HeldPort& port : holder.ports()) {
        if (port.port() != x.port || port.protocol() != x.protocol) continue;
        return wanted_maglev_size(x, address, port.maglev_size()) ==
               wanted_maglev_size(y, address, port.maglev_size());
      }
    }
    return true;
  };
  const auto same_port = [&](const PortRequest& x, const PortRequest& y) {
    return x.port == y.port && x.protocol == y.protocol &&
           (x.active_members == y.active_members ||
            std::ranges::all_of(held, [&](const auto& at) { return same_size_at(at, x, y); }));
  };
  return a.service == b.service && a.uid == b.uid && a.created == b.created &&
         a.load_balancer == b.load_balancer && a.families == b.families && a.policy == b.policy &&
         a.addresses == b.addresses && a.pool == b.pool && a.sharing_key == b.sharing_key &&
         a.status_addresses == b.status_addresses && a.external_ips == b.external_ips &&
         a.invalid == b.invalid &&
         std::equal(a.ports.begin(), a.ports.end(), b.ports.begin(), b.ports.end(), same_port) &&
         same_labels();
}

std::map<ServiceKey, std::vector<Grant>> grants_of(const Ledger& ledger) {
  std::map<ServiceKey, std::vector<Grant>> grants;
  for (const auto& [address, record] : ledger) {
    for (const v1::AddressHolder& holder : record.holders()) {
      grants[{holder.source(), holder.namespace_(), holder.name()}].push_back(
          {address,
           record.pool(),
           {holder.ports().begin(), holder.ports().end()},
           holder.external_ip()});
    }
  }
  return grants;
}

}  // namespace sluice
