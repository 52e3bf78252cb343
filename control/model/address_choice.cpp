#include "control/model/address_choice.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kLongestList = 500;

void append(std::string* list, const std::string& text, const char* separator = ", ") {
  if (list->size() < kLongestList) *list += (list->empty() ? "" : separator) + text;
}

Refusal unknown_source(const AddressRequest& request) {
  return {"SourceUnknown", "the Services of " + request.service.source +
                               " are not known completely yet, and older ones go before; wait"};
}

}  // namespace

Admission AddressChoice::admission(const PoolView& pool, const AddressRequest& request) {
  if (pool.is_for_everybody()) return {};
  const auto [at, added] = namespaces_.try_emplace({request.service.source, request.service.ns});
  if (added && in_.find_namespace) {
    at->second = in_.find_namespace(request.service.source, request.service.ns);
  }
  return pool.admits({&request, at->second == nullptr ? nullptr : &at->second->namespace_()});
}

Found AddressChoice::pool_for(const IpAddress& address, const AddressRequest& request,
                              bool external) {
  std::string why;
  bool waits = false;
  for (const PoolView& pool : pools_.all()) {
    if (!pool.contains(address)) continue;
    if (!external && !request.pool.empty() && pool.name() != request.pool) continue;
    Admission admitted = admission(pool, request);
    if (external && !pool.allows_external_ips()) {
      admitted = {Match::no, "does not say allowExternalIPs"};
    }
    if (admitted.match == Match::yes) return Choice{address, pool.name()};
    waits = waits || admitted.match == Match::unknown;
    append(&why, "pool " + pool.name() + " " + admitted.why, "; ");
  }
  if (why.empty()) {
    const bool named = !external && !request.pool.empty();
    return Refusal{"AddressOutsidePools", address.text() + " is in no pool" +
                                              (named ? " named " + request.pool : "") + "; " +
                                              pools_.text()};
  }
  return Refusal{waits ? "NamespaceUnknown" : "AddressNotAllowed",
                 address.text() + " is not for this Service: " + why};
}

Found AddressChoice::requested(const IpAddress& address, const AddressRequest& request,
                               bool external) {
  Found found = pool_for(address, request, external);
  if (std::holds_alternative<Refusal>(found)) return found;
  if (!in_.services_known(request.service.source)) return unknown_source(request);
  if (auto why = draft_.refusal(address, request)) return std::move(*why);
  return found;
}

AddressChoice::Candidates AddressChoice::candidates(IpFamily family,
                                                    const AddressRequest& request) {
  Candidates result;
  for (PoolView& pool : pools_.all()) {
    const bool eligible = request.pool.empty() ? pool.auto_assign() : pool.name() == request.pool;
    if (!eligible || !pool.has_family(family)) continue;
    const Admission admitted = admission(pool, request);
    if (admitted.match == Match::yes) {
      result.pools.push_back(&pool);
    } else if (admitted.match == Match::unknown) {
      result.waits = Refusal{"NamespaceUnknown", "pool " + pool.name() + " " + admitted.why};
      break;
    } else {
      append(&result.excluded, "pool " + pool.name() + " " + admitted.why, "; ");
    }
  }
  return result;
}

Found AddressChoice::choose(IpFamily family, const AddressRequest& request) {
  if (const auto address = asked_for(request, family)) {
    return requested(*address, request, false);
  }
  Candidates from = candidates(family, request);
  if (from.pools.empty()) {
    if (from.waits) return std::move(*from.waits);
    if (!from.excluded.empty()) return Refusal{"PoolNotAllowed", std::move(from.excluded)};
    const std::string which =
        request.pool.empty() ? "with autoAssign has" : "named " + request.pool + " has";
    return Refusal{"NoPool",
                   "no pool " + which + " " + family_name(family) + " addresses; " + pools_.text()};
  }
  if (!in_.services_known(request.service.source)) return unknown_source(request);
  const Addresses in_status(request.status_addresses.begin(), request.status_addresses.end());
  for (const Addresses* known : {&draft_.last_held_by(request.service), &in_status,
                                 &draft_.shared_by(request.sharing_key)}) {
    if (auto choice = known_one(*known, family, request, from.pools)) return *choice;
  }
  Found found = lowest_free(family, from.pools);
  if (std::holds_alternative<Refusal>(found) && from.waits) return std::move(*from.waits);
  return found;
}

// One of the addresses it had, or can share.
std::optional<Choice> AddressChoice::known_one(const Addresses& addresses, IpFamily family,
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

Found AddressChoice::lowest_free(IpFamily family, const std::vector<PoolView*>& candidates) const {
  // Shares with none and returns to none: what is free for it is free for everybody.
  const AddressRequest anybody;
  std::string names;
  for (PoolView* pool : candidates) {
    const auto address =
        pool->lowest_free(family, [&](const IpAddress& a) { return !draft_.refusal(a, anybody); });
    if (address) return Choice{*address, pool->name()};
    append(&names, pool->text());
  }
  return Refusal{"PoolExhausted",
                 "no free " + std::string(family_name(family)) + " address is left in " + names};
}

std::optional<IpAddress> AddressChoice::asked_for(const AddressRequest& request, IpFamily family) {
  for (const IpAddress& address : request.addresses) {
    if (family_of(address) == family) return address;
  }
  return std::nullopt;
}

}  // namespace sluice
