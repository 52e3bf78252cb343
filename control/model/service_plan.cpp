#include "control/model/service_plan.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kLongestMessage = 1000;
constexpr std::size_t kMostExternalIps = 32;

const std::string& annotation(const v1::Service& service, const char* name) {
  static const std::string none;
  const auto at = service.metadata().annotations().find(name);
  return at == service.metadata().annotations().end() ? none : at->second;
}

bool is_our_load_balancer(const v1::Service& service, const PlanSettings& settings) {
  const v1::ServiceSpec& spec = service.spec();
  if (spec.type() != "LoadBalancer") return false;
  const auto& classes = settings.load_balancer_classes;
  return !spec.has_load_balancer_class() ||
         std::find(classes.begin(), classes.end(), spec.load_balancer_class()) != classes.end();
}

// As kube-proxy serves them: on any type that has endpoints and is not headless. A LoadBalancer of
// another class is another's altogether.
bool may_have_external_ips(const v1::Service& service) {
  const v1::ServiceSpec& spec = service.spec();
  return !spec.external_ips().empty() && spec.cluster_ip() != "None" && !spec.ports().empty() &&
         (spec.type() == "ClusterIP" || spec.type() == "NodePort" || spec.type().empty());
}

std::vector<std::string_view> split_at_commas(std::string_view text) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const std::size_t comma = std::min(text.find(','), text.size());
    std::string_view part = text.substr(0, comma);
    text.remove_prefix(std::min(comma + 1, text.size()));
    const auto first = part.find_first_not_of(' ');
    if (first == std::string_view::npos) continue;
    parts.push_back(part.substr(first, part.find_last_not_of(' ') - first + 1));
  }
  return parts;
}

void add_families(const v1::ServiceSpec& spec, AddressRequest* request) {
  request->policy = spec.ip_family_policy() == "RequireDualStack" ? FamilyPolicy::require_dual_stack
                    : spec.ip_family_policy() == "PreferDualStack" ? FamilyPolicy::prefer_dual_stack
                                                                   : FamilyPolicy::single_stack;
  for (const std::string& name : spec.ip_families()) {
    for (const IpFamily family : kIpFamilies) {
      if (name == family_name(family)) request->families.push_back(family);
    }
  }
  const bool single = request->policy == FamilyPolicy::single_stack;
  if (request->families.empty()) {
    request->families = {IpFamily::ipv4};
    if (!single) request->families.push_back(IpFamily::ipv6);
  }
  if (single) request->families.resize(1);
}

bool has_family(const AddressRequest& request, const IpAddress& address) {
  const auto& families = request.families;
  return std::find(families.begin(), families.end(), family_of(address)) != families.end();
}

void add_requested_addresses(const v1::Service& service, AddressRequest* request) {
  const std::string& annotated = annotation(service, kAddressesAnnotation);
  const std::string& text = annotated.empty() ? service.spec().load_balancer_ip() : annotated;
  const std::string field = annotated.empty() ? "spec.loadBalancerIP" : kAddressesAnnotation;
  for (const std::string_view part : split_at_commas(text)) {
    const auto address = IpAddress::parse(part);
    if (!address) {
      request->invalid = field + ": \"" + std::string(part) + "\" is no IPv4 or IPv6 address";
      return;
    }
    const IpFamily family = family_of(*address);
    if (!has_family(*request, *address)) {
      request->invalid = field + ": " + address->text() + " is " + family_name(family) +
                         ", which spec.ipFamilies does not name";
      return;
    }
    for (const IpAddress& other : request->addresses) {
      if (family_of(other) == family && other != *address) {
        request->invalid = field + ": more than one " + family_name(family) + " address";
        return;
      }
    }
    request->addresses.push_back(*address);
  }
}

