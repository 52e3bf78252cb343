#include "dataplane/server/apply.h"

#include <cstring>
#include <tuple>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kMaxText = 512;  // Of a name for people: three DNS labels and separators fit.

Result<IpAddress> address_of(const std::string& bytes, const std::string& what) {
  const std::optional<IpAddress> address = IpAddress::from_bytes(bytes);
  if (!address) {
    return Error{what + ": an address of " + std::to_string(bytes.size()) +
                 " bytes; IPv4 has 4 and IPv6 16"};
  }
  return *address;
}

Status check_text(const std::string& text, const std::string& what) {
  if (text.size() <= kMaxText) return Ok{};
  return Error{what + ": a text of " + std::to_string(text.size()) + " bytes; the limit is " +
               std::to_string(kMaxText)};
}

Result<Mode> mode_of(v1::ForwardingMode mode) {
  switch (mode) {
    case v1::FORWARDING_MODE_NAT:
      return Mode::nat;
    case v1::FORWARDING_MODE_DNAT:
      return Mode::dnat;
    case v1::FORWARDING_MODE_DSR_MAC:
      return Mode::dsr_mac;
    case v1::FORWARDING_MODE_IPIP:
      return Mode::ipip;
    case v1::FORWARDING_MODE_GUE:
      return Mode::gue;
    default:
      return Error{"forwarding mode " + std::to_string(static_cast<int>(mode)) +
                   " is not known to this dataplane; NAT, DNAT, DSR_MAC, IPIP and GUE are"};
  }
}

Result<Unserved> unserved_of(v1::UnservedPorts ports) {
  switch (ports) {
    case v1::UNSERVED_PORTS_UNSPECIFIED:
    case v1::UNSERVED_PORTS_REJECT:
      return Unserved::reject;
    case v1::UNSERVED_PORTS_DROP:
      return Unserved::drop;
    default:
      return Error{"policy " + std::to_string(static_cast<int>(ports)) +
                   " for unserved ports is not known to this dataplane; REJECT and DROP are"};
  }
}

// 0 keeps the default. Beyond what 16 bits of Ticks can tell: refused rather than cut.
Status set_timer(std::uint16_t& timer, std::uint32_t seconds, const char* name) {
  if (seconds > kMaxTimer / kTicksPerSecond) {
    return Error{std::string(name) + " of " + std::to_string(seconds) + " seconds; at most " +
                 std::to_string(kMaxTimer / kTicksPerSecond) + " are possible"};
  }
  if (seconds != 0) timer = static_cast<std::uint16_t>(seconds * kTicksPerSecond);
  return Ok{};
}

Result<FlowTimers> timers_of(const v1::Timers& message, FlowTimers timers) {
  const std::tuple<std::uint16_t*, std::uint32_t, const char*> all[] = {
      {&timers.tcp_handshake, message.tcp_handshake(), "tcp_handshake"},
      {&timers.tcp_established, message.tcp_established(), "tcp_established"},
      {&timers.tcp_closing, message.tcp_closing(), "tcp_closing"},
      {&timers.udp, message.udp(), "udp"},
      {&timers.udp_weak, message.udp_weak(), "udp_weak"}};
  for (const auto& [timer, seconds, name] : all) {
    if (Status status = set_timer(*timer, seconds, name); !status) return Error{status.error()};
  }
  return timers;
}

Result<VipSpec> vip_of(const v1::Vip& message, const FlowTimers& defaults) {
  VipSpec spec;
  Result<VipId> key = vip_id_of(message.key());
  if (!key) return Error{key.error()};
  const std::string what = "VIP " + key->text() + ": ";
  Result<Mode> mode = mode_of(message.mode());
  if (!mode) return Error{what + mode.error()};
  Result<FlowTimers> timers = timers_of(message.timers(), defaults);
  if (!timers) return Error{what + timers.error()};
  if (Status status = check_text(message.service(), what + "service"); !status)
    return Error{status.error()};
  spec.key = *key;
  spec.id = message.id();
  spec.service = message.service();
  spec.mode = *mode;
  spec.maglev_size = message.maglev_size();
  spec.timers = *timers;
  spec.proxy_protocol = message.proxy_protocol();
  spec.quic = message.quic();
  spec.members.reserve(static_cast<std::size_t>(message.members_size()));
  for (const v1::Member& member : message.members()) {
    spec.members.push_back({member.backend(), member.weight(), member.draining(), member.masked()});
  }
  return spec;
}

constexpr std::uint16_t kVxlanPort = 8472;  // Flannel's, and the Linux kernel's default.

