#include "control/model/forwarding.h"

#include "proto/forwarding_names.h"

namespace sluice {

const char* family_name(IpFamily family) {
  return family == IpFamily::ipv4 ? "IPv4" : "IPv6";
}

v1::ForwardingMode forwarding_mode_from_name(const std::string& name) {
  if (name == "nat") return v1::FORWARDING_MODE_NAT;
  if (name == "dnat") return v1::FORWARDING_MODE_DNAT;
  if (name == "dsr-mac") return v1::FORWARDING_MODE_DSR_MAC;
  if (name == "ipip") return v1::FORWARDING_MODE_IPIP;
  if (name == "gue") return v1::FORWARDING_MODE_GUE;
  return v1::FORWARDING_MODE_UNSPECIFIED;
}

const char* forwarding_mode_name(v1::ForwardingMode mode) {
  switch (mode) {
    case v1::FORWARDING_MODE_NAT:
      return "nat";
    case v1::FORWARDING_MODE_DNAT:
      return "dnat";
    case v1::FORWARDING_MODE_DSR_MAC:
      return "dsr-mac";
    case v1::FORWARDING_MODE_IPIP:
      return "ipip";
    case v1::FORWARDING_MODE_GUE:
      return "gue";
    default:
      return "unspecified";
  }
}

std::string forwarding_mode_names() {
  std::string text;
  for (const char* name : kForwardingModeNames)
    text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

std::optional<v1::OverlayKind> overlay_from_name(const std::string& name) {
  if (name == "none") return v1::OVERLAY_KIND_UNSPECIFIED;
  if (name == "vxlan") return v1::OVERLAY_KIND_VXLAN;
  if (name == "ipip") return v1::OVERLAY_KIND_IPIP;
  return std::nullopt;
}

const char* overlay_name(v1::OverlayKind kind) {
  switch (kind) {
    case v1::OVERLAY_KIND_UNSPECIFIED:
      return "none";
    case v1::OVERLAY_KIND_VXLAN:
      return "vxlan";
    case v1::OVERLAY_KIND_IPIP:
      return "ipip";
    default:
      return "unknown";
  }
}

v1::Protocol protocol_from_name(const std::string& name) {
  if (name == "TCP") return v1::PROTOCOL_TCP;
  if (name == "UDP") return v1::PROTOCOL_UDP;
  if (name == "SCTP") return v1::PROTOCOL_SCTP;
  return v1::PROTOCOL_UNSPECIFIED;
}

const char* protocol_name(v1::Protocol protocol) {
  switch (protocol) {
    case v1::PROTOCOL_TCP:
      return "TCP";
    case v1::PROTOCOL_UDP:
      return "UDP";
    case v1::PROTOCOL_SCTP:
      return "SCTP";
    default:
      return "UNKNOWN";
  }
}

bool translates(v1::ForwardingMode mode) {
  return mode == v1::FORWARDING_MODE_NAT || mode == v1::FORWARDING_MODE_DNAT;
}

bool needs_equal_ports(v1::ForwardingMode mode) {
  return !translates(mode);
}

bool crosses_families(v1::ForwardingMode mode, v1::Protocol protocol, bool proxy_protocol,
                      IpFamily family) {
  switch (mode) {
    case v1::FORWARDING_MODE_IPIP:
    case v1::FORWARDING_MODE_GUE:
      return true;
    case v1::FORWARDING_MODE_NAT:
      return family == IpFamily::ipv6 && protocol != v1::PROTOCOL_SCTP && !proxy_protocol;
    default:
      return false;
  }
}

}  // namespace sluice