void add_external_ips(const v1::ServiceSpec& spec, AddressRequest* request,
                      std::vector<Warning>* warnings) {
  const auto leave_out = [&](const std::string& text, const std::string& why) {
    warnings->push_back(
        {"ExternalIPsNotServed", "externalIPs: " + text.substr(0, 100) + " " + why});
  };
  for (const std::string& text : spec.external_ips()) {
    const auto address = IpAddress::parse(text);
    const auto& known = request->external_ips;
    if (!address) {
      leave_out(text, "is no IPv4 or IPv6 address");
    } else if (!has_family(*request, *address)) {
      leave_out(text, "is " + std::string(family_name(family_of(*address))) +
                          ", which spec.ipFamilies does not name");
    } else if (known.size() >= kMostExternalIps) {
      leave_out(text,
                "is one too many; at most " + std::to_string(kMostExternalIps) + " are served");
    } else if (std::find(known.begin(), known.end(), *address) == known.end()) {
      request->external_ips.push_back(*address);
    }
  }
}

void add_status_addresses(const v1::Service& service, AddressRequest* request) {
  for (const v1::LoadBalancerIngress& ingress : service.status().load_balancer().ingress()) {
    const auto address = IpAddress::parse(ingress.ip());
    if (address && has_family(*request, *address) &&
        request->status_addresses.size() < kIpFamilies.size()) {
      request->status_addresses.push_back(*address);
    }
  }
}

std::vector<PlanMember> members_of(const std::vector<PortEndpoint>& endpoints, IpFamily family) {
  std::size_t listed = 0;
  bool any_ready = false;
  for (const PortEndpoint& e : endpoints) {
    if (family_of(e.address) != family) continue;
    ++listed;
    any_ready = any_ready || e.ready;
  }
  std::vector<PlanMember> members;
  members.reserve(listed);
  for (const PortEndpoint& e : endpoints) {
    if (family_of(e.address) != family) continue;
    PlanMember& member = members.emplace_back();
    member.address = e.address;
    member.port = e.port;
    member.target = e.target;
    member.node = e.node;
    // Kubernetes' fallback: with none ready, those that terminate but still serve are used.
    const bool active = any_ready ? e.ready : e.serving && e.terminating;
    // What is listed but not used keeps the flows it has.
    member.draining = !active;
  }
  return members;
}

std::size_t active_count(const std::vector<PlanMember>& members) {
  return static_cast<std::size_t>(
      std::count_if(members.begin(), members.end(), [](const auto& m) { return !m.draining; }));
}

// With endpoints of the other family alone it is for the mode to say whether they can be used; the
// table is made large enough for them.
void count_members(const std::vector<IpFamily>& families, const PlanPort& port,
                   PortRequest* request, std::vector<Warning>* warnings) {
  request->active_members.emplace();
  for (const IpFamily family : families) {
    const auto& own = port.members[static_cast<std::size_t>(family)];
    const auto& others = port.members[static_cast<std::size_t>(other_family(family))];
    const std::size_t active = active_count(own.empty() ? others : own);
    (*request->active_members)[static_cast<std::size_t>(family)] = active;
    if (active_count(own) == 0 && (!own.empty() || others.empty())) {
      warnings->push_back({"NoReadyEndpoints", port_text(port) + " has no ready " +
                                                   family_name(family) +
                                                   " endpoint; new connections are refused"});
    }
  }
}

