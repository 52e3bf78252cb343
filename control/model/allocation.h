// Allocation of VIP addresses: requests of Services against pools and the ledger. Pure: gives the
// records to write; one leading control writes them through the ledger's script, which refuses what
// is not the next revision. Every control may call it to learn why a Service has no address.
//
// Rules. Who holds an address keeps it, whatever happens to pools and labels. A pool gives its
// addresses to Services that its clusters, namespaces and selectors admit, whether they ask for one
// or take any; labels that are not known yet are waited for. Else who asks for an address goes
// before who is known by its status to have had one, that one before who takes any, and older
// Services before younger ones. A request is granted at once or not at all; nothing is granted to,
// or released on behalf of, a source whose Services are not known completely. Services share an
// address if they name the same key, use different ports, and the pool lets them (namespace,
// cluster or any). Their externalTrafficPolicy does not matter, as it would where nodes announce
// addresses: a gateway serves each port by that Service's own endpoints. A released address goes to
// nobody but its last holder, and who may share with it, before the hold time is over and every
// gateway has withdrawn it. Addresses are drawn from pools by priority (higher first) and name,
// lowest free address first; a prefix's ends are spared (AddressRange::first_automatic).
// spec.externalIPs are addresses asked for, of pools with allowExternalIPs, each granted by itself.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/model/endpoints.h"
#include "dataplane.pb.h"
#include "proto/address_range.h"

namespace sluice {

enum class FamilyPolicy { single_stack, prefer_dual_stack, require_dual_stack };

struct PortRequest {
  std::string protocol;  // "TCP", "UDP".
  std::uint32_t port = 0;
  // Members that get new flows, by IpFamily; absent while endpoints are unknown.
  std::optional<std::array<std::size_t, 2>> active_members;
};

// What one Service asks for.
struct AddressRequest {
  ServiceKey service;
  ObjectPointer object;  // The Service, for its labels; null: none.
  std::string uid;
  std::string created;             // RFC 3339.
  bool load_balancer = true;       // Wants addresses for status.loadBalancer.
  std::vector<IpFamily> families;  // Wanted, in order.
  FamilyPolicy policy = FamilyPolicy::single_stack;
  std::vector<IpAddress> addresses;  // Asked for, at most one a family; empty: any.
  std::string pool;                  // Annotation sluice.dev/address-pool; empty: any.
  std::string sharing_key;
  std::vector<IpAddress>
      status_addresses;                 // In its status: had before, of use if the ledger lost it.
  std::vector<IpAddress> external_ips;  // spec.externalIPs, of its families.
  std::vector<PortRequest> ports;
  std::string invalid;  // Not empty: the request cannot be understood, and why.
};

using Ledger = std::map<IpAddress, v1::Address>;

// Whether both come to the same allocation, whatever else changed (endpoints, mostly), for a
// Service that holds these addresses of the ledger: its tables keep their sizes. Cheap.
bool same_allocation(const AddressRequest& a, const AddressRequest& b,
                     std::span<const IpAddress> held, const Ledger& ledger);

struct AllocationInputs {
  std::span<const AddressRequest* const> requests;  // Every Service that wants addresses.
  const std::map<std::string, ObjectPointer>* pools = nullptr;  // By name, as Model::pools.
  const Ledger* ledger = nullptr;
  std::span<const IpAddress> unreadable;  // Records nobody can read: taken.
  std::int64_t now_unix_ms = 0;
  std::int64_t hold_ms = 60'000;
  std::function<bool(const std::string&)> services_known;  // Of a source: absence means deleted.
  // The Namespace; null if it is not known. Absent: none is.
  std::function<ObjectPointer(const std::string& source, const std::string& name)> find_namespace;
  std::function<bool(const IpAddress&)>
      withdrawn_everywhere;  // No live gateway serves it any more.
};

struct Allocation {
  std::vector<v1::Address> writes;  // Revision: the one it was read with, plus one.
  // AddressAllocated, for every request but those that want externalIPs alone which no pool has.
  std::map<ServiceKey, v1::Condition> conditions;
  std::map<ServiceKey, std::vector<v1::Condition>> warnings;  // As ServicePlan::conditions.
};

// Linear in requests and ledger; about 0.5 us for a request that nothing is to be done for.
Allocation allocate(const AllocationInputs& inputs);

// What the ledger says a Service holds.
struct Grant {
  IpAddress address;
  std::string pool;
  std::vector<v1::HeldPort> ports;
  bool external = false;  // For spec.externalIPs alone.
};
// By Service, each in the order of addresses.
std::map<ServiceKey, std::vector<Grant>> grants_of(const Ledger& ledger);

}  // namespace sluice
