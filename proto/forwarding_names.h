// The words for forwarding modes and overlays, as annotations, pools and gateway.yaml spell them.
// Thread: any. In the order in which messages list them.
#pragma once

#include <array>

namespace sluice {

inline constexpr std::array<const char*, 5> kForwardingModeNames{"nat", "dnat", "dsr-mac", "ipip",
                                                                 "gue"};
inline constexpr std::array<const char*, 3> kOverlayNames{"none", "vxlan", "ipip"};

}  // namespace sluice
