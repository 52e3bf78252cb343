// What a VIP must fulfil before it is built: the refusals of StateBuilder that concern one VIP.
#include <algorithm>
#include <string_view>

#include "dataplane/forward/state_builder.h"

namespace sluice {
namespace {

using Member = VipBlock::Member;

std::string pair_text(const IpAddress& address, std::uint8_t protocol) {
  return address.text() + "/" + protocol_name(protocol);
}

// Tunnels carry any family in any; full NAT translates IPv6 clients to IPv4 backends (NAT64).
bool crosses_families(const VipSpec& spec, const BackendRecord& backend) {
  if (encapsulates(spec.mode)) return true;
  return spec.mode == Mode::nat && spec.key.protocol != kProtocolSctp && !spec.proxy_protocol &&
         !spec.key.address.is_v4() && backend.address_bytes == 4;
}

}  // namespace

Status StateBuilder::check_vip(const VipSpec& spec) const {
  const VipId& key = spec.key;
  if (key.port == 0) return Error{"port 0; it must be 1 to 65535"};
  if (key.protocol != kProtocolTcp && key.protocol != kProtocolUdp &&
      key.protocol != kProtocolSctp) {
    return Error{"unknown protocol; TCP, UDP and SCTP are known"};
  }
  if (spec.proxy_protocol && (spec.mode != Mode::nat || key.protocol != kProtocolTcp)) {
    return Error{"the PROXY protocol needs TCP and mode nat; replies must come back here"};
  }
  if (spec.quic && key.protocol != kProtocolUdp) return Error{"QUIC needs UDP"};
  if (next_->find_address(key.address) == nullptr) {
    return Error{"its address is not among the addresses served; add it in the same transaction"};
  }
  for (const std::uint16_t ticks :
       {spec.timers.tcp_handshake, spec.timers.tcp_established, spec.timers.tcp_closing,
        spec.timers.udp, spec.timers.udp_weak}) {
    if (ticks == 0 || ticks > kMaxTimer) {
      return Error{"a timer is out of range; 1 to " + std::to_string(kMaxTimer / kTicksPerSecond) +
                   " seconds are possible"};
    }
  }
  const auto active = static_cast<std::uint64_t>(std::count_if(
      spec.members.begin(), spec.members.end(), [](const Member& m) { return !m.draining; }));
  const std::uint32_t size = spec.maglev_size;
  const std::string says = "Maglev size " + std::to_string(size) + " ";
  if (size > limits_.maglev_size)
    return Error{says + "is above the limit of " + std::to_string(limits_.maglev_size)};
  if (size < active) return Error{says + "is too small for " + std::to_string(active) + " members"};
  if (size != 0 && !is_prime(size)) return Error{says + "is not a prime"};
  return Ok{};
}

Status StateBuilder::check_members(const VipSpec& spec) const {
  std::string_view previous;
  for (const Member& member : spec.members) {
    const BackendRecord* backend = next_->backend(member.backend);
    if (backend == nullptr) {
      return Error{"member backend " + std::to_string(member.backend) +
                   " is unknown; add it in the same transaction"};
    }
    const std::string what = "member " + to_text(*backend) + " ";
    if (backend->address_bytes != spec.key.address.size() && !crosses_families(spec, *backend)) {
      return Error{what + "is of the other address family, which mode " + name(spec.mode) +
                   " cannot reach from " + (spec.key.address.is_v4() ? "IPv4" : "IPv6")};
    }
    if (!translates(spec.mode) && backend->port.host() != spec.key.port) {
      return Error{what + "has another port than the VIP; direct server return (" +
                   name(spec.mode) + ") needs equal ports"};
    }
    if (backend->overlay != OverlayKind::none && !translates(spec.mode)) {
      return Error{what + "is behind an overlay network, which only nat and dnat can reach"};
    }
    if (member.weight > 65535 || (member.weight == 0 && !member.draining)) {
      return Error{what + "has weight " + std::to_string(member.weight) +
                   "; 1 to 65535 are possible"};
    }
    const std::string& name = next_->backend_info(member.backend)->name;
    if (name == previous)
      return Error{what + "is named " + name + ", as another member; a name may stand once"};
    if (name < previous)
      return Error{what + "is out of order; members stand in ascending order of name"};
    previous = name;
  }
  return Ok{};
}

Status StateBuilder::check_overlay(const OverlayRecord& overlay) {
  if (overlay.kind == OverlayKind::none) return Ok{};
  if (overlay.remote_bytes != 4 && overlay.remote_bytes != 16)
    return Error{"its overlay has no address of a node; IPv4 has 4 bytes and IPv6 16"};
  const IpAddress remote =
      overlay.remote_bytes == 4 ? IpAddress::v4(overlay.remote) : IpAddress::v6(overlay.remote);
  if (remote.is_unspecified() || remote.is_multicast())
    return Error{"its overlay's node " + remote.text() + " is not a unicast address"};
  if (overlay.kind != OverlayKind::vxlan) return Ok{};
  if (overlay.vni >= 1u << 24)
    return Error{"its overlay's VNI " + std::to_string(overlay.vni) + " has more than 24 bits"};
  if (overlay.port.raw == 0) return Error{"its overlay's UDP port is 0; VXLAN has 4789 or 8472"};
  if ((overlay.mac[0] & 1) != 0) return Error{"its overlay's MAC is a group's"};
  return Ok{};
}

// One id for all ports of (address, protocol), and nothing else under that id: flows are kept by
// it.
Status StateBuilder::check_id(const VipSpec& spec) const {
  const VipId& key = spec.key;
  const std::string id = "id " + std::to_string(spec.id) + " ";
  if (spec.id >= limits_.vip_ids)
    return Error{id + "is out of range; the highest is " + std::to_string(limits_.vip_ids - 1)};
  for (const ForwardingState* state :
       {static_cast<const ForwardingState*>(next_.get()), base_.get()}) {
    const VipIdentity* identity = state->identity(spec.id);
    if (identity == nullptr ||
        (identity->address == key.address && identity->protocol == key.protocol))
      continue;
    return Error{id + (state == base_.get() ? "stood" : "stands") + " for " +
                 pair_text(identity->address, identity->protocol) + " in generation " +
                 std::to_string(state->generation()) + " and flows use it; give another id"};
  }
  for (const AddressBlock::Use& use : next_->find_address(key.address)->uses) {
    if (use.protocol == key.protocol && use.id != spec.id) {
      return Error{id + "differs from " + std::to_string(use.id) + ", which other ports of " +
                   pair_text(key.address, key.protocol) + " have; all of them need the same"};
    }
  }
  return Ok{};
}

}  // namespace sluice
