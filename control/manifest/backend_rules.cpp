// Pods, EndpointSlices, Endpoints and pools: what the API server checks.
#include <set>

#include "control/manifest/object_rules.h"
#include "control/model/service_plan.h"
#include "proto/address.h"

namespace sluice {
namespace {

constexpr int kMaxSliceEndpoints = 1000;  // As the API server limits them.
constexpr int kMaxSlicePorts = 20'000;
constexpr int kMaxEndpointsAddresses = 100'000;
constexpr int kMaxNodeAddresses = 100;

std::string element(const std::string& path, int index) {
  return path + "[" + std::to_string(index) + "]";
}

void check_endpoint_ports(const google::protobuf::RepeatedPtrField<v1::EndpointPort>& ports,
                          const std::string& path, FieldErrors* errors) {
  std::set<std::string> names;
  for (int i = 0; i < ports.size(); ++i) {
    const std::string at = element(path, i);
    check_protocol(ports[i].protocol(), at + ".protocol", errors);
    if (ports[i].has_port()) check_port_number(ports[i].port(), at + ".port", errors);
    if (!ports[i].name().empty() && !is_dns_label(ports[i].name())) {
      errors->add(at + ".name", "\"" + ports[i].name() + "\" is not a DNS label");
    }
    if (!names.insert(ports[i].name()).second) {
      errors->add(at + ".name", ports[i].name().empty()
                                    ? "is missing; with several ports each needs a name"
                                    : "\"" + ports[i].name() + "\" is another port's name already");
    }
  }
}

void check_container_ports(const v1::Container& container, const std::string& path,
                           FieldErrors* errors) {
  for (int i = 0; i < container.ports_size(); ++i) {
    const v1::ContainerPort& port = container.ports(i);
    const std::string at = element(path + ".ports", i);
    check_port_number(port.container_port(), at + ".containerPort", errors);
    check_protocol(port.protocol(), at + ".protocol", errors);
    if (port.host_port() != 0) check_port_number(port.host_port(), at + ".hostPort", errors);
    if (!port.name().empty() && !is_port_name(port.name())) {
      errors->add(at + ".name", "\"" + port.name() +
                                    "\" is not a port's name (at most 15 lower-case letters, "
                                    "digits and '-')");
    }
  }
}

}  // namespace

void check_port_number(std::int64_t port, const std::string& path, FieldErrors* errors) {
  if (port >= 1 && port <= 65'535) return;
  errors->add(path, std::to_string(port) + " is not a port; right is 1 to 65535");
}

void check_protocol(const std::string& protocol, const std::string& path, FieldErrors* errors) {
  one_of(protocol, {"TCP", "UDP", "SCTP"}, path, errors);
}

bool one_of(const std::string& value, std::initializer_list<const char*> words,
            const std::string& path, FieldErrors* errors) {
  return one_of(value, std::span(words.begin(), words.size()), path, errors);
}

bool one_of(const std::string& value, std::span<const char* const> words, const std::string& path,
            FieldErrors* errors) {
  std::string list;
  for (const char* word : words) {
    if (value == word) return true;
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  errors->add(path, "\"" + value + "\" is not one of: " + list);
  return false;
}

void check_endpoint_address(const std::string& text, const std::string& family,
                            const std::string& path, FieldErrors* errors) {
  const auto address = IpAddress::parse(text);
  if (!address) {
    errors->add(path, "\"" + text + "\" is not " +
                          (family.empty() ? "an IPv4 or IPv6" : "an " + family) + " address");
  } else if (!family.empty() && family != family_name(family_of(*address))) {
    errors->add(path, text + " is not an " + family + " address, as addressType says");
  } else if (address->is_unspecified() || address->is_loopback() || address->is_link_local() ||
             address->is_multicast()) {
    errors->add(path, text +
                          " is unspecified, loopback, link-local or multicast; nothing can be "
                          "forwarded there");
  }
}

void check_slice(const v1::EndpointSlice& slice, FieldErrors* errors) {
  if (!one_of(slice.address_type(), {"IPv4", "IPv6", "FQDN"}, "addressType", errors)) return;
  if (slice.endpoints_size() > kMaxSliceEndpoints) {
    errors->add("endpoints", std::to_string(slice.endpoints_size()) +
                                 " endpoints; a slice has at most " +
                                 std::to_string(kMaxSliceEndpoints));
    return;
  }
  if (slice.ports_size() > kMaxSlicePorts) {
    errors->add("ports", "at most " + std::to_string(kMaxSlicePorts) + " are allowed");
    return;
  }
  for (int i = 0; i < slice.endpoints_size(); ++i) {
    const auto& addresses = slice.endpoints(i).addresses();
    const std::string path = element("endpoints", i) + ".addresses";
    if (addresses.empty() || addresses.size() > 100) {
      errors->add(path, "an endpoint has 1 to 100 addresses");
      continue;
    }
    for (int a = 0; a < addresses.size(); ++a) {
      if (slice.address_type() == "FQDN") {
        if (!is_dns_subdomain(addresses[a])) {
          errors->add(element(path, a), "\"" + addresses[a] + "\" is not a DNS name");
        }
      } else {
        check_endpoint_address(addresses[a], slice.address_type(), element(path, a), errors);
      }
    }
  }
  check_endpoint_ports(slice.ports(), "ports", errors);
}

void check_endpoints(const v1::Endpoints& endpoints, FieldErrors* errors) {
  int count = 0;
  for (int i = 0; i < endpoints.subsets_size(); ++i) {
    const v1::EndpointSubset& subset = endpoints.subsets(i);
    const std::string path = element("subsets", i);
    count += subset.addresses_size() + subset.not_ready_addresses_size();
    if (subset.addresses().empty() && subset.not_ready_addresses().empty()) {
      errors->add(path, "has neither addresses nor notReadyAddresses");
    }
    for (int a = 0; a < subset.addresses_size(); ++a) {
      check_endpoint_address(subset.addresses(a).ip(), "", element(path + ".addresses", a) + ".ip",
                             errors);
    }
    for (int a = 0; a < subset.not_ready_addresses_size(); ++a) {
      check_endpoint_address(subset.not_ready_addresses(a).ip(), "",
                             element(path + ".notReadyAddresses", a) + ".ip", errors);
    }
    for (int p = 0; p < subset.ports_size(); ++p) {
      if (!subset.ports(p).has_port()) {
        errors->add(element(path + ".ports", p) + ".port", "is missing");
      }
    }
    check_endpoint_ports(subset.ports(), path + ".ports", errors);
  }
  if (count > kMaxEndpointsAddresses) {
    errors->add("subsets", std::to_string(count) + " addresses; use EndpointSlices for more than " +
                               std::to_string(kMaxEndpointsAddresses));
  }
}

void check_pod(const v1::Pod& pod, FieldErrors* errors) {
  for (int i = 0; i < pod.spec().containers_size(); ++i) {
    check_container_ports(pod.spec().containers(i), element("spec.containers", i), errors);
  }
  for (int i = 0; i < pod.spec().init_containers_size(); ++i) {
    check_container_ports(pod.spec().init_containers(i), element("spec.initContainers", i), errors);
  }
  const v1::PodStatus& status = pod.status();
  if (!status.phase().empty()) {
    one_of(status.phase(), {"Pending", "Running", "Succeeded", "Failed", "Unknown"}, "status.phase",
           errors);
  }
  if (!status.pod_ip().empty()) {
    check_endpoint_address(status.pod_ip(), "", "status.podIP", errors);
  }
  std::set<std::string> families;
  for (int i = 0; i < status.pod_ips_size(); ++i) {
    const std::string path = element("status.podIPs", i) + ".ip";
    check_endpoint_address(status.pod_ips(i).ip(), "", path, errors);
    const auto address = IpAddress::parse(status.pod_ips(i).ip());
    if (address && !families.insert(family_name(family_of(*address))).second) {
      errors->add(path, "a pod has one address of each family at most");
    }
  }
  for (int i = 0; i < status.conditions_size(); ++i) {
    one_of(status.conditions(i).status(), {"True", "False", "Unknown"},
           element("status.conditions", i) + ".status", errors);
  }
}

void check_node(const v1::Node& node, FieldErrors* errors) {
  const v1::NodeStatus& status = node.status();
  if (status.addresses_size() > kMaxNodeAddresses) {
    errors->add("status.addresses", std::to_string(status.addresses_size()) +
                                        " addresses; at most " + std::to_string(kMaxNodeAddresses) +
                                        " are allowed");
    return;
  }
  for (int i = 0; i < status.addresses_size(); ++i) {
    const std::string path = element("status.addresses", i);
    const v1::NodeAddress& address = status.addresses(i);
    one_of(address.type(), {"InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"},
           path + ".type", errors);
    if (address.type() == "InternalIP" || address.type() == "ExternalIP") {
      check_endpoint_address(address.address(), "", path + ".address", errors);
    }
  }
  for (int i = 0; i < status.conditions_size(); ++i) {
    one_of(status.conditions(i).status(), {"True", "False", "Unknown"},
           element("status.conditions", i) + ".status", errors);
  }
}

}  // namespace sluice
