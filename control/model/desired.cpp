#include "control/model/desired.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "control/model/maglev_size.h"
#include "control/model/node_path.h"
#include "control/model/reach.h"

namespace sluice {
namespace {

struct Candidate {
  const ServicePlan* plan;
  const PlanPort* port;
  VipName name;
  v1::ForwardingMode mode;
  v1::OverlayKind overlay;
  std::uint32_t maglev_size;  // By the ledger.
};

class Builder {
 public:
  Builder(const DesiredInputs& inputs, IdAllocator* ids) : in_(inputs), ids_(*ids) {}

  Desired run() {
    ids_.begin_round();
    for (const auto& [key, grants] : grants_of(*in_.ledger)) {
      const auto plan = in_.plans->find(key);
      if (plan != in_.plans->end() && plan->second.wanted) consider(plan->second, grants);
    }
    hold_unknown();
    // What serves already goes first, so that a newcomer cannot take its room.
    std::stable_sort(candidates_.begin(), candidates_.end(), [&](const auto& a, const auto& b) {
      return is_reported(a.name) > is_reported(b.name);
    });
    for (const Candidate& candidate : candidates_) add_vip(candidate);
    ids_.end_round(in_.generation);
    for (const auto& [key, plan] : *in_.plans) {
      if (plan.wanted) conclude(plan);
    }
    return std::move(result_);
  }

 private:
  bool is_reported(const VipName& name) const { return in_.reported->vips.contains(name); }

  const v1::AddressPoolSpec& pool_spec(const std::string& name) const {
    const auto at = in_.pools->find(name);
    return at == in_.pools->end() ? v1::AddressPoolSpec::default_instance()
                                  : at->second->address_pool().spec();
  }

  v1::ForwardingMode mode_of(const ServicePlan& plan, const v1::AddressPoolSpec& pool) const {
    if (plan.mode != v1::FORWARDING_MODE_UNSPECIFIED) return plan.mode;
    const v1::ForwardingMode mode = forwarding_mode_from_name(pool.forwarding_mode());
    return mode != v1::FORWARDING_MODE_UNSPECIFIED ? mode : in_.settings.default_mode;
  }

  v1::OverlayKind overlay_of(const ServicePlan& plan, const v1::AddressPoolSpec& pool,
                             v1::ForwardingMode mode) {
    const auto asked = plan.overlay ? plan.overlay : overlay_from_name(pool.overlay());
    if (translates(mode)) return asked.value_or(in_.settings.default_overlay);
    if (asked && *asked != v1::OVERLAY_KIND_UNSPECIFIED) {
      warn(plan, "OverlayIgnored",
           std::string("overlay ") + overlay_name(*asked) + " goes with nat and dnat alone; " +
               forwarding_mode_name(mode) + " sends straight to the endpoints");
    }
    return v1::OVERLAY_KIND_UNSPECIFIED;
  }

  void serve_address(const IpAddress& address, const v1::AddressPoolSpec& pool) {
    v1::ServedAddress& served = result_.state.addresses[address];
    served.set_address(address.bytes());
    served.set_unserved_ports(pool.unserved_ports() == "drop" ? v1::UNSERVED_PORTS_DROP
                                                              : v1::UNSERVED_PORTS_REJECT);
  }

  void consider(const ServicePlan& plan, const std::vector<Grant>& grants) {
    for (const Grant& grant : grants) {
      const v1::AddressPoolSpec& pool = pool_spec(grant.pool);
      serve_address(grant.address, pool);
      if (!grant.external) addresses_[plan.key].push_back(grant.address);
      if (!plan.known) continue;
      for (const v1::HeldPort& held : grant.ports) {
        const auto port =
            std::find_if(plan.ports.begin(), plan.ports.end(), [&](const PlanPort& p) {
              return p.port == held.port() && held.protocol() == protocol_name(p.protocol);
            });
        if (port == plan.ports.end()) continue;
        const v1::ForwardingMode mode = mode_of(plan, pool);
        Candidate candidate{&plan,
                            &*port,
                            {grant.address, port->protocol, port->port},
                            mode,
                            overlay_of(plan, pool, mode),
                            held.maglev_size()};
        if (nodes_suffice(candidate)) candidates_.push_back(std::move(candidate));
      }
    }
  }