Result<OverlayRecord> overlay_of(const v1::Overlay& message, const std::string& what) {
  OverlayRecord overlay;
  switch (message.kind()) {
    case v1::OVERLAY_KIND_UNSPECIFIED:
      return overlay;
    case v1::OVERLAY_KIND_IPIP:
      overlay.kind = OverlayKind::ipip;
      break;
    case v1::OVERLAY_KIND_VXLAN:
      overlay.kind = OverlayKind::vxlan;
      break;
    default:
      return Error{what + ": overlay " + std::to_string(static_cast<int>(message.kind())) +
                   " is not known to this dataplane; IPIP and VXLAN are"};
  }
  Result<IpAddress> remote = address_of(message.remote(), what + ": its overlay's node");
  if (!remote) return Error{remote.error()};
  overlay.remote_bytes = static_cast<std::uint8_t>(remote->size());
  std::memcpy(overlay.remote, remote->data(), remote->size());
  if (overlay.kind != OverlayKind::vxlan) return overlay;
  if (message.port() > 65535)
    return Error{what + ": its overlay's UDP port " + std::to_string(message.port()) +
                 "; it must be 1 to 65535, or 0 for " + std::to_string(kVxlanPort)};
  if (message.mac().size() != sizeof(overlay.mac))
    return Error{what + ": its overlay's MAC has " + std::to_string(message.mac().size()) +
                 " bytes; it must have 6"};
  overlay.vni = message.vni();
  overlay.port = Be16::from_host(
      message.port() == 0 ? kVxlanPort : static_cast<std::uint16_t>(message.port()));
  std::memcpy(overlay.mac, message.mac().data(), sizeof(overlay.mac));
  return overlay;
}

Result<BackendSpec> backend_of(const v1::Backend& message) {
  const std::string what = "backend " + std::to_string(message.id());
  Result<IpAddress> address = address_of(message.address(), what);
  if (!address) return Error{address.error()};
  if (message.port() > 65535) {
    return Error{what + ": port " + std::to_string(message.port()) + "; it must be 1 to 65535"};
  }
  for (const std::string* text : {&message.name(), &message.target()}) {
    if (Status status = check_text(*text, what); !status) return Error{status.error()};
  }
  Result<OverlayRecord> overlay = overlay_of(message.overlay(), what);
  if (!overlay) return Error{overlay.error()};
  return BackendSpec{message.id(),
                     *address,
                     static_cast<std::uint16_t>(message.port()),
                     {message.name(), message.target()},
                     *overlay};
}

Status add_addresses(StateBuilder& builder, const v1::ApplyPart& part) {
  for (const std::string& bytes : part.delete_addresses()) {
    Result<IpAddress> address = address_of(bytes, "removed address");
    if (!address) return Error{address.error()};
    builder.remove_address(*address);
  }
  for (const v1::ServedAddress& message : part.upsert_addresses()) {
    Result<IpAddress> address = address_of(message.address(), "served address");
    if (!address) return Error{address.error()};
    Result<Unserved> unserved = unserved_of(message.unserved_ports());
    if (!unserved) return Error{"served address " + address->text() + ": " + unserved.error()};
    builder.upsert(AddressSpec{*address, *unserved});
  }
  return Ok{};
}

}  // namespace

Status add_part(StateBuilder& builder, const v1::ApplyPart& part, const FlowTimers& defaults) {
  if (Status status = add_addresses(builder, part); !status) return status;
  for (const std::uint32_t id : part.delete_backends()) builder.remove_backend(id);
  for (const v1::Backend& message : part.upsert_backends()) {
    Result<BackendSpec> spec = backend_of(message);
    if (!spec) return Error{spec.error()};
    builder.upsert(std::move(*spec));
  }
  for (const v1::VipKey& message : part.delete_vips()) {
    Result<VipId> key = vip_id_of(message);
    if (!key) return Error{key.error()};
    builder.remove_vip(*key);
  }
  for (const v1::Vip& message : part.upsert_vips()) {
    Result<VipSpec> spec = vip_of(message, defaults);
    if (!spec) return Error{spec.error()};
    builder.upsert(std::move(*spec));
  }
  return Ok{};
}

Result<VipId> vip_id_of(const v1::VipKey& key) {
  Result<IpAddress> address = address_of(key.address(), "VIP");
  if (!address) return Error{address.error()};
  if (key.port() == 0 || key.port() > 65535) {
    return Error{"VIP " + address->text() + ": port " + std::to_string(key.port()) +
                 "; it must be 1 to 65535"};
  }
  if (key.protocol() <= 0 || key.protocol() > 255) {
    return Error{"VIP " + address->text() + ": no protocol; TCP, UDP or SCTP is needed"};
  }
  return VipId{*address, static_cast<std::uint8_t>(key.protocol()),
               static_cast<std::uint16_t>(key.port())};
}

v1::VipKey to_message(const VipId& vip) {
  v1::VipKey message;
  message.set_address(vip.address.bytes());
  message.set_protocol(static_cast<v1::Protocol>(vip.protocol));
  message.set_port(vip.port);
  return message;
}

VipId vip_id_of(const VipBlock& vip) {
  return {vip.address, vip.protocol, vip.port.host()};
}

v1::ForwardingMode to_message(Mode mode) {
  switch (mode) {
    case Mode::nat:
      return v1::FORWARDING_MODE_NAT;
    case Mode::dnat:
      return v1::FORWARDING_MODE_DNAT;
    case Mode::dsr_mac:
      return v1::FORWARDING_MODE_DSR_MAC;
    case Mode::ipip:
      return v1::FORWARDING_MODE_IPIP;
    case Mode::gue:
      return v1::FORWARDING_MODE_GUE;
  }
  return v1::FORWARDING_MODE_UNSPECIFIED;
}

}  // namespace sluice
