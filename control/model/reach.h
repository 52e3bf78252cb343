// Which of a Service port's endpoints a VIP can use, and how packets get to each. Pure; any thread.
#pragma once

#include <functional>
#include <vector>

#include "control/model/service_plan.h"

namespace sluice {

struct ReachInputs {
  const PlanPort* port = nullptr;
  IpFamily family = IpFamily::ipv4;  // Of the VIP.
  v1::ForwardingMode mode = v1::FORWARDING_MODE_NAT;
  bool proxy_protocol = false;
  v1::OverlayKind overlay = v1::OVERLAY_KIND_UNSPECIFIED;
  // The way to endpoints of a family on a node; the error says what is missing.
  std::function<Result<v1::Overlay>(const std::string& node, const IpAddress& endpoint)> way;
  // The endpoint as the dataplane serves it for this VIP; nullptr: it does not.
  std::function<const v1::Backend*(const PlanMember& member)> reported;
};

struct ReachedMember {
  const PlanMember* member = nullptr;
  bool draining = false;
  v1::Overlay overlay;  // kind unspecified: the network carries packets there.
};

struct Reach {
  std::vector<ReachedMember> members;
  std::vector<Warning> warnings;
};

// An endpoint that can no longer be reached as it should, but is served, drains: its flows go on.
Reach reach(const ReachInputs& inputs);

}  // namespace sluice
