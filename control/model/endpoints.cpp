#include "control/model/endpoints.h"

#include <algorithm>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

namespace sluice {
namespace {

constexpr std::uint32_t kHighestPort = 65'535;

bool is_port(std::int64_t port) {
  return port >= 1 && port <= kHighestPort;
}

const std::string& or_tcp(const std::string& protocol) {
  static const std::string tcp = "TCP";
  return protocol.empty() ? tcp : protocol;
}

// Collects the endpoints of every port; of several for one address and port the more usable one
// stays, as slices may overlap while a controller moves endpoints between them.
class Collector {
 public:
  explicit Collector(const v1::Service& service) : service_(service) {
    found_.resize(static_cast<std::size_t>(service.spec().ports_size()));
  }

  void warn(std::string reason, std::string message) {
    if (warned_.insert({reason, message}).second) {
      result_.warnings.push_back({std::move(reason), std::move(message)});
    }
  }

  void add(std::size_t port, const PortEndpoint& endpoint) { found_[port].push_back(endpoint); }

  // An address a packet may be sent to; warns of any other.
  std::optional<IpAddress> backend_address(const std::string& text, const std::string& whose) {
    const auto address = IpAddress::parse(text);
    if (!address) {
      warn("InvalidEndpointAddress", whose + ": \"" + text + "\" is no address; it is left out");
    } else if (address->is_unspecified() || address->is_loopback() || address->is_link_local() ||
               address->is_multicast()) {
      warn("InvalidEndpointAddress", whose + ": " + text + " cannot be a backend; it is left out");
    } else {
      return address;
    }
    return std::nullopt;
  }

  // Index of a Service port, and the number it has at the endpoint.
  using PortMatch = std::pair<std::size_t, std::uint32_t>;
  // The port of each Service port among those of a slice or subset, which go by the port's name.
  template <typename Ports>
  std::vector<PortMatch> match_ports(const Ports& ports, const std::string& whose) {
    std::vector<PortMatch> matches;
    for (int i = 0; i < service_.spec().ports_size(); ++i) {
      const v1::ServicePort& wanted = service_.spec().ports(i);
      for (const v1::EndpointPort& port : ports) {
        if (port.name() != wanted.name() || or_tcp(port.protocol()) != or_tcp(wanted.protocol())) {
          continue;
        }
        if (!port.has_port() || !is_port(port.port())) {
          warn("InvalidEndpointPort", whose + ": a port without a number from 1 to 65535");
          continue;
        }
        matches.emplace_back(static_cast<std::size_t>(i), static_cast<std::uint32_t>(port.port()));
      }
    }
    return matches;
  }

  ServiceEndpoints finish() {
    for (std::vector<PortEndpoint>& port : found_) {
      sort_unique(&port);
      result_.ports.push_back(std::move(port));
    }
    return std::move(result_);
  }

 private:
  static void sort_unique(std::vector<PortEndpoint>* endpoints) {
    const auto before = [](const PortEndpoint& a, const PortEndpoint& b) {
      return std::tie(a.address, a.port) < std::tie(b.address, b.port) ||
             (std::tie(a.address, a.port) == std::tie(b.address, b.port) && usable(a) > usable(b));
    };
    const auto alike = [](const PortEndpoint& a, const PortEndpoint& b) {
      return a.address == b.address && a.port == b.port;
    };
    std::stable_sort(endpoints->begin(), endpoints->end(), before);
    endpoints->erase(std::unique(endpoints->begin(), endpoints->end(), alike), endpoints->end());
  }
  static std::tuple<bool, bool, bool> usable(const PortEndpoint& e) {
    return {e.ready, e.serving, !e.terminating};
  }

