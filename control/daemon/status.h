// ServiceStatus: what one gateway says of one Service, and what the leading one makes of all of
// them. Pure. Thread: any. Times: RFC 3339; a condition's transition time moves only with its
// status.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "control/model/desired.h"
#include "control/model/service_plan.h"
#include "store.pb.h"

namespace sluice {

// How far the dataplane is with what is wanted of it.
struct ProgramState {
  bool connected = false;
  std::string error;       // Why it cannot be reached, or why the last change was refused.
  bool seed_known = true;  // Else nothing can be programmed yet.
};

// sluice.dev/Programmed of one Service: whether all its VIPs are served as wanted.
v1::Condition programmed_condition(const ServicePlan& plan, const ServiceOutcome& outcome,
                                   const VipProgress& progress, const ProgramState& program);

struct StatusInputs {
  const ServicePlan* plan = nullptr;
  const ServiceOutcome* outcome = nullptr;
  std::vector<v1::Condition> further;         // AddressAllocated, Programmed.
  const v1::ServiceStatus* before = nullptr;  // The last one written; null: none.
  std::string gateway;
  bool proxied = false;  // VipProgress.proxied.
  std::int64_t observed_generation = 0;
  std::chrono::system_clock::time_point now;
};
v1::ServiceStatus make_status(const StatusInputs& inputs);

// What another live gateway says of a Service; null: nothing yet.
struct GatewayStatus {
  std::string gateway;
  const v1::ServiceStatus* status = nullptr;
};

// One status from those of all live gateways: Programmed is true if it is on every one; its message
// tells on how many of how many, and names one where it is not. A gateway that speaks of another
// object of that name, or of other addresses, counts as one that has not programmed it. `own` gives
// all that gateways cannot differ in.
v1::ServiceStatus merge_statuses(const v1::ServiceStatus& own,
                                 std::span<const GatewayStatus> others,
                                 const v1::ServiceStatus* before);

const v1::Condition* find_condition(const v1::ServiceStatus& status, const std::string& type);
// Whether a reader of both would notice a difference.
bool same_status(const v1::ServiceStatus& a, const v1::ServiceStatus& b);

}  // namespace sluice
