// Which endpoints a Service has: what the cluster's endpoint controller works out for Services with
// a selector (from Pods, in source manual), and what slices and Endpoints say for the others.
// Source: Kubernetes, EndpointSlice API (discovery.k8s.io/v1) and the endpoint slice controller's
// rules. Thread: any, pure. Ownership: texts of endpoints stay in the objects they come from.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/forwarding.h"
#include "control/model/model.h"

namespace sluice {

// The Pod behind an endpoint.
struct Target {
  std::string_view ns, name;

  bool empty() const { return name.empty(); }
  // "NAMESPACE/POD", or nothing.
  void write(std::string* text) const {
    text->clear();
    if (empty()) return;
    text->append(ns).append("/").append(name);
  }
};

struct PortEndpoint {
  IpAddress address;
  std::uint32_t port = 0;  // The backend's, 1 to 65535.
  Target target;
  std::string_view node;  // It runs on; empty: not known.
  bool ready = true;
  bool serving = true;
  bool terminating = false;
};

struct Warning {
  std::string reason;   // CamelCase word for machines.
  std::string message;  // A sentence for people.
};

struct ServiceEndpoints {
  // For each of spec.ports: both families, ordered by address and port, no two alike.
  std::vector<std::vector<PortEndpoint>> ports;
  std::vector<Warning> warnings;
};

ServiceEndpoints endpoints_of(const ServiceInputs& inputs);

}  // namespace sluice
