#include "control/daemon/status.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <utility>

#include "control/cli/age.h"

namespace sluice {

using google::protobuf::util::MessageDifferencer;

namespace {

// Keeps the time of the condition's last change of status where it did not change.
void set_transition_time(v1::Condition* condition, const v1::ServiceStatus* before,
                         const std::string& now) {
  const v1::Condition* old = before ? find_condition(*before, condition->type()) : nullptr;
  const bool same = old && old->status() == condition->status();
  condition->set_last_transition_time(same ? old->last_transition_time() : now);
}

void set_condition(v1::ServiceStatus* status, v1::Condition condition) {
  for (auto& c : *status->mutable_conditions()) {
    if (c.type() != condition.type()) continue;
    c = std::move(condition);
    return;
  }
  *status->add_conditions() = std::move(condition);
}

// Programmed as `other` tells it of the Service and the addresses that `own` speaks of.
v1::Condition programmed_by(const GatewayStatus& other, const v1::ServiceStatus& own) {
  const v1::ServiceStatus* status = other.status;
  const bool same = status && status->uid() == own.uid() &&
                    std::ranges::equal(status->addresses(), own.addresses());
  const v1::Condition* condition = same ? find_condition(*status, kProgrammed) : nullptr;
  if (condition) return *condition;
  v1::Condition pending = make_condition(kProgrammed, false, "Pending", "It has not reported yet.");
  pending.set_last_transition_time(find_condition(own, kProgrammed)->last_transition_time());
  return pending;
}

}  // namespace

const v1::Condition* find_condition(const v1::ServiceStatus& status, const std::string& type) {
  for (const auto& condition : status.conditions())
    if (condition.type() == type) return &condition;
  return nullptr;
}

bool same_status(const v1::ServiceStatus& a, const v1::ServiceStatus& b) {
  return MessageDifferencer::Equals(a, b);
}

v1::Condition programmed_condition(const ServicePlan& plan, const ServiceOutcome& outcome,
                                   const VipProgress& progress, const ProgramState& program) {
  const auto no = [](const char* reason, std::string message) {
    return make_condition(kProgrammed, false, reason, std::move(message));
  };
  if (outcome.addresses.empty() && plan.request.load_balancer)
    return no("NoAddress", "The Service has no address yet.");
  if (!program.connected) return no("DataplaneUnreachable", program.error);
  if (progress.wanted == 0 && !plan.known)
    return no("EndpointsUnknown", "The Service's endpoints are not known yet.");
  if (progress.wanted == 0) return no("NoVip", "None of the Service's ports can be served.");
  if (progress.served == progress.wanted)
    return make_condition(kProgrammed, true, "Programmed",
                          std::to_string(progress.wanted) +
                              (progress.wanted == 1 ? " VIP is" : " VIPs are") +
                              " served by the dataplane.");
  if (!program.seed_known)
    return no("SecretUnknown",
              "The secret all gateways share (sluice:1:secret in Redis) is not known yet; if this "
              "lasts, the log of sluice-control tells why.");
  if (!program.error.empty())
    return no("Refused", "The dataplane refused the change: " + program.error);
  return no("Pending", std::to_string(progress.wanted - progress.served) + " of " +
                           std::to_string(progress.wanted) + " VIPs are not served as wanted yet.");
}

v1::ServiceStatus make_status(const StatusInputs& inputs) {
  v1::ServiceStatus status;
  status.mutable_header()->set_major(1);
  status.set_source(inputs.plan->key.source);
  status.set_namespace_(inputs.plan->key.ns);
  status.set_name(inputs.plan->key.name);
  status.set_uid(inputs.plan->uid);
  status.set_gateway(inputs.gateway);
  for (const std::string& address : inputs.outcome->addresses) status.add_addresses(address);
  // A client inside the cluster that kube-proxy sends straight to an endpoint brings no PROXY
  // header.
  if (!inputs.outcome->addresses.empty()) status.set_ip_mode(inputs.proxied ? "Proxy" : "VIP");
  status.set_backends(inputs.outcome->backends);
  status.set_draining(inputs.outcome->draining);
  for (const auto& condition : inputs.further) set_condition(&status, condition);
  for (const auto& condition : inputs.outcome->conditions) set_condition(&status, condition);
  const std::string now = rfc3339_text(inputs.now);
  for (auto& condition : *status.mutable_conditions()) {
    condition.set_observed_generation(inputs.observed_generation);
    set_transition_time(&condition, inputs.before, now);
  }
  return status;
}

v1::ServiceStatus merge_statuses(const v1::ServiceStatus& own,
                                 std::span<const GatewayStatus> others,
                                 const v1::ServiceStatus* before) {
  v1::ServiceStatus merged = own;
  merged.clear_gateway();
  merged.set_gateways(1 + static_cast<std::uint32_t>(others.size()));
  const auto at =
      std::ranges::find(*merged.mutable_conditions(), kProgrammed, &v1::Condition::type);
  if (at == merged.mutable_conditions()->end()) return merged;

  std::uint32_t programmed = 0;
  std::string blamed;
  const auto count = [&](const std::string& gateway, const v1::Condition& condition) {
    if (condition.status() == "True") {
      ++programmed;
    } else if (blamed.empty()) {
      blamed = "; on gateway " + gateway + ": " + condition.message();
      *at = condition;
    }
  };
  count(own.gateway(), v1::Condition(*at));
  for (const GatewayStatus& other : others) count(other.gateway, programmed_by(other, own));

  at->set_observed_generation(find_condition(own, kProgrammed)->observed_generation());
  at->set_message(
      "Programmed on " + std::to_string(programmed) + " of " + std::to_string(merged.gateways()) +
      (merged.gateways() == 1 ? " gateway" : " gateways") + (blamed.empty() ? "." : blamed));
  merged.set_programmed_gateways(programmed);
  const v1::Condition* old = before ? find_condition(*before, kProgrammed) : nullptr;
  if (old && old->status() == at->status())
    at->set_last_transition_time(old->last_transition_time());
  return merged;
}

}  // namespace sluice
