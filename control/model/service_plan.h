// What one Service asks of the gateway, whatever addresses it will have: its ports with their
// members, its address request, and what the user should know. Pure; made anew when the Service's
// inputs change.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "control/model/allocation.h"
#include "control/model/endpoints.h"

namespace sluice {

inline constexpr const char* kForwardingModeAnnotation =
    "sluice.dev/forwarding-mode";  // nat, dsr-mac.
inline constexpr const char* kAddressPoolAnnotation = "sluice.dev/address-pool";
inline constexpr const char* kAddressesAnnotation = "sluice.dev/addresses";  // Comma separated.
inline constexpr const char* kSharingAnnotation = "sluice.dev/allow-shared-ip";
inline constexpr const char* kDefaultLoadBalancerClass = "sluice.dev/gateway";

struct PlanSettings {
  v1::ForwardingMode default_mode = v1::FORWARDING_MODE_NAT;
  std::vector<std::string> load_balancer_classes{kDefaultLoadBalancerClass};
};

struct PlanMember {
  IpAddress address;
  std::uint32_t port = 0;
  std::string target;  // "NAMESPACE/POD", or empty.
  std::uint32_t weight = 1;
  bool draining = false;
};

struct PlanPort {
  std::string name;
  v1::Protocol protocol = v1::PROTOCOL_TCP;
  std::uint32_t port = 0;
  std::array<std::vector<PlanMember>, 2> members;  // By IpFamily; ordered by address and port.
};

struct ServicePlan {
  ServiceKey key;
  std::string uid;
  bool wanted = false;  // A LoadBalancer of ours that exists: the rest is set only then.
  bool known = false;   // Endpoints are known; else what is programmed is left as it is.
  v1::ForwardingMode mode = v1::FORWARDING_MODE_UNSPECIFIED;  // By annotation.
  AddressRequest request;
  std::vector<PlanPort> ports;
  std::vector<v1::Condition> conditions;  // Warnings: type sluice.dev/Warning-..., status True.
};

ServicePlan plan_service(const ServiceInputs& inputs, const PlanSettings& settings);

// "nat" and "dsr-mac"; unspecified for anything else.
v1::ForwardingMode forwarding_mode_from_name(const std::string& name);
const char* forwarding_mode_name(v1::ForwardingMode mode);
// "TCP", "UDP", "SCTP"; unspecified for anything else.
v1::Protocol protocol_from_name(const std::string& name);
const char* protocol_name(v1::Protocol protocol);

// Conditions, as Kubernetes writes them (without a transition time).
v1::Condition make_condition(std::string type, bool status, std::string reason,
                             std::string message);
// One condition for each reason: type "sluice.dev/Warning-REASON", status True, bounded text.
std::vector<v1::Condition> warning_conditions(const std::vector<Warning>& warnings);

inline constexpr const char* kAddressAllocated = "sluice.dev/AddressAllocated";
inline constexpr const char* kProgrammed = "sluice.dev/Programmed";

}  // namespace sluice
