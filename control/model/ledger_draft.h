// The ledger with the changes of one allocation over it: who may have an address, granting and
// releasing. Copies only the records that change. Thread: one. Refers to the inputs, their ledger
// and requests, and the pools, which must outlive it.
#pragma once

#include <boost/container/small_vector.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/model/allocation.h"
#include "control/model/pool_view.h"

namespace sluice {

// Why something could not be granted.
struct Refusal {
  std::string reason;   // CamelCase word for machines.
  std::string message;  // A sentence for people.
};

// Slots for a port's Maglev table at that address, which has `current` now; 0: none yet.
std::uint32_t wanted_maglev_size(const PortRequest& wanted, const IpAddress& address,
                                 std::uint32_t current);
inline bool is_of(const v1::AddressHolder& holder, const ServiceKey& service) {
  return holder.name() == service.name && holder.namespace_() == service.ns &&
         holder.source() == service.source;
}

// Most hold one or two.
using Addresses = boost::container::small_vector<IpAddress, 2>;  // In order.

class LedgerDraft {
 public:
  LedgerDraft(const AllocationInputs& inputs, const Pools& pools);

  // Nothing if the request may have the address; else why not.
  std::optional<Refusal> refusal(const IpAddress& address, const AddressRequest& request) const;
  // Also of one the Service holds, for what else it is to be.
  void grant(const IpAddress& address, const std::string& pool, const AddressRequest& request,
             bool external);
  void release(const IpAddress& address, const ServiceKey& service);
  // Makes the ports held what the request says. Ports that others hold there are left out, and
  // told.
  std::vector<Refusal> update_ports(const AddressRequest& request);
  // Releases what Services hold that are neither among the requests nor possibly unknown.
  void release_gone();
  // A time of release that lies ahead was told by another clock: the hold time begins now.
  void correct_times();

  // Null: the Service does not hold it.
  const v1::AddressHolder* holder(const IpAddress& address, const ServiceKey& service) const;
  const Addresses& held_by(const ServiceKey& service) const;
  // Released by it, and held by nobody.
  const Addresses& last_held_by(const ServiceKey& service) const;
  // Held, or released a while ago, by somebody with that key.
  const Addresses& shared_by(const std::string& key) const;
  const std::string& pool_of(const IpAddress& address) const { return find(address)->pool(); }

  std::vector<v1::Address> writes();  // Raises the revisions: once, at the end.

 private:
  struct ServiceRef {
    std::string_view source, ns, name;
    friend bool operator==(const ServiceRef&, const ServiceRef&) = default;
  };
  struct Hash {
    std::size_t operator()(const ServiceRef& s) const noexcept;
  };
  struct Held {
    Addresses addresses;
    bool wanted = false;  // By a request.
  };

  static ServiceRef ref(const ServiceKey& key) { return {key.source, key.ns, key.name}; }
  static ServiceRef ref(const v1::AddressHolder& holder) {
    return {holder.source(), holder.namespace_(), holder.name()};
  }
  static std::vector<Refusal> set_ports(const AddressRequest& request, const v1::Address& record,
                                        const IpAddress& address, v1::AddressHolder* holder);
  const v1::Address* find(const IpAddress& address) const;
  v1::Address& edit(const IpAddress& address);
  bool may_share(const v1::Address& record, const v1::AddressHolder& holder,
                 const AddressRequest& request) const;
  std::optional<Refusal> hold_refusal(const v1::Address& record, const IpAddress& address,
                                      const AddressRequest& request) const;

  const AllocationInputs& in_;
  const Pools& pools_;
  std::map<IpAddress, v1::Address> changed_;
  std::set<IpAddress> unreadable_;
  // Names: those of the inputs.
  std::unordered_map<ServiceRef, Held, Hash> held_;
  std::unordered_map<ServiceRef, Addresses, Hash> last_held_;
  std::unordered_map<std::string_view, Addresses> shared_;
};

}  // namespace sluice
