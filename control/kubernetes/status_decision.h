// What the status of a Service in the cluster should become: the pure part of status_writer.h.
// Rules: only Services of type LoadBalancer and of a class we serve are ever touched (one whose
// type was changed loses our conditions, once). An address is written once at least one gateway has
// programmed it; it stays until the ledger says that this Service gave it back, or that others have
// it; entries that the ledger does not know are left alone. Conditions of ours begin with
// "sluice.dev/". What nobody knows changes nothing.
// Ownership: by value. Thread: any, pure. Shapes: addresses are canonical text; times RFC 3339.
// Source: Kubernetes API reference, ServiceStatus; KEP-1860 (ipMode).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "proto/address.h"
#include "store.pb.h"

namespace sluice::kube {

inline constexpr const char* kConditionPrefix = "sluice.dev/";

// Which Services are ours.
struct ServedClasses {
  std::vector<std::string> classes;  // spec.loadBalancerClass
  bool unclassed = true;             // And those without one.
};
bool is_served(const v1::ServiceSpec& spec, const ServedClasses& served);

// What decisions need of a Service, as last seen in the cluster.
struct ServiceView {
  std::string ns, name, uid, resource_version;
  bool load_balancer = false;  // By type.
  bool served = false;         // By type and class.
  bool deleting = false;
  std::vector<v1::LoadBalancerIngress> ingress;
  std::vector<v1::Condition> conditions;  // Of ours.
};
ServiceView see(const v1::Service& service, const ServedClasses& served);

// Records of the ledger; an address without one is somebody else's.
using LedgerRecords = std::map<IpAddress, v1::Address>;

// Addresses in the Service's status that its merged status does not give it: decide() needs their
// records. `status` may be null.
std::vector<IpAddress> unexplained(const ServiceView& service, const v1::ServiceStatus* status);

// An Event to make, see events.h.
struct Announcement {
  bool warning = false;
  std::string reason;  // CamelCase.
  std::string message;
  friend bool operator==(const Announcement&, const Announcement&) = default;
};

struct StatusChange {
  std::optional<std::vector<v1::LoadBalancerIngress>> ingress;  // The whole list.
  std::optional<std::vector<v1::Condition>> conditions;         // All of ours.
  std::vector<Announcement> events;                             // When the conditions are written.
};

// Why nothing is known of a Service for so long that its owner should be told; only told where
// neither an address nor a condition of ours is there yet.
struct Pending {
  std::string reason;  // CamelCase.
  std::string message;
};

struct DecisionInputs {
  const ServiceView* service = nullptr;
  const v1::ServiceStatus* status = nullptr;  // Merged; null: there is none.
  const LedgerRecords* records = nullptr;     // Of unexplained().
  std::string source;                         // The cluster's name.
  std::optional<Pending> pending;             // Where there is no status.
  std::string now;                            // For conditions that have no time yet.
};
StatusChange decide(const DecisionInputs& inputs);

}  // namespace sluice::kube