  // Nodes that are not known yet are not missing nodes.
  bool nodes_suffice(const Candidate& candidate) {
    const std::string& source = candidate.plan->key.source;
    if (candidate.overlay == v1::OVERLAY_KIND_UNSPECIFIED || !in_.nodes_known ||
        in_.nodes_known(source)) {
      return true;
    }
    held_.insert(candidate.name);
    warn(*candidate.plan, "NodesUnknown",
         "the nodes of source " + source +
             " are not known completely yet; what is served by the overlay stays as it is");
    return false;
  }

  // Service names hold no slash, so the text comes apart again.
  static ServiceKey service_key(const std::string& text) {
    const auto first = text.find('/');
    const auto last = text.rfind('/');
    if (first == std::string::npos || first == last) return {text, "", ""};
    return {text.substr(0, first), text.substr(first + 1, last - first - 1), text.substr(last + 1)};
  }

  bool is_held(const v1::Vip& vip) const {
    const ServiceKey key = service_key(vip.service());
    const auto plan = in_.plans->find(key);
    if (plan != in_.plans->end() && plan->second.wanted) return !plan->second.known;
    return plan == in_.plans->end() && in_.source_held && in_.source_held(key.source);
  }

  void hold_unknown() {
    std::set<VipName> replaced;
    for (const Candidate& candidate : candidates_) replaced.insert(candidate.name);
    for (const auto& [name, vip] : in_.reported->vips) {
      if (!replaced.contains(name) && (is_held(vip) || held_.contains(name))) hold(name, vip);
    }
  }

  void hold(const VipName& name, const v1::Vip& vip) {
    const std::string source = service_key(vip.service()).source;
    result_.state.vips[name] = vip;
    (void)ids_.vip(name.address, name.protocol);
    for (const v1::Member& member : vip.members()) {
      const auto backend = in_.reported->backends.find(member.backend());
      if (backend == in_.reported->backends.end()) continue;
      result_.state.backends[member.backend()] = backend->second;
      if (const auto address = IpAddress::from_bytes(backend->second.address())) {
        (void)ids_.backend(source, *address, name.protocol, backend->second.port(),
                           backend->second.overlay());
      }
    }
    const auto served = in_.reported->addresses.find(name.address);
    if (served != in_.reported->addresses.end()) result_.state.addresses.insert(*served);
  }

  void warn(const ServicePlan& plan, std::string reason, std::string message) {
    auto& warnings = warnings_[plan.key];
    const auto same = [&](const Warning& w) { return w.reason == reason && w.message == message; };
    if (std::any_of(warnings.begin(), warnings.end(), same)) return;
    warnings.push_back({std::move(reason), std::move(message)});
  }

  // The way to an endpoint through the cluster's overlay, by what its node says of itself.
  Result<v1::Overlay> way(const std::string& source, v1::OverlayKind kind, const std::string& name,
                          const IpAddress& endpoint) {
    if (name.empty()) {
      return Error{endpoint.text() + " names no node (nodeName), which overlay " +
                   overlay_name(kind) + " needs; it gets no new connections"};
    }
    const ObjectPointer node = in_.node ? in_.node(source, name) : nullptr;
    if (node != nullptr && is_address_of(node->node(), endpoint)) return v1::Overlay();
    const auto found = ways_.find({source, name, kind, family_of(endpoint)});
    if (found != ways_.end()) return found->second;
    auto result = node != nullptr ? overlay_to(node->node(), kind, family_of(endpoint))
                                  : Result<v1::Overlay>(Error{"not known"});
    if (!result) {
      result = Error{"node " + name + ": " + result.error() +
                     "; its endpoints get no new connections by overlay " + overlay_name(kind)};
    }
    return ways_.insert({{source, name, kind, family_of(endpoint)}, std::move(result)})
        .first->second;
  }

