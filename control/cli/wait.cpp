#include "control/cli/wait.h"

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>

#include "control/cli/resource.h"
#include "control/cli/selection.h"
#include "control/model/service_plan.h"
#include "control/store/source_hash.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kPoll = 250ms;
constexpr std::size_t kMostLines = 20;

std::string name_of(const WaitTarget& target) {
  return qualified_name(v1::KIND_SERVICE, target.service.name) + " in namespace \"" +
         target.service.ns + "\"";
}

std::string duration_text(std::chrono::milliseconds time) {
  const bool whole = time.count() % 1000 == 0;
  return whole ? std::to_string(time.count() / 1000) + "s" : std::to_string(time.count()) + "ms";
}

const char* const kNoGateway = "no gateway is alive; is sluice-control running?";

Result<std::vector<store::Gateway>> live_gateways(Context& context, store::Redis& redis) {
  auto gateways = context.run(store::list_gateways(redis));
  if (gateways) std::erase_if(*gateways, [](const store::Gateway& g) { return !g.alive; });
  return gateways;
}

std::vector<store::StatusKey> status_keys(const std::vector<WaitTarget>& targets) {
  std::vector<store::StatusKey> keys;
  for (const WaitTarget& t : targets)
    keys.push_back({t.service.source, t.service.ns, t.service.name});
  return keys;
}

const v1::ServiceStatus* find(const MergedStatuses& statuses, const WaitTarget& target) {
  const auto at = statuses.find({target.service.source, target.service.ns, target.service.name});
  return at == statuses.end() ? nullptr : &at->second;
}

bool holds(const v1::Address& record, const WaitTarget& target) {
  return std::ranges::any_of(record.holders(), [&](const v1::AddressHolder& holder) {
    return holder.source() == target.service.source && holder.namespace_() == target.service.ns &&
           holder.name() == target.service.name && holder.uid() == target.uid;
  });
}

// Asks until nothing is missing, twice in succession, or time is up: a gateway tells that it has
// read a change a moment before it tells what came of it. `missing`: a line for each target that is
// not there.
Status wait_until(Context& context, std::chrono::milliseconds timeout,
                  const std::function<Result<std::vector<std::string>>(store::Redis&)>& missing) {
  const auto end = Clock::now() + timeout;
  for (int good = 0;;) {
    auto redis = context.redis();
    if (!redis) return Error{redis.error()};
    const auto lines = missing(**redis);
    if (!lines) return Error{lines.error()};
    good = lines->empty() ? good + 1 : 0;
    if (good == 2 || (good == 1 && Clock::now() >= end)) return Ok{};
    if (Clock::now() >= end) {
      std::string text = "timed out after " + duration_text(timeout) + ":";
      for (std::size_t i = 0; i < lines->size() && i < kMostLines; ++i) text += "\n" + (*lines)[i];
      if (lines->size() > kMostLines)
        text += "\nand " + std::to_string(lines->size() - kMostLines) + " more";
      return Error{text};
    }
    std::this_thread::sleep_for(std::min<Clock::duration>(kPoll, end - Clock::now()));
  }
}

Result<std::vector<std::string>> unprogrammed(Context& context, store::Redis& redis,
                                              const std::vector<WaitTarget>& targets) {
  const auto hash = context.run(store::read_source_hash(redis, kManualSource));
  if (!hash) return Error{hash.error()};
  const auto gateways = live_gateways(context, redis);
  if (!gateways) return Error{gateways.error()};
  if (gateways->empty()) return std::vector<std::string>{kNoGateway};
  std::map<ServiceKey, std::string> lines;  // One a Service: the first gateway's.
  for (const store::Gateway& gateway : *gateways) {
    const auto statuses =
        context.run(store::read_statuses(redis, gateway.name, status_keys(targets)));
    if (!statuses) return Error{statuses.error()};
    for (const WaitTarget& target : targets) {
      const std::string why =
          not_programmed(target, gateway, hash->sequence, find(*statuses, target));
      if (!why.empty()) lines.emplace(target.service, name_of(target) + ": " + why);
    }
  }
  std::vector<std::string> all;
  for (auto& [key, line] : lines) all.push_back(std::move(line));
  return all;
}

Result<std::vector<std::string>> not_gone(Context& context, store::Redis& redis,
                                          const std::vector<WaitTarget>& targets) {
  store::Ledger ledger(redis);
  if (Status s = context.run(ledger.refresh()); !s) return Error{s.error()};
  const auto gateways = live_gateways(context, redis);
  if (!gateways) return Error{gateways.error()};
  std::map<ServiceKey, std::string> lines;
  for (const store::Gateway& gateway : *gateways) {
    const auto statuses =
        context.run(store::read_statuses(redis, gateway.name, status_keys(targets)));
    if (!statuses) return Error{statuses.error()};
    for (const WaitTarget& target : targets) {
      const v1::ServiceStatus* status = find(*statuses, target);
      if (status && status->uid() == target.uid)
        lines.emplace(target.service,
                      name_of(target) + ": gateway " + gateway.name + " still has it");
    }
  }
  for (const WaitTarget& target : targets)
    for (const IpAddress& address : target.addresses) {
      const auto at = ledger.records().find(address);
      const v1::Address* record = at == ledger.records().end() ? nullptr : &at->second;
      const std::string why = not_withdrawn(target, address, record, *gateways);
      if (!why.empty()) lines.emplace(target.service, name_of(target) + ": " + why);
    }
  std::vector<std::string> all;
  for (auto& [key, line] : lines) all.push_back(std::move(line));
  return all;
}

}  // namespace

