// A copy of the ledger with the changes of one allocation: who may have an address, granting and
// releasing. Thread: one. Refers to the inputs, which must outlive it.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "control/model/allocation.h"

namespace sluice {

// Why something could not be granted.
struct Refusal {
  std::string reason;   // CamelCase word for machines.
  std::string message;  // A sentence for people.
};

class LedgerDraft {
 public:
  explicit LedgerDraft(const AllocationInputs& inputs);

  // Nothing if the request may have the address; else why not.
  std::optional<Refusal> refusal(const IpAddress& address, const AddressRequest& request) const;
  void grant(const IpAddress& address, const std::string& pool, const AddressRequest& request);
  void release(const IpAddress& address, const ServiceKey& service);
  // Makes the ports held what the request says. Ports that others hold there are left out, and
  // told.
  std::vector<Refusal> update_ports(const AddressRequest& request);
  // Releases what Services hold that are neither among the requests nor possibly unknown.
  void release_gone();

  const std::set<IpAddress>& held_by(const ServiceKey& service) const { return of(held_, service); }
  // Released by it, and held by nobody.
  const std::set<IpAddress>& last_held_by(const ServiceKey& s) const { return of(last_held_, s); }
  const std::set<IpAddress>& shared_by(const std::string& key) const { return of(shared_, key); }
  const std::string& pool_of(const IpAddress& address) const { return records_.at(address).pool(); }

  std::vector<v1::Address> writes();  // Raises the revisions: once, at the end.
  Ledger take() { return std::move(records_); }

 private:
  template <typename Key>
  static const std::set<IpAddress>& of(const std::map<Key, std::set<IpAddress>>& map,
                                       const Key& key) {
    static const std::set<IpAddress> none;
    const auto at = map.find(key);
    return at == map.end() ? none : at->second;
  }
  std::optional<Refusal> hold_refusal(const v1::Address& record, const IpAddress& address,
                                      const AddressRequest& request) const;

  const AllocationInputs& in_;
  Ledger records_;
  std::set<IpAddress> unreadable_;
  std::set<IpAddress> dirty_;
  std::map<ServiceKey, std::set<IpAddress>> held_;
  std::map<ServiceKey, std::set<IpAddress>> last_held_;
  std::map<std::string, std::set<IpAddress>> shared_;
};

}  // namespace sluice
