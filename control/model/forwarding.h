// Forwarding modes, overlays and protocols: their names, and what each mode can do. Pure; any
// thread.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "dataplane.pb.h"
#include "proto/address.h"

namespace sluice {

enum class IpFamily { ipv4 = 0, ipv6 = 1 };
inline constexpr std::array<IpFamily, 2> kIpFamilies{IpFamily::ipv4, IpFamily::ipv6};
const char* family_name(IpFamily family);  // "IPv4", "IPv6".
inline IpFamily family_of(const IpAddress& a) {
  return a.is_v4() ? IpFamily::ipv4 : IpFamily::ipv6;
}
inline IpFamily other_family(IpFamily family) {
  return family == IpFamily::ipv4 ? IpFamily::ipv6 : IpFamily::ipv4;
}

// One of kForwardingModeNames; unspecified for anything else.
v1::ForwardingMode forwarding_mode_from_name(const std::string& name);
const char* forwarding_mode_name(v1::ForwardingMode mode);
std::string forwarding_mode_names();  // "nat, dnat, ...".

// One of kOverlayNames, where "none" is OVERLAY_KIND_UNSPECIFIED; absent for anything else.
std::optional<v1::OverlayKind> overlay_from_name(const std::string& name);
const char* overlay_name(v1::OverlayKind kind);

// "TCP", "UDP", "SCTP"; unspecified for anything else.
v1::Protocol protocol_from_name(const std::string& name);
const char* protocol_name(v1::Protocol protocol);

// The packet leaves with another destination, and its replies come back here.
bool translates(v1::ForwardingMode mode);
// Endpoints get packets as clients sent them, so they need the VIP's port.
bool needs_equal_ports(v1::ForwardingMode mode);
// Whether a VIP of `family` reaches endpoints of the other one: tunnels do, and full NAT from IPv6
// to IPv4 (RFC 7915), but for SCTP and the PROXY protocol.
bool crosses_families(v1::ForwardingMode mode, v1::Protocol protocol, bool proxy_protocol,
                      IpFamily family);

}  // namespace sluice
