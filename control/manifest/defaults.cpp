// What the API server fills in, and what deserves a warning.
#include "control/manifest/validate.h"
#include "control/model/key.h"
#include "proto/address.h"

namespace sluice {
namespace {

template <typename Ports>
void set_protocols(Ports* ports) {
  for (auto& port : *ports) {
    if (port.protocol().empty()) port.set_protocol("TCP");
  }
}

// There is no cluster to ask for its families: IPv4 first, as most are.
void set_families(v1::ServiceSpec* spec) {
  if (!spec->has_ip_family_policy()) {
    spec->set_ip_family_policy(spec->ip_families_size() > 1 ? "RequireDualStack" : "SingleStack");
  }
  if (spec->ip_families().empty()) {
    const auto requested = IpAddress::parse(spec->load_balancer_ip());
    spec->add_ip_families(requested && requested->is_v6() ? "IPv6" : "IPv4");
  }
  if (spec->ip_family_policy() != "SingleStack" && spec->ip_families_size() == 1) {
    spec->add_ip_families(spec->ip_families(0) == "IPv4" ? "IPv6" : "IPv4");
  }
}

void set_service_defaults(v1::ServiceSpec* spec) {
  if (spec->type().empty()) spec->set_type("ClusterIP");
  if (spec->session_affinity().empty()) spec->set_session_affinity("None");
  set_protocols(spec->mutable_ports());
  for (v1::ServicePort& port : *spec->mutable_ports()) {
    const v1::IntOrString& target = port.target_port();
    const bool none = target.value_case() == v1::IntOrString::VALUE_NOT_SET ||
                      (target.value_case() == v1::IntOrString::kName && target.name().empty());
    if (none) port.mutable_target_port()->set_number(port.port());
  }
  if (spec->type() == "ExternalName") return;
  set_families(spec);
  if (spec->internal_traffic_policy().empty()) spec->set_internal_traffic_policy("Cluster");
  const bool external = spec->type() == "LoadBalancer" || spec->type() == "NodePort";
  if (external && spec->external_traffic_policy().empty()) {
    spec->set_external_traffic_policy("Cluster");
  }
}

void set_pod_defaults(v1::Pod* pod) {
  for (v1::Container& c : *pod->mutable_spec()->mutable_containers()) {
    set_protocols(c.mutable_ports());
  }
  for (v1::Container& c : *pod->mutable_spec()->mutable_init_containers()) {
    set_protocols(c.mutable_ports());
  }
  v1::PodStatus* status = pod->mutable_status();
  if (status->pod_ips().empty() && !status->pod_ip().empty()) {
    status->add_pod_ips()->set_ip(status->pod_ip());
  } else if (status->pod_ip().empty() && !status->pod_ips().empty()) {
    status->set_pod_ip(status->pod_ips(0).ip());
  }
}

}  // namespace

void set_defaults(v1::Object* object) {
  switch (object->object_case()) {
    case v1::Object::kService:
      return set_service_defaults(object->mutable_service()->mutable_spec());
    case v1::Object::kEndpointSlice:
      return set_protocols(object->mutable_endpoint_slice()->mutable_ports());
    case v1::Object::kEndpoints:
      for (auto& subset : *object->mutable_endpoints()->mutable_subsets()) {
        set_protocols(subset.mutable_ports());
      }
      return;
    case v1::Object::kPod:
      return set_pod_defaults(object->mutable_pod());
    case v1::Object::kAddressPool:
      object->mutable_address_pool()->clear_status();  // Only ever shown.
      return;
    default:
      return;
  }
}

std::vector<std::string> warnings_of(const v1::Object& object) {
  std::vector<std::string> warnings;
  if (object.has_endpoint_slice()) {
    const v1::EndpointSlice& slice = object.endpoint_slice();
    if (!slice.metadata().labels().contains("kubernetes.io/service-name")) {
      warnings.push_back("belongs to no Service: the label kubernetes.io/service-name is missing");
    }
    if (slice.address_type() == "FQDN") {
      warnings.push_back("addressType FQDN is not forwarded to; name addresses");
    }
  }
  if (object.has_pod()) {
    const v1::PodStatus& status = object.pod().status();
    if (status.pod_ips().empty()) {
      warnings.push_back(
          "has no status.podIPs: there is no cluster that would give it addresses, so it is no "
          "endpoint of any Service");
    } else {
      bool ready = false;
      for (const auto& c : status.conditions()) {
        ready = ready || (c.type() == "Ready" && c.status() == "True");
      }
      if (!ready) {
        warnings.push_back("has no condition Ready with status \"True\", so it gets no traffic");
      }
    }
  }
  return warnings;
}

}  // namespace sluice
