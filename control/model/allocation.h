// Allocation of VIP addresses: requests of Services against pools and the ledger. Pure: gives the
// records to write; one leading control writes them through the ledger's script, which refuses what
// is not the next revision. Every control may call it to learn why a Service has no address.
//
// Rules. Who holds an address keeps it, whatever happens to pools. Else who asks for an address
// goes before who takes any, and older Services before younger ones. A request is granted at once
// or not at all. Two Services share an address if both are in one namespace of one source, name the
// same key and use different ports. A released address goes to nobody but its last holder before
// the hold time is over and every gateway has withdrawn it. Nothing is released on behalf of a
// source whose Services are not known completely. Addresses are drawn from pools by priority
// (higher first) and name, lowest free address first; a prefix's ends are spared
// (AddressRange::first_automatic).
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
  std::string uid;
  std::string created;             // RFC 3339.
  std::vector<IpFamily> families;  // Wanted, in order.
  FamilyPolicy policy = FamilyPolicy::single_stack;
  std::vector<IpAddress> addresses;  // Asked for, at most one a family; empty: any.
  std::string pool;                  // Annotation sluice.dev/address-pool; empty: any.
  std::string sharing_key;
  std::vector<PortRequest> ports;
  std::string invalid;  // Not empty: the request cannot be understood, and why.
};

using Ledger = std::map<IpAddress, v1::Address>;

struct AllocationInputs {
  std::span<const AddressRequest* const> requests;  // Every Service that wants addresses.
  const std::map<std::string, ObjectPointer>* pools = nullptr;  // By name, as Model::pools.
  const Ledger* ledger = nullptr;
  std::span<const IpAddress> unreadable;  // Records nobody can read: taken.
  std::int64_t now_unix_ms = 0;
  std::int64_t hold_ms = 60'000;
  std::function<bool(const std::string&)> services_known;  // Of a source: absence means deleted.
  std::function<bool(const IpAddress&)>
      withdrawn_everywhere;  // No live gateway serves it any more.
};

struct Allocation {
  std::vector<v1::Address> writes;                 // Revision: the one it was read with, plus one.
  std::map<ServiceKey, v1::Condition> conditions;  // AddressAllocated, for every request.
  Ledger after;                                    // The ledger, once all are written.
};

Allocation allocate(const AllocationInputs& inputs);

// What the ledger says a Service holds.
struct Grant {
  IpAddress address;
  std::string pool;
  std::vector<v1::HeldPort> ports;
};
// By Service, each in the order of addresses.
std::map<ServiceKey, std::vector<Grant>> grants_of(const Ledger& ledger);

}  // namespace sluice