void add_ports(const v1::Service& service, ServiceEndpoints endpoints, ServicePlan* plan,
               std::vector<Warning>* warnings) {
  for (int i = 0; i < service.spec().ports_size(); ++i) {
    const v1::ServicePort& from = service.spec().ports(i);
    PlanPort port;
    port.name = from.name();
    port.protocol = protocol_from_name(from.protocol().empty() ? "TCP" : from.protocol());
    port.port = static_cast<std::uint32_t>(from.port());
    if (port.protocol == v1::PROTOCOL_UNSPECIFIED) {
      warnings->push_back({"ProtocolNotSupported", "port " + std::to_string(from.port()) + ": " +
                                                       from.protocol() + " is not forwarded"});
      continue;
    }
    if (from.port() < 1 || from.port() > 65'535) {
      warnings->push_back({"InvalidPort", "port " + std::to_string(from.port()) +
                                              " is not from 1 to 65535; it is left out"});
      continue;
    }
    PortRequest request;
    request.protocol = protocol_name(port.protocol);
    request.port = port.port;
    for (const IpFamily family : kIpFamilies) {
      port.members[static_cast<std::size_t>(family)] =
          members_of(endpoints.ports[static_cast<std::size_t>(i)], family);
    }
    if (plan->known) count_members(plan->request.families, port, &request, warnings);
    plan->request.ports.push_back(std::move(request));
    plan->ports.push_back(std::move(port));
  }
  for (Warning& warning : endpoints.warnings) warnings->push_back(std::move(warning));
}

void warn_of_fields(const v1::Service& service, std::vector<Warning>* warnings) {
  const v1::ServiceSpec& spec = service.spec();
  if (spec.session_affinity() == "ClientIP") {
    warnings->push_back({"SessionAffinityNotHonoured",
                         "sessionAffinity ClientIP is not honoured yet; each connection may go to "
                         "another endpoint"});
  }
  if (!spec.load_balancer_source_ranges().empty()) {
    warnings->push_back({"SourceRangesNotHonoured",
                         "loadBalancerSourceRanges is not enforced yet; every client is let in"});
  }
  static constexpr std::array<std::string_view, 7> known{
      kForwardingModeAnnotation, kOverlayAnnotation,   kProxyProtocolAnnotation, kQuicAnnotation,
      kAddressPoolAnnotation,    kAddressesAnnotation, kSharingAnnotation};
  std::map<std::string, std::string> sorted(service.metadata().annotations().begin(),
                                            service.metadata().annotations().end());
  for (const auto& [name, value] : sorted) {
    if (name.starts_with("sluice.dev/") &&
        std::find(known.begin(), known.end(), name) == known.end()) {
      warnings->push_back({"UnknownAnnotation", "the annotation " + name + " is not known"});
    }
  }
}

std::string not_one_of(const char* annotation_name, const std::string& value,
                       const std::string& words) {
  return std::string(annotation_name) + ": \"" + value.substr(0, 100) +
         "\" is not one of: " + words;
}

// How packets are to reach the endpoints, by the Service's annotations.
void read_forwarding(const v1::Service& service, ServicePlan* plan,
                     std::vector<Warning>* warnings) {
  const std::string& mode = annotation(service, kForwardingModeAnnotation);
  plan->mode = forwarding_mode_from_name(mode);
  if (!mode.empty() && plan->mode == v1::FORWARDING_MODE_UNSPECIFIED) {
    warnings->push_back({"InvalidForwardingMode",
                         not_one_of(kForwardingModeAnnotation, mode, forwarding_mode_names()) +
                             "; the default is used"});
  }
  const std::string& overlay = annotation(service, kOverlayAnnotation);
  plan->overlay = overlay_from_name(overlay);
  if (!overlay.empty() && !plan->overlay) {
    warnings->push_back(
        {"InvalidOverlay",
         not_one_of(kOverlayAnnotation, overlay, "none, vxlan, ipip") + "; the default is used"});
  }
  const std::string& proxy = annotation(service, kProxyProtocolAnnotation);
  plan->proxy_protocol = proxy == "v2";
  if (!proxy.empty() && !plan->proxy_protocol) {
    warnings->push_back({"InvalidProxyProtocol", not_one_of(kProxyProtocolAnnotation, proxy, "v2") +
                                                     "; endpoints get no PROXY header"});
  }
  const std::string& quic = annotation(service, kQuicAnnotation);
  plan->quic = quic == "plaintext";
  if (!quic.empty() && !plan->quic) {
    warnings->push_back(
        {"InvalidQuicConnectionIds",
         not_one_of(kQuicAnnotation, quic, "plaintext") + "; connection IDs are not looked at"});
  }
  plan->keeps_client_address = service.spec().external_traffic_policy() == "Local";
}

}  // namespace