  const v1::Service& service_;
  std::vector<std::vector<PortEndpoint>> found_;
  std::set<std::pair<std::string, std::string>> warned_;
  ServiceEndpoints result_;
};

// ---- Pods, for Services with a selector.

bool pod_is_ready(const v1::Pod& pod) {
  for (const v1::PodCondition& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  return false;
}

std::optional<std::uint32_t> named_port(const v1::PodSpec& spec, const std::string& name,
                                        const std::string& protocol) {
  const auto among = [&](const v1::Container& container) -> std::optional<std::uint32_t> {
    for (const v1::ContainerPort& port : container.ports()) {
      if (port.name() == name && or_tcp(port.protocol()) == protocol &&
          is_port(port.container_port())) {
        return static_cast<std::uint32_t>(port.container_port());
      }
    }
    return std::nullopt;
  };
  for (const v1::Container& container : spec.containers()) {
    if (const auto port = among(container)) return port;
  }
  for (const v1::Container& container : spec.init_containers()) {
    if (container.restart_policy() != "Always") continue;  // Only sidecars keep running.
    if (const auto port = among(container)) return port;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> target_port(const v1::ServicePort& port, const v1::Pod& pod) {
  switch (port.target_port().value_case()) {
    case v1::IntOrString::kName:
      return named_port(pod.spec(), port.target_port().name(), or_tcp(port.protocol()));
    case v1::IntOrString::kNumber:
      if (port.target_port().number() != 0) {
        return static_cast<std::uint32_t>(port.target_port().number());
      }
      break;
    case v1::IntOrString::VALUE_NOT_SET:
      break;
  }
  return static_cast<std::uint32_t>(port.port());
}

std::vector<std::string> pod_addresses(const v1::PodStatus& status) {
  std::vector<std::string> addresses;
  for (const v1::PodIP& ip : status.pod_ips()) addresses.push_back(ip.ip());
  if (addresses.empty() && !status.pod_ip().empty()) addresses.push_back(status.pod_ip());
  return addresses;
}

void add_pod(const v1::Service& service, const v1::Pod& pod, Collector* collector) {
  if (pod.status().phase() == "Succeeded" || pod.status().phase() == "Failed") return;
  PortEndpoint endpoint;
  endpoint.target = {pod.metadata().namespace_(), pod.metadata().name()};
  const std::string whose = "pod " + pod.metadata().namespace_() + "/" + pod.metadata().name();
  endpoint.node = pod.spec().node_name();
  endpoint.serving = pod_is_ready(pod);
  endpoint.terminating = !pod.metadata().deletion_timestamp().empty();
  endpoint.ready =
      service.spec().publish_not_ready_addresses() || (endpoint.serving && !endpoint.terminating);
  for (const std::string& text : pod_addresses(pod.status())) {
    const auto address = collector->backend_address(text, whose);
    if (!address) continue;
    endpoint.address = *address;
    for (int i = 0; i < service.spec().ports_size(); ++i) {
      const v1::ServicePort& port = service.spec().ports(i);
      const auto target = target_port(port, pod);
      if (!target || !is_port(*target)) {
        collector->warn("UnresolvedTargetPort", whose + " has no container port \"" +
                                                    port.target_port().name() + "\" (" +
                                                    or_tcp(port.protocol()) + ")");
        continue;
      }
      endpoint.port = *target;
      collector->add(static_cast<std::size_t>(i), endpoint);
    }
  }
}

// ---- Slices and Endpoints, for the others.

Target target_of(const v1::ObjectReference& reference, const std::string& ns) {
  if (reference.kind() != "Pod" || reference.name().empty()) return {};
  return {reference.namespace_().empty() ? ns : reference.namespace_(), reference.name()};
}

void add_slice(const v1::EndpointSlice& slice, Collector* collector) {
  const std::string whose = "EndpointSlice " + slice.metadata().name();
  if (slice.address_type() != "IPv4" && slice.address_type() != "IPv6") {
    collector->warn("SliceIgnored", whose + " has addressType " + slice.address_type() +
                                        "; only IPv4 and IPv6 are forwarded to");
    return;
  }
  std::optional<std::vector<Collector::PortMatch>> ports;  // Looked for if there is any endpoint.
  for (const v1::Endpoint& from : slice.endpoints()) {
    if (from.addresses().empty()) continue;
    if (from.addresses_size() > 1) {
      collector->warn("EndpointAddressesIgnored",
                      whose + ": of several addresses of an endpoint the first is used");
    }
    const auto address = collector->backend_address(from.addresses(0), whose);
    if (!address) continue;
    if (slice.address_type() != family_name(family_of(*address))) {
      collector->warn("WrongFamily", whose + ": " + from.addresses(0) + " is not " +
                                         slice.address_type() + "; it is left out");
      continue;
    }
    PortEndpoint endpoint;
    endpoint.address = *address;
    endpoint.target = target_of(from.target_ref(), slice.metadata().namespace_());
    endpoint.node = from.node_name();
    const v1::EndpointConditions& conditions = from.conditions();
    endpoint.ready = !conditions.has_ready() || conditions.ready();
    endpoint.serving = conditions.has_serving() ? conditions.serving() : endpoint.ready;
    endpoint.terminating = conditions.terminating();
    if (!ports) ports = collector->match_ports(slice.ports(), whose);
    for (const auto& [index, port] : *ports) {
      endpoint.port = port;
      collector->add(index, endpoint);
    }
  }
}

void add_endpoints(const v1::Endpoints& endpoints, Collector* collector) {
  const std::string whose = "Endpoints " + endpoints.metadata().name();
  const auto add = [&](const v1::EndpointSubset& subset, const v1::EndpointAddress& from,
                       bool ready) {
    const auto address = collector->backend_address(from.ip(), whose);
    if (!address) return;
    PortEndpoint endpoint;
    endpoint.address = *address;
    endpoint.target = target_of(from.target_ref(), endpoints.metadata().namespace_());
    endpoint.node = from.node_name();
    endpoint.ready = endpoint.serving = ready;
    for (const auto& [index, port] : collector->match_ports(subset.ports(), whose)) {
      endpoint.port = port;
      collector->add(index, endpoint);
    }
  };
  for (const v1::EndpointSubset& subset : endpoints.subsets()) {
    for (const auto& address : subset.addresses()) add(subset, address, true);
    for (const auto& address : subset.not_ready_addresses()) add(subset, address, false);
  }
}

// What was written by hand for a family the Service does not have is likely a mistake, unless that
// is all there is: some modes go from one family to the other.
void warn_of_wrong_families(const v1::Service& service, Collector* collector,
                            const ServiceInputs& inputs) {
  if (service.spec().ip_families().empty()) return;
  const auto has = [&](const char* family) {
    const auto& families = service.spec().ip_families();
    return std::find(families.begin(), families.end(), family) != families.end();
  };
  bool any_right = false;
  std::vector<std::string> wrong;
  const auto check = [&](const std::string& text, const std::string& whose) {
    const auto address = IpAddress::parse(text);
    if (!address) return;
    const char* family = family_name(family_of(*address));
    if (has(family)) {
      any_right = true;
    } else {
      wrong.push_back(whose + ": the Service is not " + family +
                      " (spec.ipFamilies); its endpoints of that family are unused");
    }
  };
  for (const ObjectPointer& slice : inputs.slices) {
    for (const v1::Endpoint& endpoint : slice->endpoint_slice().endpoints()) {
      if (endpoint.addresses().empty()) continue;
      check(endpoint.addresses(0), "EndpointSlice " + slice->endpoint_slice().metadata().name());
    }
  }
  if (inputs.slices.empty() && inputs.endpoints != nullptr) {
    for (const v1::EndpointSubset& subset : inputs.endpoints->endpoints().subsets()) {
      for (const auto& a : subset.addresses()) check(a.ip(), "Endpoints " + inputs.key.name);
      for (const auto& a : subset.not_ready_addresses())
        check(a.ip(), "Endpoints " + inputs.key.name);
    }
  }
  if (!any_right) return;
  for (std::string& text : wrong) collector->warn("WrongFamily", std::move(text));
}

}  // namespace

ServiceEndpoints endpoints_of(const ServiceInputs& inputs) {
  if (inputs.service == nullptr) return {};
  const v1::Service& service = inputs.service->service();
  const bool by_pods = inputs.key.source == kManualSource && !service.spec().selector().empty();
  Collector collector(service);
  for (const ObjectPointer& pod : inputs.pods) add_pod(service, pod->pod(), &collector);
  for (const ObjectPointer& slice : inputs.slices) add_slice(slice->endpoint_slice(), &collector);
  if (inputs.endpoints != nullptr && by_pods) {
    collector.warn("EndpointsIgnored",
                   "the Endpoints of that name are unused, since the Service has a selector");
  } else if (inputs.endpoints != nullptr && inputs.slices.empty()) {
    add_endpoints(inputs.endpoints->endpoints(), &collector);
  }
  // A cluster's own controller decides for its Services.
  if (inputs.key.source == kManualSource) warn_of_wrong_families(service, &collector, inputs);
  return collector.finish();
}

}  // namespace sluice
