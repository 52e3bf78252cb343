// What the API server does with a Service.
#include <boost/asio/ip/address.hpp>
#include <map>
#include <set>
#include <utility>

#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/rules.h"

namespace sluice::test::kube {
namespace {

std::string type_of(const json::object& object) {
  return text_at(object, {"spec", "type"});
}

bool has_node_ports(const std::string& type) {
  return type == "NodePort" || type == "LoadBalancer";
}

json::array* list_in(json::object& object, std::string_view name) {
  json::value* value = object.if_contains(name);
  return value != nullptr ? value->if_array() : nullptr;
}

std::string port_key(const json::object& port) {
  const json::value* number = port.if_contains("port");
  return (number != nullptr ? json::serialize(*number) : "") + "/" + text_at(port, {"protocol"});
}

bool is_ip(const std::string& text) {
  boost::system::error_code error;
  boost::asio::ip::make_address(text, error);
  return !error && text.find('%') == std::string::npos;
}

std::string quoted(const json::value& value) {
  return json::serialize(value);
}

constexpr const char* kIpText = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

void validate_port(const json::object& port, const std::string& field, bool need_name,
                   std::set<std::string>& names, std::set<std::string>& numbers,
                   std::vector<Cause>& causes) {
  const std::string name = text_at(port, {"name"});
  if (name.empty() && need_name) causes.push_back(required_value(field + ".name"));
  if (!name.empty() && !names.insert(name).second) {
    causes.push_back(duplicate_value(field + ".name", "\"" + name + "\""));
  }
  const json::value* number = port.if_contains("port");
  if (number == nullptr || !number->is_int64() || number->get_int64() < 1 ||
      number->get_int64() > 65535) {
    causes.push_back(invalid_value(field + ".port", number != nullptr ? quoted(*number) : "0",
                                   "must be between 1 and 65535, inclusive"));
  }
  const std::string protocol = text_at(port, {"protocol"});
  if (protocol != "TCP" && protocol != "UDP" && protocol != "SCTP") {
    causes.push_back(unsupported_value(field + ".protocol", protocol, R"("SCTP", "TCP", "UDP")"));
  }
  if (!numbers.insert(port_key(port)).second) {
    causes.push_back(duplicate_value(field, quoted(port)));
  }
}

void validate_ports(const json::object& object, std::vector<Cause>& causes) {
  const json::value* ports = at(object, {"spec", "ports"});
  const bool none = ports == nullptr || !ports->is_array() || ports->get_array().empty();
  const bool headless = text_at(object, {"spec", "clusterIP"}) == "None";
  if (none) {
    if (!headless && type_of(object) != "ExternalName") {
      causes.push_back(required_value("spec.ports"));
    }
    return;
  }
  std::set<std::string> names, numbers;
  std::size_t index = 0;
  for (const json::value& port : ports->get_array()) {
    const std::string field = "spec.ports[" + std::to_string(index++) + "]";
    if (port.is_object()) {
      validate_port(port.get_object(), field, ports->get_array().size() > 1, names, numbers,
                    causes);
    } else {
      causes.push_back(required_value(field));
    }
  }
}

void validate_immutable(const json::object& object, const json::object& before,
                        std::vector<Cause>& causes) {
  const std::string old_type = type_of(before), type = type_of(object);
  const std::string old_ip = text_at(before, {"spec", "clusterIP"});
  const std::string ip = text_at(object, {"spec", "clusterIP"});
  if (old_type != "ExternalName" && type != "ExternalName" && !old_ip.empty() && ip != old_ip) {
    causes.push_back(
        invalid_value("spec.clusterIPs[0]", "[]string{\"" + ip + "\"}", "may not change once set"));
  }
  const json::value* old_class = at(before, {"spec", "loadBalancerClass"});
  const json::value* new_class = at(object, {"spec", "loadBalancerClass"});
  if (old_type == "LoadBalancer" && type == "LoadBalancer") {
    const bool same = old_class == nullptr || new_class == nullptr ? old_class == new_class
                                                                   : *old_class == *new_class;
    if (!same) {
      causes.push_back(invalid_value("spec.loadBalancerClass",
                                     new_class != nullptr ? quoted(*new_class) : "null",
                                     "may not change once set"));
    }
  }
}

void allocate_addresses(json::object& spec, const Allocator& allocator) {
  const bool headless = text_at(spec, {"clusterIP"}) == "None";
  const bool has_selector = spec.contains("selector");
  if (!spec.contains("ipFamilyPolicy")) {
    spec["ipFamilyPolicy"] = headless && !has_selector ? "RequireDualStack" : "SingleStack";
  }
  const bool dual = text_at(spec, {"ipFamilyPolicy"}) != "SingleStack";
  json::array families;
  if (json::array* given = list_in(spec, "ipFamilies")) families = *given;
  if (families.empty()) families.push_back("IPv4");
  if (dual && families.size() == 1) families.push_back(families[0] == "IPv4" ? "IPv6" : "IPv4");
  if (!dual && families.size() > 1) families.resize(1);
  json::array addresses;
  if (json::array* given = list_in(spec, "clusterIPs")) addresses = *given;
  if (addresses.empty() && !text_at(spec, {"clusterIP"}).empty()) {
    addresses.push_back(json::value(text_at(spec, {"clusterIP"})));
  }
  if (headless) {
    addresses = {"None"};
  } else {
    if (addresses.size() > families.size()) addresses.resize(families.size());
    while (addresses.size() < families.size()) {
      addresses.push_back(json::value(allocator.address(families[addresses.size()] == "IPv6")));
    }
  }
  spec["clusterIP"] = addresses[0];
  spec["clusterIPs"] = std::move(addresses);
  spec["ipFamilies"] = std::move(families);
}

void allocate_node_ports(json::object& spec, const Allocator& allocator,
                         std::vector<Cause>& causes) {
  json::array* ports = list_in(spec, "ports");
  if (ports == nullptr) return;
  std::map<std::string, int> by_number;  // TCP and UDP of one port share a node port.
  std::size_t index = 0;
  for (json::value& entry : *ports) {
    json::object& port = entry.get_object();
    const std::string field = "spec.ports[" + std::to_string(index++) + "].nodePort";
    const std::string number = json::serialize(port["port"]);
    if (const json::value* given = port.if_contains("nodePort");
        given != nullptr && given->is_int64() && given->get_int64() != 0) {
      const auto value = static_cast<int>(given->get_int64());
      if (value < 30000 || value > 32767) {
        causes.push_back(invalid_value(field, quoted(*given),
                                       "provided port is not in the valid range. The range of "
                                       "valid ports is 30000-32767"));
      } else if (allocator.node_port_is_taken(value)) {
        causes.push_back(
            invalid_value(field, quoted(*given), "provided port is already allocated"));
      }
      by_number.emplace(number, value);
      continue;
    }
    auto [place, fresh] = by_number.try_emplace(number, 0);
    if (fresh) place->second = allocator.node_port();
    if (place->second == 0) {
      causes.push_back(invalid_value(field, "0", "failed to allocate a nodePort: range is full"));
    }
    port["nodePort"] = place->second;
  }
}

}  // namespace

void default_ingress(json::object& object) {
  json::object& balancer = child(child(object, "status"), "loadBalancer");
  json::array* ingress = list_in(balancer, "ingress");
  if (ingress != nullptr && ingress->empty()) drop(balancer, "ingress");
  if (balancer.contains("ingress") && balancer["ingress"].is_null()) drop(balancer, "ingress");
  ingress = list_in(balancer, "ingress");
  if (ingress == nullptr) return;
  for (json::value& entry : *ingress) {
    if (!entry.is_object()) continue;
    json::object& point = entry.get_object();
    if (point.contains("ip") && !point.contains("ipMode")) {
      // The real server writes it before ports.
      const json::value ports = point.contains("ports") ? point["ports"] : json::value();
      drop(point, "ports");
      point["ipMode"] = "VIP";
      if (!ports.is_null()) point["ports"] = ports;
    }
  }
}

void default_service(json::object& object) {
  json::object& spec = child(object, "spec");
  if (!spec.contains("type")) spec["type"] = "ClusterIP";
  if (!spec.contains("sessionAffinity")) spec["sessionAffinity"] = "None";
  if (spec["sessionAffinity"] == "ClientIP" && !spec.contains("sessionAffinityConfig")) {
    spec["sessionAffinityConfig"] = {{"clientIP", {{"timeoutSeconds", 10800}}}};
  }
  if (spec["sessionAffinity"] == "None") drop(spec, "sessionAffinityConfig");
  const std::string type = text_at(spec, {"type"});
  const bool outside =
      has_node_ports(type) || (type == "ClusterIP" && spec.contains("externalIPs"));
  if (outside && !spec.contains("externalTrafficPolicy")) spec["externalTrafficPolicy"] = "Cluster";
  if (type != "ExternalName" && !spec.contains("internalTrafficPolicy")) {
    spec["internalTrafficPolicy"] = "Cluster";
  }
  if (type == "LoadBalancer" && !spec.contains("allocateLoadBalancerNodePorts")) {
    spec["allocateLoadBalancerNodePorts"] = true;
  }
  if (json::array* ports = list_in(spec, "ports")) {
    if (ports->empty()) drop(spec, "ports");
  }
  if (json::array* ports = list_in(spec, "ports")) {
    for (json::value& entry : *ports) {
      if (!entry.is_object()) continue;
      json::object& port = entry.get_object();
      if (!port.contains("protocol")) port["protocol"] = "TCP";
      const json::value* target = port.if_contains("targetPort");
      if ((target == nullptr || *target == 0 || *target == "") && port.contains("port")) {
        port["targetPort"] = json::value(port["port"]);
      }
      if (text_at(port, {"name"}).empty()) drop(port, "name");
    }
  }
  default_ingress(object);
}

void carry_over_service(const json::object& before, json::object& object) {
  json::object& spec = child(object, "spec");
  const std::string old_type = type_of(before), type = text_at(spec, {"type"});
  const json::value* old_spec_value = before.if_contains("spec");
  if (old_spec_value == nullptr || !old_spec_value->is_object()) return;
  const json::object& old_spec = old_spec_value->get_object();
  if (type == "ExternalName") {
    for (const char* name :
         {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy",
          "externalTrafficPolicy", "allocateLoadBalancerNodePorts", "healthCheckNodePort",
          "loadBalancerClass"}) {
      drop(spec, name);
    }
  } else if (old_type != "ExternalName") {
    for (const char* name : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) {
      if (!spec.contains(name) && old_spec.contains(name)) spec[name] = old_spec.at(name);
    }
  }
  const bool ports_stay = has_node_ports(old_type) && has_node_ports(type);
  json::array* ports = list_in(spec, "ports");
  const json::value* old_ports = old_spec.if_contains("ports");
  for (std::size_t i = 0; ports != nullptr && i < ports->size(); ++i) {
    if (!(*ports)[i].is_object()) continue;
    json::object& port = (*ports)[i].get_object();
    if (!has_node_ports(type)) drop(port, "nodePort");
    if (!ports_stay || port.contains("nodePort") || old_ports == nullptr) continue;
    for (const json::value& old : old_ports->as_array()) {
      if (port_key(old.get_object()) == port_key(port) && old.get_object().contains("nodePort")) {
        port["nodePort"] = old.at("nodePort");
      }
    }
  }
  const bool outside = has_node_ports(type) || spec.contains("externalIPs");
  if (!outside) drop(spec, "externalTrafficPolicy");
  if (type != "LoadBalancer") {
    for (const char* name : {"allocateLoadBalancerNodePorts", "loadBalancerClass"}) {
      drop(spec, name);
    }
    if (old_type == "LoadBalancer") child(child(object, "status"), "loadBalancer").clear();
  }
  if (type != "LoadBalancer" || text_at(spec, {"externalTrafficPolicy"}) != "Local") {
    drop(spec, "healthCheckNodePort");
  } else if (!spec.contains("healthCheckNodePort") && old_spec.contains("healthCheckNodePort")) {
    spec["healthCheckNodePort"] = old_spec.at("healthCheckNodePort");
  }
}

std::vector<Cause> allocate_service(json::object& object, const Allocator& allocator) {
  std::vector<Cause> causes;
  json::object& spec = child(object, "spec");
  const std::string type = text_at(spec, {"type"});
  if (type == "ExternalName") return causes;
  allocate_addresses(spec, allocator);
  const json::value* wanted = spec.if_contains("allocateLoadBalancerNodePorts");
  if (type == "NodePort" || (type == "LoadBalancer" && (wanted == nullptr || *wanted == true))) {
    allocate_node_ports(spec, allocator, causes);
  }
  if (type == "LoadBalancer" && text_at(spec, {"externalTrafficPolicy"}) == "Local" &&
      !spec.contains("healthCheckNodePort")) {
    spec["healthCheckNodePort"] = allocator.node_port();
  }
  return causes;
}

std::vector<Cause> validate_service(const json::object& object, const json::object* before) {
  std::vector<Cause> causes;
  validate_ports(object, causes);
  const std::string type = type_of(object);
  if (type != "ClusterIP" && !has_node_ports(type) && type != "ExternalName") {
    causes.push_back(unsupported_value(
        "spec.type", type, R"("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")"));
  }
  if (type == "ExternalName" && text_at(object, {"spec", "externalName"}).empty()) {
    causes.push_back(required_value("spec.externalName"));
  }
  if (has_node_ports(type) && text_at(object, {"spec", "clusterIP"}) == "None") {
    causes.push_back(invalid_value("spec.clusterIPs[0]", "\"None\"",
                                   "may not be set to 'None' for " + type + " services"));
  }
  for (const char* name : {"externalTrafficPolicy", "internalTrafficPolicy"}) {
    const std::string policy = text_at(object, {"spec", name});
    if (!policy.empty() && policy != "Cluster" && policy != "Local") {
      causes.push_back(
          unsupported_value(std::string("spec.") + name, policy, R"("Cluster", "Local")"));
    }
  }
  if (type != "LoadBalancer" && at(object, {"spec", "loadBalancerClass"}) != nullptr) {
    causes.push_back(forbidden_value("spec.loadBalancerClass",
                                     "may only be used when `type` is 'LoadBalancer'"));
  }
  if (before != nullptr) validate_immutable(object, *before, causes);
  return causes;
}

std::vector<Cause> validate_service_status(const json::object& object) {
  std::vector<Cause> causes;
  const json::value* ingress = at(object, {"status", "loadBalancer", "ingress"});
  if (ingress == nullptr || !ingress->is_array()) return causes;
  if (type_of(object) != "LoadBalancer") {
    causes.push_back(forbidden_value("status.loadBalancer.ingress",
                                     "may only be used when `spec.type` is 'LoadBalancer'"));
    return causes;
  }
  std::size_t index = 0;
  for (const json::value& entry : ingress->get_array()) {
    const std::string field = "status.loadBalancer.ingress[" + std::to_string(index++) + "]";
    if (!entry.is_object()) continue;
    const std::string ip = text_at(entry.get_object(), {"ip"});
    const std::string mode = text_at(entry.get_object(), {"ipMode"});
    const std::string host = text_at(entry.get_object(), {"hostname"});
    if (!ip.empty() && !is_ip(ip)) {
      causes.push_back(invalid_value(field + ".ip", "\"" + ip + "\"", kIpText));
    }
    if (ip.empty() && !mode.empty()) {
      causes.push_back(
          forbidden_value(field + ".ipMode", "may not be specified when `ip` is not set"));
    }
    if (!ip.empty() && mode != "VIP" && mode != "Proxy") {
      causes.push_back(unsupported_value(field + ".ipMode", mode, R"("Proxy", "VIP")"));
    }
    if (!host.empty() && is_ip(host)) {
      causes.push_back(invalid_value(field + ".hostname", "\"" + host + "\"",
                                     "must be a DNS name, not an IP address"));
    }
  }
  return causes;
}

}  // namespace sluice::test::kube
