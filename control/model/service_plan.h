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
    "sluice.dev/forwarding-mode";  // One of kForwardingModeNames.
inline constexpr const char* kOverlayAnnotation = "sluice.dev/overlay";  // One of kOverlayNames.
inline constexpr const char* kProxyProtocolAnnotation = "sluice.dev/proxy-protocol";  // v2.
inline constexpr const char* kQuicAnnotation = "sluice.dev/quic-connection-ids";      // plaintext.
inline constexpr const char* kAddressPoolAnnotation = "sluice.dev/address-pool";
inline constexpr const char* kAddressesAnnotation = "sluice.dev/addresses";  // Comma separated.
inline constexpr const char* kSharingAnnotation = "sluice.dev/allow-shared-ip";
inline constexpr const char* kDefaultLoadBalancerClass = "sluice.dev/gateway";

struct PlanSettings {
  v1::ForwardingMode default_mode = v1::FORWARDING_MODE_NAT;
  v1::OverlayKind default_overlay = v1::OVERLAY_KIND_UNSPECIFIED;
  std::vector<std::string> load_balancer_classes{kDefaultLoadBalancerClass};
};

struct PlanMember {
  IpAddress address;
  bool draining = false;
  std::uint32_t port = 0;
  std::uint32_t weight = 1;
  Target target;
  std::string_view node;  // It runs on; empty: not known.
};

struct PlanPort {
  std::string name;
  v1::Protocol protocol = v1::PROTOCOL_TCP;
  std::uint32_t port = 0;
  // By IpFamily, also of one the Service does not have; ordered by address and port.
  std::array<std::vector<PlanMember>, 2> members;
};
std::string port_text(const PlanPort& port);  // "port web (80/TCP)".

struct ServicePlan {
  ServiceKey key;
  std::string uid;
  // It exists, and is a LoadBalancer of ours or has externalIPs: the rest is set only then.
  bool wanted = false;
  bool known = false;  // Endpoints are known; else what is programmed is left as it is.
  v1::ForwardingMode mode = v1::FORWARDING_MODE_UNSPECIFIED;  // By annotation.
  std::optional<v1::OverlayKind> overlay;                     // By annotation.
  bool proxy_protocol = false;
  bool quic = false;
  bool keeps_client_address = false;  // Is asked to: externalTrafficPolicy Local.
  AddressRequest request;
  std::vector<PlanPort> ports;
  std::vector<ObjectPointer> objects;     // That have the texts of the members.
  std::vector<v1::Condition> conditions;  // Warnings: type sluice.dev/Warning-..., status True.
};

ServicePlan plan_service(const ServiceInputs& inputs, const PlanSettings& settings);

// Conditions, as Kubernetes writes them (without a transition time).
v1::Condition make_condition(std::string type, bool status, std::string reason,
                             std::string message);
// One condition for each reason: type "sluice.dev/Warning-REASON", status True, bounded text.
std::vector<v1::Condition> warning_conditions(const std::vector<Warning>& warnings);

inline constexpr const char* kAddressAllocated = "sluice.dev/AddressAllocated";
inline constexpr const char* kProgrammed = "sluice.dev/Programmed";

}  // namespace sluice
