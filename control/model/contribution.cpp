#include "control/model/contribution.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "control/model/maglev_size.h"
#include "control/model/node_path.h"

namespace sluice {
namespace {

// As Vip.service has it; also of what is not the name of a Service.
std::string text_of(const ServiceKey& service) {
  return service.ns.empty() && service.name.empty() ? service.source : service.text();
}

}  // namespace

// Said once, in the order of the ports, whoever goes first for its room.
void ContributionBuilder::warn(Draft* draft, std::size_t order, std::string reason,
                               std::string message) {
  for (auto& [known_order, known] : draft->warnings) {
    if (known.reason != reason || known.message != message) continue;
    known_order = std::min(known_order, order);
    return;
  }
  draft->warnings.push_back({order, {std::move(reason), std::move(message)}});
}

// Service names hold no slash, so the text comes apart again.
ServiceKey service_key(const std::string& text) {
  const auto first = text.find('/');
  const auto last = text.rfind('/');
  if (first == std::string::npos || first == last) return {text, "", ""};
  return {text.substr(0, first), text.substr(first + 1, last - first - 1), text.substr(last + 1)};
}

void ContributionBuilder::add(const ServiceKey& service) {
  const auto [at, added] = drafts_.try_emplace(service);
  if (!added) return;
  Draft& draft = at->second;
  const auto found = in_.plans->find(service);
  const ServicePlan* plan = found == in_.plans->end() ? nullptr : &found->second;
  if (plan == nullptr ? in_.source_held && in_.source_held(service.source)
                      : plan->wanted && !plan->known) {
    unknown_[text_of(service)] = &draft;
  }
  if (plan == nullptr || !plan->wanted) return;
  draft.plan = plan;
  for (const IpAddress& address : grants_.addresses(service)) {
    const auto record = in_.ledger->find(address);
    if (record == in_.ledger->end()) continue;
    for (const v1::AddressHolder& holder : record->second.holders()) {
      if (ServiceKey{holder.source(), holder.namespace_(), holder.name()} == service)
        consider(&draft, address, record->second, holder);
    }
  }
}

void ContributionBuilder::consider(Draft* draft, const IpAddress& address,
                                   const v1::Address& record, const v1::AddressHolder& holder) {
  const v1::AddressPoolSpec& pool = pool_spec(record.pool());
  v1::ServedAddress served;
  served.set_address(address.bytes());
  served.set_unserved_ports(pool.unserved_ports() == "drop" ? v1::UNSERVED_PORTS_DROP
                                                            : v1::UNSERVED_PORTS_REJECT);
  draft->addresses[address] = {address, false, std::make_shared<const v1::ServedAddress>(served)};
  if (!holder.external_ip()) draft->granted.push_back(address);
  const ServicePlan& plan = *draft->plan;
  if (!plan.known) return;
  for (const v1::HeldPort& held : holder.ports()) {
    const auto port = std::find_if(plan.ports.begin(), plan.ports.end(), [&](const PlanPort& p) {
      return p.port == held.port() && held.protocol() == protocol_name(p.protocol);
    });
    if (port == plan.ports.end()) continue;
    const v1::ForwardingMode mode = mode_of(plan, pool);
    Candidate candidate{draft,
                        &*port,
                        {address, port->protocol, port->port},
                        mode,
                        overlay_of(draft, pool, mode),
                        held.maglev_size(),
                        candidates_.size() + 1};
    if (nodes_suffice(candidate)) candidates_.push_back(std::move(candidate));
  }
}

const v1::AddressPoolSpec& ContributionBuilder::pool_spec(const std::string& name) const {
  const auto at = in_.pools->find(name);
  return at == in_.pools->end() ? v1::AddressPoolSpec::default_instance()
                                : at->second->address_pool().spec();
}

v1::ForwardingMode ContributionBuilder::mode_of(const ServicePlan& plan,
                                                const v1::AddressPoolSpec& pool) const {
  if (plan.mode != v1::FORWARDING_MODE_UNSPECIFIED) return plan.mode;
  const v1::ForwardingMode mode = forwarding_mode_from_name(pool.forwarding_mode());
  return mode != v1::FORWARDING_MODE_UNSPECIFIED ? mode : in_.settings.default_mode;
}

v1::OverlayKind ContributionBuilder::overlay_of(Draft* draft, const v1::AddressPoolSpec& pool,
                                                v1::ForwardingMode mode) const {
  const auto asked =
      draft->plan->overlay ? draft->plan->overlay : overlay_from_name(pool.overlay());
  if (translates(mode)) return asked.value_or(in_.settings.default_overlay);
  if (asked && *asked != v1::OVERLAY_KIND_UNSPECIFIED) {
    warn(draft, 0, "OverlayIgnored",
         std::string("overlay ") + overlay_name(*asked) + " goes with nat and dnat alone; " +
             forwarding_mode_name(mode) + " sends straight to the endpoints");
  }
  return v1::OVERLAY_KIND_UNSPECIFIED;
}

// Nodes that are not known yet are not missing nodes.
bool ContributionBuilder::nodes_suffice(const Candidate& candidate) {
  const std::string& source = candidate.draft->plan->key.source;
  if (candidate.overlay == v1::OVERLAY_KIND_UNSPECIFIED || !in_.nodes_known ||
      in_.nodes_known(source)) {
    return true;
  }
  const auto reported = in_.reported->vips.find(candidate.name);
  if (reported != in_.reported->vips.end()) hold(candidate.draft, candidate.name, reported->second);
  warn(candidate.draft, 0, "NodesUnknown",
       "the nodes of source " + source +
           " are not known completely yet; what is served by the overlay stays as it is");
  return false;
}

void ContributionBuilder::hold_unknown() {
  if (unknown_.empty()) return;
  for (const auto& [name, vip] : in_.reported->vips) {
    const auto at = unknown_.find(vip->service());
    if (at != unknown_.end()) hold(at->second, name, vip);
  }
}

void ContributionBuilder::hold(Draft* draft, const VipName& name, const Shared<v1::Vip>& vip) {
  const std::string source = service_key(vip->service()).source;
  draft->vips.push_back({name, true, vip});
  ++vips_;
  (void)ids_.vip(name.address, name.protocol);
  for (const v1::Member& member : vip->members()) {
    const auto at = in_.reported->backends.find(member.backend());
    if (at == in_.reported->backends.end()) continue;
    draft->backends.push_back({member.backend(), true, at->second});
    const v1::Backend backend = at->second.message();
    if (const auto address = IpAddress::from_bytes(backend.address()))
      (void)ids_.backend(source, *address, name.protocol, backend.port(), backend.overlay());
  }
  const auto served = in_.reported->addresses.find(name.address);
  if (served != in_.reported->addresses.end())
    draft->addresses.try_emplace(name.address, AddressOffer{name.address, true, served->second});
}

// The way to an endpoint through the cluster's overlay, by what its node says of itself.
Result<v1::Overlay> ContributionBuilder::way(Draft* draft, v1::OverlayKind kind,
                                             const std::string& name, const IpAddress& endpoint) {
  if (name.empty()) {
    return Error{endpoint.text() + " names no node (nodeName), which overlay " +
                 overlay_name(kind) + " needs; it gets no new connections"};
  }
  const std::string& source = draft->plan->key.source;
  draft->nodes.insert(name);
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
  return ways_.insert({{source, name, kind, family_of(endpoint)}, std::move(result)}).first->second;
}

ContributionBuilder::Reported ContributionBuilder::reported_members(const VipName& name) const {
  Reported members;
  const auto vip = in_.reported->vips.find(name);
  if (vip == in_.reported->vips.end()) return members;
  for (const v1::Member& reported : vip->second->members()) {
    const auto at = in_.reported->backends.find(reported.backend());
    if (at == in_.reported->backends.end()) continue;
    v1::Backend backend = at->second.message();
    auto key = std::make_pair(backend.address(), backend.port());
    members.try_emplace(std::move(key), std::move(backend));
  }
  return members;
}

Reach ContributionBuilder::reach_of(const Candidate& candidate, bool proxy_protocol) {
  ReachInputs inputs;
  inputs.port = candidate.port;
  inputs.family = family_of(candidate.name.address);
  inputs.mode = candidate.mode;
  inputs.proxy_protocol = proxy_protocol;
  inputs.overlay = candidate.overlay;
  inputs.way = [&](const std::string& node, const IpAddress& endpoint) {
    return way(candidate.draft, candidate.overlay, node, endpoint);
  };
  std::optional<Reported> served;  // Seldom needed.
  inputs.reported = [&](const PlanMember& member) -> const v1::Backend* {
    if (!served) served = reported_members(candidate.name);
    const auto at = served->find({member.address.bytes(), member.port});
    return at == served->end() ? nullptr : &at->second;
  };
  Reach reached = reach(inputs);
  for (Warning& warning : reached.warnings)
    warn(candidate.draft, candidate.order, std::move(warning.reason), std::move(warning.message));
  return reached;
}

// Whether backends get a PROXY header; with what there is to say of clients' addresses.
bool ContributionBuilder::add_client_address(const Candidate& candidate) const {
  const ServicePlan& plan = *candidate.draft->plan;
  const bool nat = candidate.mode == v1::FORWARDING_MODE_NAT;
  const bool tcp = candidate.name.protocol == v1::PROTOCOL_TCP;
  const bool proxy = plan.proxy_protocol && nat && tcp;
  if (plan.proxy_protocol && !proxy) {
    warn(candidate.draft, candidate.order, "ProxyProtocolNotPossible",
         port_text(*candidate.port) +
             (!tcp ? ": the PROXY protocol goes with TCP alone; endpoints get no header"
                   : std::string(": the PROXY protocol goes with mode nat alone; endpoints get "
                                 "no header, but the client's own address by mode ") +
                         forwarding_mode_name(candidate.mode)));
  }
  if (plan.keeps_client_address && nat && !proxy) {
    warn(candidate.draft, candidate.order, "ExternalTrafficPolicyNotHonoured",
         "externalTrafficPolicy Local: mode nat hides clients' addresses from the endpoints; "
         "sluice.dev/forwarding-mode dnat, dsr-mac, ipip or gue keeps them, and "
         "sluice.dev/proxy-protocol v2 passes them on");
  }
  return proxy;
}

void ContributionBuilder::add_vip(const Candidate& candidate) {
  Draft& draft = *candidate.draft;
  const ServicePlan& plan = *draft.plan;
  const bool full = in_.capacity.vips() != 0 && vips_ >= in_.capacity.vips();
  const auto id = full ? Result<std::uint32_t>(Error{"the dataplane has room for " +
                                                     std::to_string(in_.capacity.vips()) +
                                                     " Service ports; raise dataplane.tables.vips"})
                       : ids_.vip(candidate.name.address, candidate.name.protocol);
  if (!id) {
    short_of_room_ = true;
    return warn(&draft, candidate.order, "CapacityExceeded", id.error());
  }
  v1::Vip vip;
  *vip.mutable_key() = vip_key(candidate.name);
  vip.set_id(*id);
  vip.set_service(plan.key.text());
  vip.set_mode(candidate.mode);
  vip.set_proxy_protocol(add_client_address(candidate));
  vip.set_quic(plan.quic && candidate.name.protocol == v1::PROTOCOL_UDP);
  std::size_t count = 0, active = 0;
  for (const ReachedMember& reached : reach_of(candidate, vip.proxy_protocol()).members) {
    if (rows_.size() == count) rows_.emplace_back();
    Row& row = rows_[count];
    const auto backend = add_backend(candidate, reached, &row.name);
    if (!backend) {
      short_of_room_ = true;
      warn(&draft, candidate.order, "CapacityExceeded", backend.error());
      continue;
    }
    row.backend = *backend;
    row.weight = reached.member->weight;
    row.draining = reached.draining;
    ++count;
    active += reached.draining ? 0 : 1;
    (reached.draining ? draft.draining : draft.active).push_back(reached.member);
  }
  add_members(count, &vip);
  if (active > 0) {
    vip.set_maglev_size(candidate.maglev_size >= active ? candidate.maglev_size
                                                        : maglev_size_for(active));
  }
  draft.vips.push_back({candidate.name, false, std::make_shared<const v1::Vip>(std::move(vip))});
  ++vips_;
  ++converted_;
}

// By name, as the table wants them.
void ContributionBuilder::add_members(std::size_t count, v1::Vip* vip) {
  std::sort(rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(count),
            [](const Row& a, const Row& b) { return a.name < b.name; });
  vip->mutable_members()->Reserve(static_cast<int>(count));
  for (std::size_t i = 0; i < count; ++i) {
    v1::Member& member = *vip->add_members();
    member.set_backend(rows_[i].backend);
    member.set_weight(rows_[i].weight);
    member.set_draining(rows_[i].draining);
  }
}

Result<std::uint32_t> ContributionBuilder::add_backend(const Candidate& candidate,
                                                       const ReachedMember& reached,
                                                       std::string* name) {
  const PlanMember& member = *reached.member;
  const auto id = ids_.backend(candidate.draft->plan->key.source, member.address,
                               candidate.name.protocol, member.port, reached.overlay);
  if (!id) return id;
  *name = address_port_text(member.address, member.port);
  backend_.Clear();
  backend_.set_id(*id);
  backend_.set_address(member.address.data(), member.address.size());
  backend_.set_port(member.port);
  backend_.set_name(*name);
  if (reached.overlay.kind() != v1::OVERLAY_KIND_UNSPECIFIED)
    *backend_.mutable_overlay() = reached.overlay;
  member.target.write(backend_.mutable_target());
  candidate.draft->backends.push_back({*id, false, EncodedBackend(backend_)});
  return id;
}

namespace {

// Two families or ports may name one endpoint differently; their order must not matter. What is
// known goes before what is held.
bool goes_before(const BackendOffer& a, const BackendOffer& b) {
  if (a.key != b.key) return a.key < b.key;
  if (a.held != b.held) return b.held;
  return !same_value(a.value, b.value) && a.value.message().target() > b.value.message().target();
}

// Members of one endpoint, by whatever port, are alike.
using Who = std::tuple<std::string_view, std::string_view, IpAddress>;
Who who(const PlanMember* member) {
  if (member->target.empty()) return {{}, {}, member->address};
  return {member->target.ns, member->target.name, {}};
}
bool who_less(const PlanMember* a, const PlanMember* b) {
  return who(a) < who(b);
}

void sort_unique(std::vector<const PlanMember*>* members) {
  std::sort(members->begin(), members->end(), who_less);
  const auto alike = [](const auto* a, const auto* b) { return who(a) == who(b); };
  members->erase(std::unique(members->begin(), members->end(), alike), members->end());
}

template <typename Offers>
void drop_repeated(Offers* offers) {
  const auto alike = [](const auto& a, const auto& b) { return a.key == b.key; };
  offers->erase(std::unique(offers->begin(), offers->end(), alike), offers->end());
  offers->shrink_to_fit();
}

}  // namespace

std::vector<Contribution> ContributionBuilder::run() {
  hold_unknown();
  // What serves already goes first, so that a newcomer cannot take its room.
  std::stable_partition(candidates_.begin(), candidates_.end(),
                        [&](const Candidate& c) { return is_reported(c.name); });
  for (const Candidate& candidate : candidates_) add_vip(candidate);
  std::vector<Contribution> all;
  all.reserve(drafts_.size());
  while (!drafts_.empty()) {
    auto node = drafts_.extract(drafts_.begin());
    all.push_back(finish(std::move(node.key()), std::move(node.mapped())));
  }
  return all;
}

Contribution ContributionBuilder::finish(ServiceKey service, Draft draft) {
  Contribution out;
  out.service = std::move(service);
  out.vips = std::move(draft.vips);
  std::stable_sort(out.vips.begin(), out.vips.end(),
                   [](const auto& a, const auto& b) { return a.key < b.key; });
  drop_repeated(&out.vips);  // A damaged ledger may name a port twice.
  out.backends = std::move(draft.backends);
  std::stable_sort(out.backends.begin(), out.backends.end(), goes_before);
  drop_repeated(&out.backends);
  for (auto& [address, offer] : draft.addresses) out.addresses.push_back(std::move(offer));
  out.nodes.assign(draft.nodes.begin(), draft.nodes.end());
  if (draft.plan == nullptr) return out;
  ServiceOutcome& outcome = out.outcome.emplace();
  for (const IpFamily family : draft.plan->request.families) {
    for (const IpAddress& address : draft.granted) {
      if (family_of(address) == family) outcome.addresses.push_back(address.text());
    }
  }
  sort_unique(&draft.active);
  sort_unique(&draft.draining);
  outcome.backends = static_cast<std::uint32_t>(draft.active.size());
  outcome.draining = static_cast<std::uint32_t>(
      std::count_if(draft.draining.begin(), draft.draining.end(), [&](const PlanMember* member) {
        return !std::binary_search(draft.active.begin(), draft.active.end(), member, who_less);
      }));
  std::stable_sort(draft.warnings.begin(), draft.warnings.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<Warning> warnings;
  for (auto& [order, warning] : draft.warnings) warnings.push_back(std::move(warning));
  outcome.conditions = warning_conditions(warnings);
  return out;
}

}  // namespace sluice
