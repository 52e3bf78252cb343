// Services: what the API server checks and fills.
#include <map>
#include <memory>
#include <set>

#include "control/manifest/object_rules.h"
#include "control/model/service_plan.h"
#include "proto/address.h"
#include "proto/forwarding_names.h"

namespace sluice {
namespace {

constexpr int kMaxPorts = 1000;

void check_target_port(const v1::ServicePort& port, const std::string& path, FieldErrors* errors) {
  if (port.target_port().value_case() == v1::IntOrString::kNumber) {
    check_port_number(port.target_port().number(), path, errors);
  } else if (port.target_port().value_case() == v1::IntOrString::kName &&
             !is_port_name(port.target_port().name())) {
    errors->add(path, "\"" + port.target_port().name() +
                          "\" is neither a port from 1 to 65535 nor a port's name (at most 15 "
                          "lower-case letters, digits and '-')");
  }
}

void check_ports(const v1::ServiceSpec& spec, FieldErrors* errors) {
  std::set<std::string> names;
  std::map<std::pair<int, std::string>, int> numbers;
  if (spec.ports_size() > kMaxPorts) {
    errors->add("spec.ports", std::to_string(spec.ports_size()) + " ports; at most " +
                                  std::to_string(kMaxPorts) + " are allowed");
    return;
  }
  for (int i = 0; i < spec.ports_size(); ++i) {
    const v1::ServicePort& port = spec.ports(i);
    const std::string path = "spec.ports[" + std::to_string(i) + "]";
    check_port_number(port.port(), path + ".port", errors);
    check_protocol(port.protocol(), path + ".protocol", errors);
    check_target_port(port, path + ".targetPort", errors);
    if (port.node_port() != 0) check_port_number(port.node_port(), path + ".nodePort", errors);
    if (port.name().empty()) {
      if (spec.ports_size() > 1) {
        errors->add(path + ".name", "is missing; with several ports each needs a name");
      }
    } else if (!is_dns_label(port.name())) {
      errors->add(path + ".name", "\"" + port.name() + "\" is not a DNS label");
    } else if (!names.insert(port.name()).second) {
      errors->add(path + ".name", "\"" + port.name() + "\" is another port's name already");
    }
    const auto [other, is_new] = numbers.try_emplace({port.port(), port.protocol()}, i);
    if (!is_new) {
      errors->add(path + ".port", std::to_string(port.port()) + "/" + port.protocol() +
                                      " is spec.ports[" + std::to_string(other->second) +
                                      "] already");
    }
  }
}

void check_families(const v1::ServiceSpec& spec, FieldErrors* errors) {
  std::set<std::string> seen;
  for (int i = 0; i < spec.ip_families_size(); ++i) {
    const std::string path = "spec.ipFamilies[" + std::to_string(i) + "]";
    if (!one_of(spec.ip_families(i), {"IPv4", "IPv6"}, path, errors)) continue;
    if (!seen.insert(spec.ip_families(i)).second) {
      errors->add(path, "\"" + spec.ip_families(i) + "\" is given twice");
    }
  }
  const std::string& policy = spec.ip_family_policy();
  if (!one_of(policy, {"SingleStack", "PreferDualStack", "RequireDualStack"}, "spec.ipFamilyPolicy",
              errors)) {
    return;
  }
  if (policy == "SingleStack" && spec.ip_families_size() > 1) {
    errors->add("spec.ipFamilies",
                "two families need spec.ipFamilyPolicy PreferDualStack or RequireDualStack");
  }
}

void check_addresses(const v1::Service& service, FieldErrors* errors) {
  const v1::ServiceSpec& spec = service.spec();
  if (!spec.load_balancer_ip().empty() && !IpAddress::parse(spec.load_balancer_ip())) {
    errors->add("spec.loadBalancerIP",
                "\"" + spec.load_balancer_ip() + "\" is not an IPv4 or IPv6 address");
  }
  for (int i = 0; i < spec.load_balancer_source_ranges_size(); ++i) {
    if (IpPrefix::parse(spec.load_balancer_source_ranges(i), true)) continue;
    errors->add(
        "spec.loadBalancerSourceRanges[" + std::to_string(i) + "]",
        "\"" + spec.load_balancer_source_ranges(i) + "\" is not a prefix such as 10.0.0.0/8");
  }
  for (int i = 0; i < spec.external_ips_size(); ++i) {
    check_endpoint_address(spec.external_ips(i), "", "spec.externalIPs[" + std::to_string(i) + "]",
                           errors);
  }
}

void check_annotations(const v1::Service& service, FieldErrors* errors) {
  const auto& annotations = service.metadata().annotations();
  const auto path = [](const char* name) {
    return "metadata.annotations[" + std::string(name) + "]";
  };
  if (const auto at = annotations.find(kForwardingModeAnnotation); at != annotations.end()) {
    one_of(at->second, kForwardingModeNames, path(kForwardingModeAnnotation), errors);
  }
  if (const auto at = annotations.find(kOverlayAnnotation); at != annotations.end()) {
    one_of(at->second, kOverlayNames, path(kOverlayAnnotation), errors);
  }
  if (const auto at = annotations.find(kProxyProtocolAnnotation); at != annotations.end()) {
    one_of(at->second, {"v2"}, path(kProxyProtocolAnnotation), errors);
  }
  if (const auto at = annotations.find(kQuicAnnotation); at != annotations.end()) {
    one_of(at->second, {"plaintext"}, path(kQuicAnnotation), errors);
  }
  if (const auto at = annotations.find(kAddressPoolAnnotation); at != annotations.end()) {
    if (!is_dns_subdomain(at->second)) {
      errors->add(path(kAddressPoolAnnotation), "\"" + at->second + "\" is not a pool's name");
    }
  }
  if (const auto at = annotations.find(kAddressesAnnotation); at != annotations.end()) {
    // The plan reads the list; its opinion is the rule.
    ServiceInputs inputs;
    auto object = std::make_shared<v1::Object>();
    *object->mutable_service() = service;
    inputs.service = std::move(object);
    PlanSettings settings;
    settings.load_balancer_classes = {service.spec().load_balancer_class()};
    const ServicePlan plan = plan_service(inputs, settings);
    if (plan.request.invalid.starts_with(kAddressesAnnotation)) {
      errors->add(path(kAddressesAnnotation),
                  plan.request.invalid.substr(std::string(kAddressesAnnotation).size() + 2));
    }
  }
}

}  // namespace

void check_service(const v1::Service& service, FieldErrors* errors) {
  const v1::ServiceSpec& spec = service.spec();
  if (!one_of(spec.type(), {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}, "spec.type",
              errors)) {
    return;
  }
  check_ports(spec, errors);
  check_labels(spec.selector(), "spec.selector", errors);
  if (spec.type() == "ExternalName") {
    if (!is_dns_subdomain(spec.external_name())) {
      errors->add("spec.externalName", "\"" + spec.external_name() + "\" is not a DNS name");
    }
    return;
  }
  const bool headless = spec.cluster_ip() == "None";
  if (spec.ports().empty() && !headless) {
    errors->add("spec.ports", "is empty; a Service needs at least one port");
  }
  if (headless && spec.type() != "ClusterIP") {
    errors->add("spec.clusterIP", "None goes with type ClusterIP only");
  } else if (!headless && !spec.cluster_ip().empty() && !IpAddress::parse(spec.cluster_ip())) {
    errors->add("spec.clusterIP", "\"" + spec.cluster_ip() + "\" is neither an address nor None");
  }
  check_families(spec, errors);
  check_addresses(service, errors);
  check_annotations(service, errors);
  one_of(spec.session_affinity(), {"None", "ClientIP"}, "spec.sessionAffinity", errors);
  if (!spec.external_traffic_policy().empty()) {
    one_of(spec.external_traffic_policy(), {"Cluster", "Local"}, "spec.externalTrafficPolicy",
           errors);
  }
  if (!spec.internal_traffic_policy().empty()) {
    one_of(spec.internal_traffic_policy(), {"Cluster", "Local"}, "spec.internalTrafficPolicy",
           errors);
  }
  if (spec.has_load_balancer_class() && spec.type() != "LoadBalancer") {
    errors->add("spec.loadBalancerClass", "goes with type LoadBalancer only");
  } else if (spec.has_load_balancer_class() && !is_label_key(spec.load_balancer_class())) {
    errors->add("spec.loadBalancerClass", "\"" + spec.load_balancer_class() +
                                              "\" is not a name such as " +
                                              kDefaultLoadBalancerClass);
  }
  const auto& timeout = spec.session_affinity_config().client_ip();
  if (timeout.has_timeout_seconds() &&
      (timeout.timeout_seconds() < 1 || timeout.timeout_seconds() > 86'400)) {
    errors->add("spec.sessionAffinityConfig.clientIP.timeoutSeconds",
                std::to_string(timeout.timeout_seconds()) + " is not from 1 to 86400");
  }
}

}  // namespace sluice