  const v1::Backend* reported_member(const VipName& name, const PlanMember& member) const {
    const auto vip = in_.reported->vips.find(name);
    if (vip == in_.reported->vips.end()) return nullptr;
    for (const v1::Member& reported : vip->second.members()) {
      const auto backend = in_.reported->backends.find(reported.backend());
      if (backend != in_.reported->backends.end() && backend->second.port() == member.port &&
          backend->second.address() == member.address.bytes()) {
        return &backend->second;
      }
    }
    return nullptr;
  }

  Reach reach_of(const Candidate& candidate, bool proxy_protocol) {
    ReachInputs inputs;
    inputs.port = candidate.port;
    inputs.family = family_of(candidate.name.address);
    inputs.mode = candidate.mode;
    inputs.proxy_protocol = proxy_protocol;
    inputs.overlay = candidate.overlay;
    inputs.way = [&](const std::string& node, const IpAddress& endpoint) {
      return way(candidate.plan->key.source, candidate.overlay, node, endpoint);
    };
    inputs.reported = [&](const PlanMember& member) {
      return reported_member(candidate.name, member);
    };
    Reach reached = reach(inputs);
    for (Warning& warning : reached.warnings) {
      warn(*candidate.plan, std::move(warning.reason), std::move(warning.message));
    }
    return reached;
  }

  // Whether backends get a PROXY header; with what there is to say of clients' addresses.
  bool add_client_address(const Candidate& candidate) {
    const ServicePlan& plan = *candidate.plan;
    const bool nat = candidate.mode == v1::FORWARDING_MODE_NAT;
    const bool tcp = candidate.name.protocol == v1::PROTOCOL_TCP;
    const bool proxy = plan.proxy_protocol && nat && tcp;
    if (plan.proxy_protocol && !proxy) {
      warn(plan, "ProxyProtocolNotPossible",
           port_text(*candidate.port) +
               (!tcp ? ": the PROXY protocol goes with TCP alone; endpoints get no header"
                     : std::string(": the PROXY protocol goes with mode nat alone; endpoints get "
                                   "no header, but the client's own address by mode ") +
                           forwarding_mode_name(candidate.mode)));
    }
    if (plan.keeps_client_address && nat && !proxy) {
      warn(plan, "ExternalTrafficPolicyNotHonoured",
           "externalTrafficPolicy Local: mode nat hides clients' addresses from the endpoints; "
           "sluice.dev/forwarding-mode dnat, dsr-mac, ipip or gue keeps them, and "
           "sluice.dev/proxy-protocol v2 passes them on");
    }
    return proxy;
  }

  void add_vip(const Candidate& candidate) {
    const ServicePlan& plan = *candidate.plan;
    const auto id = ids_.vip(candidate.name.address, candidate.name.protocol);
    const bool full = in_.capacity.vips() != 0 && result_.state.vips.size() >= in_.capacity.vips();
    if (!id || full) {
      return warn(plan, "CapacityExceeded",
                  !id ? id.error()
                      : "the dataplane has room for " + std::to_string(in_.capacity.vips()) +
                            " Service ports; raise dataplane.tables.vips");
    }
    v1::Vip vip;
    *vip.mutable_key() = vip_key(candidate.name);
    vip.set_id(*id);
    vip.set_service(plan.key.text());
    vip.set_mode(candidate.mode);
    vip.set_proxy_protocol(add_client_address(candidate));
    vip.set_quic(plan.quic && candidate.name.protocol == v1::PROTOCOL_UDP);
    std::map<std::string, v1::Member> members;  // By name, as the table wants them.
    std::size_t active = 0;
    for (const ReachedMember& reached : reach_of(candidate, vip.proxy_protocol()).members) {
      const PlanMember& from = *reached.member;
      const auto backend = add_backend(candidate, reached);
      if (!backend) {
        warn(plan, "CapacityExceeded", backend.error());
        continue;
      }
      v1::Member& member = members[result_.state.backends[*backend].name()];
      member.set_backend(*backend);
      member.set_weight(from.weight);
      member.set_draining(reached.draining);
      active += reached.draining ? 0 : 1;
      (reached.draining ? draining_ : active_)[plan.key].insert(
          from.target.empty() ? from.address.text() : from.target);
    }
    for (auto& [name, member] : members) *vip.add_members() = std::move(member);
    if (active > 0) {
      vip.set_maglev_size(candidate.maglev_size >= active ? candidate.maglev_size
                                                          : maglev_size_for(active));
    }
    result_.state.vips[candidate.name] = std::move(vip);
  }

