#include "control/kubernetes/status_decision.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "control/model/service_plan.h"

namespace sluice::kube {

using google::protobuf::util::MessageDifferencer;

namespace {

constexpr std::size_t kMaxConditions = 32;
constexpr std::size_t kMaxMessage = 1024;  // Bytes; the API server takes 32 KiB.
constexpr const char* kVip = "VIP";        // What the API server fills in.

using Ingress = std::vector<v1::LoadBalancerIngress>;

// Text for the API server: bounded, and cut between characters.
std::string bounded(const std::string& text) {
  if (text.size() <= kMaxMessage) return text;
  std::size_t end = kMaxMessage - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  return text.substr(0, end) + "...";
}

const v1::Condition* find(const std::vector<v1::Condition>& conditions, const std::string& type) {
  const auto at = std::ranges::find(conditions, type, &v1::Condition::type);
  return at == conditions.end() ? nullptr : &*at;
}

bool same_word(const v1::Condition& a, const v1::Condition& b) {
  return a.status() == b.status() && a.reason() == b.reason() && a.message() == b.message() &&
         a.observed_generation() == b.observed_generation();
}

bool same_ingress(const Ingress& a, const Ingress& b) {
  return std::ranges::equal(
      a, b, [](const auto& x, const auto& y) { return MessageDifferencer::Equals(x, y); });
}

// As the API server would give it back: canonical address, mode filled in.
v1::LoadBalancerIngress normalized(v1::LoadBalancerIngress entry) {
  if (const auto address = IpAddress::parse(entry.ip())) entry.set_ip(address->text());
  if (!entry.ip().empty() && !entry.has_ip_mode()) entry.set_ip_mode(kVip);
  return entry;
}

bool names(const v1::AddressHolder& holder, const std::string& source, const ServiceView& service) {
  return holder.source() == source && holder.namespace_() == service.ns &&
         holder.name() == service.name;
}

bool has_family_of(const IpAddress& address, const v1::ServiceStatus& status) {
  return std::ranges::any_of(status.addresses(), [&](const std::string& text) {
    const auto other = IpAddress::parse(text);
    return other && other->is_v6() == address.is_v6();
  });
}

// The address is one of the ledger's, and no longer this Service's: it gave it back, has it for
// externalIPs alone, or others have followed it there. The record does not say who left an address
// that was shared, or before its last holder.
bool given_back(const DecisionInputs& in, const std::string& ip) {
  const auto address = IpAddress::parse(ip);
  if (!address || !in.records) return false;
  const auto at = in.records->find(*address);
  if (at == in.records->end()) return false;
  const v1::Address& record = at->second;
  const ServiceView& service = *in.service;
  for (const v1::AddressHolder& holder : record.holders()) {
    if (names(holder, in.source, service))
      return holder.uid() == service.uid && holder.external_ip();
  }
  if (!record.holders().empty()) return true;
  if (!record.has_last_holder()) return false;
  const v1::AddressHolder& last = record.last_holder();
  if (names(last, in.source, service)) return last.uid() == service.uid;
  // An old ledger may have come back; what it has lost, the Service's status is to bring back.
  return has_family_of(*address, *in.status);
}

Ingress wanted_ingress(const DecisionInputs& in) {
  const auto& addresses = in.status->addresses();
  const std::string mode = in.status->ip_mode().empty() ? kVip : in.status->ip_mode();
  const bool programmed = in.status->programmed_gateways() > 0;
  Ingress wanted;
  for (const std::string& address : addresses) {
    const auto present =
        std::ranges::find(in.service->ingress, address, &v1::LoadBalancerIngress::ip);
    if (present == in.service->ingress.end() && !programmed) continue;
    v1::LoadBalancerIngress entry;
    if (present != in.service->ingress.end()) entry = *present;
    entry.set_ip(address);
    if (programmed) entry.set_ip_mode(mode);
    wanted.push_back(std::move(entry));
  }
  for (const v1::LoadBalancerIngress& entry : in.service->ingress) {
    if (std::ranges::find(addresses, entry.ip()) != addresses.end()) continue;
    if (entry.ip().empty() || !given_back(in, entry.ip())) wanted.push_back(entry);
  }
  return wanted;
}

std::vector<v1::Condition> wanted_conditions(const DecisionInputs& in) {
  std::vector<v1::Condition> wanted;
  for (const v1::Condition& condition : in.status->conditions()) {
    if (!condition.type().starts_with(kConditionPrefix) || wanted.size() == kMaxConditions ||
        find(wanted, condition.type()))
      continue;
    v1::Condition next = condition;
    next.set_message(bounded(condition.message()));
    if (next.reason().empty()) next.set_reason("Unknown");
    const v1::Condition* seen = find(in.service->conditions, next.type());
    // A control that lost its memory gives a new time to what did not change.
    if (seen && seen->status() == next.status() && !seen->last_transition_time().empty())
      next.set_last_transition_time(seen->last_transition_time());
    if (next.last_transition_time().empty()) next.set_last_transition_time(in.now);
    wanted.push_back(std::move(next));
  }
  return wanted;
}

bool same_conditions(const std::vector<v1::Condition>& seen,
                     const std::vector<v1::Condition>& wanted) {
  return seen.size() == wanted.size() && std::ranges::all_of(wanted, [&](const auto& condition) {
           const v1::Condition* same = find(seen, condition.type());
           return same && same_word(*same, condition);
         });
}

StatusChange tell_pending(const DecisionInputs& in) {
  StatusChange change;
  if (!in.pending || !in.service->conditions.empty() || !in.service->ingress.empty()) return change;
  v1::Condition condition;
  condition.set_type(kAddressAllocated);
  condition.set_status("Unknown");
  condition.set_reason(in.pending->reason);
  condition.set_message(bounded(in.pending->message));
  condition.set_last_transition_time(in.now);
  change.events.push_back({true, condition.reason(), condition.message()});
  change.conditions = {std::move(condition)};
  return change;
}

// What a change of one condition is worth telling in an Event.
std::optional<Announcement> announce(const v1::Condition* before, const v1::Condition& now) {
  const bool was = before && before->status() == "True", is = now.status() == "True";
  if (now.type() == kAddressAllocated) {
    if (is && !was) return Announcement{false, "AddressAllocated", now.message()};
    if (!is && (!before || before->reason() != now.reason() || was))
      return Announcement{true, "AllocationFailed", now.reason() + ": " + now.message()};
    return std::nullopt;
  }
  if (now.type() == kProgrammed) {
    if (is && !was) return Announcement{false, "Programmed", now.message()};
    if (!is && was) return Announcement{true, "NotProgrammed", now.reason() + ": " + now.message()};
    return std::nullopt;
  }
  if (is && !was) return Announcement{true, now.reason(), now.message()};
  return std::nullopt;
}

}  // namespace

bool is_served(const v1::ServiceSpec& spec, const ServedClasses& served) {
  if (spec.type() != "LoadBalancer") return false;
  if (!spec.has_load_balancer_class()) return served.unclassed;
  return std::ranges::find(served.classes, spec.load_balancer_class()) != served.classes.end();
}

ServiceView see(const v1::Service& service, const ServedClasses& served) {
  ServiceView seen;
  seen.ns = service.metadata().namespace_();
  seen.name = service.metadata().name();
  seen.uid = service.metadata().uid();
  seen.resource_version = service.metadata().resource_version();
  seen.load_balancer = service.spec().type() == "LoadBalancer";
  seen.served = is_served(service.spec(), served);
  seen.deleting = !service.metadata().deletion_timestamp().empty();
  for (const auto& entry : service.status().load_balancer().ingress())
    seen.ingress.push_back(normalized(entry));
  for (const auto& condition : service.status().conditions())
    if (condition.type().starts_with(kConditionPrefix)) seen.conditions.push_back(condition);
  return seen;
}

std::vector<IpAddress> unexplained(const ServiceView& service, const v1::ServiceStatus* status) {
  std::vector<IpAddress> addresses;
  if (!service.served || !status || status->uid() != service.uid) return addresses;
  for (const v1::LoadBalancerIngress& entry : service.ingress) {
    const auto& wanted = status->addresses();
    const auto address = IpAddress::parse(entry.ip());
    if (address && std::ranges::find(wanted, entry.ip()) == wanted.end())
      addresses.push_back(*address);
  }
  return addresses;
}

StatusChange decide(const DecisionInputs& in) {
  const ServiceView& service = *in.service;
  StatusChange change;
  if (service.deleting || (service.load_balancer && !service.served)) return change;
  if (!service.load_balancer) {
    // The API server empties the addresses itself when the type changes.
    if (!service.conditions.empty()) change.conditions.emplace();
    return change;
  }
  if (!in.status || in.status->uid() != service.uid) return tell_pending(in);
  Ingress ingress = wanted_ingress(in);
  if (!same_ingress(service.ingress, ingress)) change.ingress = std::move(ingress);
  std::vector<v1::Condition> conditions = wanted_conditions(in);
  if (!same_conditions(service.conditions, conditions)) {
    for (const v1::Condition& condition : conditions)
      if (auto event = announce(find(service.conditions, condition.type()), condition))
        change.events.push_back(std::move(*event));
    change.conditions = std::move(conditions);
  }
  return change;
}

}  // namespace sluice::kube
