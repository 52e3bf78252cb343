// All plans, the ledger and the ids to the state a dataplane should have. Pure but for the ids.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "control/model/ids.h"
#include "control/model/service_plan.h"
#include "dataplane.pb.h"

namespace sluice {

struct VipName {
  IpAddress address;
  v1::Protocol protocol = v1::PROTOCOL_TCP;
  std::uint32_t port = 0;

  friend auto operator<=>(const VipName&, const VipName&) = default;
  friend bool operator==(const VipName&, const VipName&) = default;
};
VipName vip_name(const v1::VipKey& key);
v1::VipKey vip_key(const VipName& name);

// The state of a dataplane, desired or reported.
struct DataplaneState {
  std::map<VipName, v1::Vip> vips;
  std::map<std::uint32_t, v1::Backend> backends;
  std::map<IpAddress, v1::ServedAddress> addresses;

  void add(const v1::Report& report);  // Each of the replies of a full report.
};

struct DesiredInputs {
  const std::map<ServiceKey, ServicePlan>* plans = nullptr;
  const Ledger* ledger = nullptr;
  bool ledger_known = true;  // Else nothing is changed: the outcome is what is reported.
  const std::map<std::string, ObjectPointer>* pools = nullptr;
  PlanSettings settings;
  // Serving now: held VIPs are taken from it, and it goes first if the dataplane's room is short.
  const DataplaneState* reported = nullptr;
  // What the dataplane serves for a Service that is not known (not planned, or its endpoints
  // unknown) stays as it is if its source is held; absent: nothing is held.
  std::function<bool(const std::string& source)> source_held;
  // Of a source; null if it is not there. Where not all of a source's nodes are known, what is
  // behind an overlay stays as it is reported. Absent: there are none, and that is known.
  std::function<ObjectPointer(const std::string& source, const std::string& name)> node;
  std::function<bool(const std::string& source)> nodes_known;
  v1::Capacity capacity;         // Zeros: no limit.
  std::uint64_t generation = 0;  // That this state will be applied as; retires unused ids.
};

// What came of one Service.
struct ServiceOutcome {
  std::vector<std::string> addresses;  // Canonical text, in the order of the Service's families.
  std::vector<v1::Condition> conditions;
  std::uint32_t backends = 0;  // Get new flows; an endpoint counts once however many ports it has.
  std::uint32_t draining = 0;
};

struct Desired {
  DataplaneState state;
  std::map<ServiceKey, ServiceOutcome> outcomes;  // Of every wanted plan.
};

// The ids must have adopted what the dataplane reports.
Desired build_desired(const DesiredInputs& inputs, IdAllocator* ids);

}  // namespace sluice
