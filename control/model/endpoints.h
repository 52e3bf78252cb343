// Which endpoints a Service has: what the cluster's endpoint controller works out for Services with
// a selector (from Pods, in source manual), and what slices and Endpoints say for the others.
// Source: Kubernetes, EndpointSlice API (discovery.k8s.io/v1) and the endpoint slice controller's
// rules. Thread: any, pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "control/model/forwarding.h"
#include "control/model/model.h"

namespace sluice {

struct PortEndpoint {
  IpAddress address;
  std::uint32_t port = 0;  // The backend's, 1 to 65535.
  std::string target;      // "NAMESPACE/POD", or empty.
  std::string node;        // It runs on; empty: not known.
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
