#include "control/model/reach.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

class Reacher {
 public:
  explicit Reacher(const ReachInputs& inputs) : in_(inputs) {}

  Reach run() {
    const auto& own = members(in_.family);
    const auto& others = members(other_family(in_.family));
    for (const PlanMember& member : own) add(member, false);
    const bool crosses =
        crosses_families(in_.mode, in_.port->protocol, in_.proxy_protocol, in_.family);
    for (const PlanMember& member : others) {
      // Those of the VIP's own family have come: these only finish what they have.
      if (crosses && (own.empty() || in_.reported(member) != nullptr)) add(member, !own.empty());
    }
    if (own.empty() && !others.empty()) warn_of_other_family(crosses, others);
    return std::move(result_);
  }

 private:
  const std::vector<PlanMember>& members(IpFamily family) const {
    return in_.port->members[static_cast<std::size_t>(family)];
  }
  void warn(std::string reason, std::string message) {
    result_.warnings.push_back({std::move(reason), std::move(message)});
  }

  void warn_of_other_family(bool crosses, const std::vector<PlanMember>& others) {
    if (!crosses) {
      warn("NoReadyEndpoints", port_text(*in_.port) + " has only " +
                                   family_name(other_family(in_.family)) + " endpoints, which " +
                                   forwarding_mode_name(in_.mode) +
                                   (in_.proxy_protocol ? " with the PROXY protocol" : "") +
                                   " cannot reach from an " + family_name(in_.family) +
                                   " address (ipip and gue can); new connections are refused");
    } else if (std::all_of(others.begin(), others.end(),
                           [](const auto& m) { return m.draining; })) {
      warn("NoReadyEndpoints",
           port_text(*in_.port) + " has no ready endpoint; new connections are refused");
    }
  }

  void add(const PlanMember& member, bool draining) {
    if (needs_equal_ports(in_.mode) && member.port != in_.port->port) {
      // The backend would see a packet for a port it does not have.
      warn("DirectReturnPortsDiffer",
           "port " + std::to_string(in_.port->port) + ": an endpoint's port is " +
               std::to_string(member.port) + ", which " + forwarding_mode_name(in_.mode) +
               " cannot reach; make port and targetPort equal or use nat");
      return;
    }
    ReachedMember reached{&member, draining || member.draining, {}};
    if (find_way(member, &reached)) result_.members.push_back(std::move(reached));
  }

  bool find_way(const PlanMember& member, ReachedMember* reached) {
    if (in_.overlay == v1::OVERLAY_KIND_UNSPECIFIED) return true;
    auto way = in_.way(std::string(member.node), member.address);
    if (way) {
      reached->overlay = std::move(*way);
      return true;
    }
    warn("OverlayNodeUnusable", way.error());
    const v1::Backend* served = in_.reported(member);
    if (served == nullptr) return false;
    reached->overlay = served->overlay();
    reached->draining = true;
    return true;
  }

  const ReachInputs& in_;
  Reach result_;
};

}  // namespace

Reach reach(const ReachInputs& inputs) {
  return Reacher(inputs).run();
}

}  // namespace sluice
