// The way into a cluster's overlay network, to one of its nodes: what Flannel and Calico write on
// the Node object, and its status. Pure; any thread.
// Errors: what the Node lacks or has wrong, for a warning at the Service.
// Sources: Flannel's subnet manager (annotations flannel.alpha.coreos.com/...), Calico's node
// controller (projectcalico.org/...).
#pragma once

#include "control/model/forwarding.h"
#include "kubernetes.pb.h"
#include "proto/result.h"

namespace sluice {

inline constexpr std::uint32_t kFlannelPort = 8472;  // Flannel's and Linux' own for VXLAN.

// To endpoints of `family`; vxlan or ipip.
Result<v1::Overlay> overlay_to(const v1::Node& node, v1::OverlayKind kind, IpFamily family);
// A pod on the host's network has its node's address, and is reached without an overlay.
bool is_address_of(const v1::Node& node, const IpAddress& address);

}  // namespace sluice
