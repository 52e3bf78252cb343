// A control without its edges, for tests: manifests in, the dataplane's state out.
#pragma once

#include <map>
#include <string>

#include "control/model/desired.h"
#include "control/model/diff.h"

namespace sluice {

struct Desired {
  DataplaneState state;
  std::map<ServiceKey, ServiceOutcome> outcomes;  // Of every wanted plan.
};
// Everything from nothing: what a DesiredState that has seen any changes must come to as well.
Desired build_desired(const DesiredInputs& inputs, IdAllocator* ids);

class World {
 public:
  explicit World(bool complete = true);

  // Applies manifests as source manual; a failure to parse is a test failure.
  void apply(const std::string& yaml) { apply_to(kManualSource, yaml); }
  void apply_to(const std::string& source, const std::string& yaml);
  // All kinds of the source are known from now on.
  void set_complete(const std::string& source, bool complete);
  void remove(v1::Kind kind, const std::string& name, const std::string& ns = "default");

  // Plans what changed, allocates, writes the ledger, builds and "programs".
  void step();
  void take_requests();  // Plans what changed.
  // Only allocates; the ledger stays as it is.
  Allocation allocate_only();
  Desired build();

  // What the last step came to, as text.
  std::string text() const;
  std::string condition(
      const std::string& name) const;  // Of AddressAllocated: "STATUS REASON: MESSAGE".
  std::string condition(const std::string& source, const std::string& name) const;
  std::vector<std::string> warnings(const std::string& name) const;  // Of allocation.
  const v1::Vip* vip(const std::string& address, std::uint32_t port) const;

  Model model;
  std::map<ServiceKey, ServicePlan> plans;
  PlanSettings settings;
  Ledger ledger;
  IdAllocator ids;
  DataplaneState dataplane;
  Difference last;  // Of the last step.
  Desired desired;
  Allocation allocation;
  v1::Capacity capacity;
  std::int64_t now_unix_ms = 1'000'000;
  std::uint64_t generation = 0;
  bool withdrawn = true;
};

}  // namespace sluice