std::string not_programmed(const WaitTarget& target, const store::Gateway& gateway,
                           std::uint64_t sequence, const v1::ServiceStatus* status) {
  const std::string where = "gateway " + gateway.name + ": ";
  const auto& sources = gateway.presence.sources();
  const auto source = std::ranges::find(sources, target.service.source, &v1::SourceState::source);
  if (source == sources.end() || source->sequence() < sequence) {
    const bool told = source != sources.end() && !source->message().empty();
    return where + "has not read the last change" + (told ? ": " + source->message() : "");
  }
  if (!status || status->uid() != target.uid) return where + "does not know it yet";
  const v1::Condition* worst = nullptr;
  bool programmed = false;
  for (const v1::Condition& c : status->conditions()) {
    if (c.type() != kAddressAllocated && c.type() != kProgrammed) continue;
    if (c.observed_generation() < target.generation) return where + "works on it";
    if (c.status() != "True" && (!worst || c.type() == kAddressAllocated)) worst = &c;
    programmed = programmed || (c.type() == kProgrammed && c.status() == "True");
  }
  if (worst) return where + worst->reason() + ": " + worst->message();
  return programmed ? "" : where + "works on it";
}

std::string not_withdrawn(const WaitTarget& target, const IpAddress& address,
                          const v1::Address* record, const std::vector<store::Gateway>& gateways) {
  if (gateways.empty() || !record) return "";
  if (holds(*record, target)) return "the ledger still gives it " + address.text();
  if (!record->holders().empty()) return "";  // Somebody else's now.
  for (const store::Gateway& gateway : gateways) {
    const auto& withdrawn = gateway.presence.withdrawn();
    if (std::ranges::find(withdrawn, address.bytes()) == withdrawn.end())
      return "gateway " + gateway.name + " has not withdrawn " + address.text() + " yet";
  }
  return "";
}

Result<std::vector<WaitTarget>> applied_targets(Context& context,
                                                const std::vector<v1::Object>& objects) {
  const auto config = context.config();
  if (!config) return Error{config.error()};
  const auto& classes = (*config)->control().load_balancer_classes();
  std::vector<WaitTarget> targets;
  for (const v1::Object& object : objects) {
    if (!object.has_service() || object.service().spec().type() != "LoadBalancer") continue;
    const v1::ServiceSpec& spec = object.service().spec();
    const v1::ObjectMeta& metadata = object.service().metadata();
    if (spec.has_load_balancer_class() &&
        std::ranges::find(classes, spec.load_balancer_class()) == classes.end()) {
      warn("service/" + metadata.name() + " is not waited for: loadBalancerClass \"" +
           spec.load_balancer_class() + "\" is none of control.loadBalancerClasses");
      continue;
    }
    targets.push_back({{kManualSource, metadata.namespace_(), metadata.name()},
                       metadata.uid(),
                       metadata.generation(),
                       {}});
  }
  return targets;
}

Result<std::vector<WaitTarget>> deleted_targets(Context& context, store::Redis& redis,
                                                const std::vector<store::StoredObject>& objects) {
  store::Ledger ledger(redis);
  if (Status s = context.run(ledger.refresh()); !s) return Error{s.error()};
  std::vector<WaitTarget> targets;
  for (const store::StoredObject& stored : objects) {
    if (!stored.object.has_service()) continue;
    const v1::ObjectMeta& metadata = stored.object.service().metadata();
    WaitTarget target{{stored.key.source, stored.key.ns, stored.key.name},
                      metadata.uid(),
                      metadata.generation(),
                      {}};
    for (const auto& [address, record] : ledger.records())
      if (holds(record, target)) target.addresses.push_back(address);
    targets.push_back(std::move(target));
  }
  return targets;
}

Status wait_programmed(Context& context, const std::vector<WaitTarget>& targets,
                       std::chrono::milliseconds timeout) {
  if (targets.empty()) return Ok{};
  return wait_until(context, timeout,
                    [&](store::Redis& redis) { return unprogrammed(context, redis, targets); });
}

Status wait_withdrawn(Context& context, const std::vector<WaitTarget>& targets,
                      std::chrono::milliseconds timeout) {
  if (targets.empty()) return Ok{};
  return wait_until(context, timeout,
                    [&](store::Redis& redis) { return not_gone(context, redis, targets); });
}

}  // namespace sluice