std::string port_text(const PlanPort& port) {
  const std::string number = std::to_string(port.port) + "/" + protocol_name(port.protocol);
  return port.name.empty() ? "port " + number : "port " + port.name + " (" + number + ")";
}

ServicePlan plan_service(const ServiceInputs& inputs, const PlanSettings& settings) {
  ServicePlan plan;
  plan.key = inputs.key;
  if (inputs.service == nullptr) return plan;
  const v1::Service& service = inputs.service->service();
  plan.request.load_balancer = is_our_load_balancer(service, settings);
  plan.wanted = service.metadata().deletion_timestamp().empty() &&
                (plan.request.load_balancer || may_have_external_ips(service));
  if (!plan.wanted) return plan;
  plan.known = inputs.endpoints_known;
  plan.uid = service.metadata().uid();
  std::vector<Warning> warnings;
  read_forwarding(service, &plan, &warnings);
  plan.request.service = inputs.key;
  plan.request.object = inputs.service;
  plan.request.uid = plan.uid;
  plan.request.created = service.metadata().creation_timestamp();
  plan.request.pool = annotation(service, kAddressPoolAnnotation);
  plan.request.sharing_key = annotation(service, kSharingAnnotation);
  add_families(service.spec(), &plan.request);
  if (plan.request.load_balancer) {
    add_requested_addresses(service, &plan.request);
    add_status_addresses(service, &plan.request);
  }
  add_external_ips(service.spec(), &plan.request, &warnings);
  add_ports(service, endpoints_of(inputs), &plan, &warnings);
  for (const auto* some : {&inputs.pods, &inputs.slices})
    plan.objects.insert(plan.objects.end(), some->begin(), some->end());
  if (inputs.endpoints != nullptr) plan.objects.push_back(inputs.endpoints);
  if (!plan.request.load_balancer) {
    plan.wanted = !plan.request.ports.empty() && !plan.request.external_ips.empty();
    if (!plan.wanted) return plan;
  }
  if (plan.request.ports.empty() && plan.request.invalid.empty()) {
    plan.request.invalid = "spec.ports: no port that can be forwarded";
  }
  if (!plan.known) {
    warnings.push_back(
        {"EndpointsUnknown",
         "the endpoints are not known completely yet; what is served stays as it is"});
  }
  const auto is_udp = [](const PlanPort& port) { return port.protocol == v1::PROTOCOL_UDP; };
  if (plan.quic && std::none_of(plan.ports.begin(), plan.ports.end(), is_udp)) {
    warnings.push_back({"QuicNotPossible", std::string(kQuicAnnotation) +
                                               " goes with UDP, and no port of the Service is"});
  }
  warn_of_fields(service, &warnings);
  plan.conditions = warning_conditions(warnings);
  return plan;
}

std::vector<v1::Condition> warning_conditions(const std::vector<Warning>& warnings) {
  std::map<std::string, std::string> by_reason;
  for (const Warning& warning : warnings) {
    std::string& message = by_reason[warning.reason];
    if (message.size() + warning.message.size() > kLongestMessage) {
      if (!message.ends_with("...")) message += "; ...";
      continue;
    }
    message += (message.empty() ? "" : "; ") + warning.message;
  }
  std::vector<v1::Condition> conditions;
  for (auto& [reason, message] : by_reason) {
    conditions.push_back(
        make_condition("sluice.dev/Warning-" + reason, true, reason, std::move(message)));
  }
  return conditions;
}

v1::Condition make_condition(std::string type, bool status, std::string reason,
                             std::string message) {
  v1::Condition condition;
  condition.set_type(std::move(type));
  condition.set_status(status ? "True" : "False");
  condition.set_reason(std::move(reason));
  condition.set_message(std::move(message));
  return condition;
}

}  // namespace sluice