  Result<std::uint32_t> add_backend(const Candidate& candidate, const ReachedMember& reached) {
    const PlanMember& member = *reached.member;
    const auto id = ids_.backend(candidate.plan->key.source, member.address,
                                 candidate.name.protocol, member.port, reached.overlay);
    if (!id) return id;
    v1::Backend& backend = result_.state.backends[*id];
    backend.set_id(*id);
    backend.set_address(member.address.bytes());
    backend.set_port(member.port);
    backend.set_name(address_port_text(member.address, member.port));
    if (reached.overlay.kind() != v1::OVERLAY_KIND_UNSPECIFIED)
      *backend.mutable_overlay() = reached.overlay;
    // Two Services may name one endpoint differently; the choice must not depend on their order.
    backend.set_target(std::max(backend.target(), member.target));
    return id;
  }

  void conclude(const ServicePlan& plan) {
    ServiceOutcome& outcome = result_.outcomes[plan.key];
    for (const IpFamily family : plan.request.families) {
      for (const IpAddress& address : addresses_[plan.key]) {
        if (family_of(address) == family) outcome.addresses.push_back(address.text());
      }
    }
    const std::set<std::string>& active = active_[plan.key];
    outcome.backends = static_cast<std::uint32_t>(active.size());
    for (const std::string& target : draining_[plan.key]) {
      outcome.draining += active.contains(target) ? 0 : 1;
    }
    outcome.conditions = warning_conditions(warnings_[plan.key]);
  }

  const DesiredInputs& in_;
  IdAllocator& ids_;
  Desired result_;
  std::vector<Candidate> candidates_;
  std::set<VipName> held_;  // For want of nodes.
  std::map<std::tuple<std::string, std::string, v1::OverlayKind, IpFamily>, Result<v1::Overlay>>
      ways_;  // By source and node.
  std::map<ServiceKey, std::vector<IpAddress>> addresses_;
  std::map<ServiceKey, std::vector<Warning>> warnings_;
  std::map<ServiceKey, std::set<std::string>> active_;
  std::map<ServiceKey, std::set<std::string>> draining_;
};

}  // namespace

VipName vip_name(const v1::VipKey& key) {
  return {IpAddress::from_bytes(key.address()).value_or(IpAddress()), key.protocol(), key.port()};
}

v1::VipKey vip_key(const VipName& name) {
  v1::VipKey key;
  key.set_address(name.address.bytes());
  key.set_protocol(name.protocol);
  key.set_port(name.port);
  return key;
}

void DataplaneState::add(const v1::Report& report) {
  for (const v1::Vip& vip : report.vips()) vips[vip_name(vip.key())] = vip;
  for (const v1::Backend& backend : report.backends()) backends[backend.id()] = backend;
  for (const v1::ServedAddress& served : report.addresses()) {
    if (const auto address = IpAddress::from_bytes(served.address())) addresses[*address] = served;
  }
}

Desired build_desired(const DesiredInputs& inputs, IdAllocator* ids) {
  static const DataplaneState nothing;
  DesiredInputs complete = inputs;
  if (complete.reported == nullptr) complete.reported = &nothing;
  if (!complete.ledger_known) return {*complete.reported, {}};
  return Builder(complete, ids).run();
}

}  // namespace sluice
