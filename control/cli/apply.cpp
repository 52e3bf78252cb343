#include "control/cli/apply.h"

#include <iostream>
#include <utility>

#include "control/cli/pool_commands.h"
#include "control/cli/resource.h"
#include "control/cli/wait.h"
#include "control/manifest/show.h"

namespace sluice {
namespace {

using store::Change;

struct Plan {
  std::vector<PlannedChange> changes;
  std::vector<store::StoredObject> pruned;
};

// Redis, but for a dry run by the client, which does without where it has to.
Result<store::Redis*> redis_for(Context& context, const ApplyOptions& options) {
  auto redis = context.redis();
  if (redis || options.dry_run != "client" || options.prune.prune) return redis;
  warn(redis.error() + "\nThe manifests are good; whether they change anything is not known.");
  return static_cast<store::Redis*>(nullptr);
}

Result<Plan> make_plan(Context& context, store::Redis* redis, std::vector<v1::Object> objects,
                       const LabelSelector& labels, const ApplyOptions& options) {
  Plan plan;
  auto changes = plan_changes(context, redis, std::move(objects));
  if (!changes) return Error{changes.error()};
  plan.changes = std::move(*changes);
  if (!options.prune.prune) return plan;
  const auto kinds = prune_kinds(options.prune);
  if (!kinds) return Error{kinds.error()};
  auto pruned = plan_prune(context, *redis, plan.changes, *kinds, labels);
  if (!pruned) return Error{pruned.error()};
  plan.pruned = std::move(*pruned);
  return plan;
}

// The changes as they came to be: another writer may have been faster.
Status write(Context& context, store::Redis& redis, Plan* plan) {
  store::Publisher publisher(redis, kManualSource, std::nullopt, writer_name());
  std::vector<v1::Object> objects;
  std::vector<PlannedChange*> written;
  for (PlannedChange& change : plan->changes) {
    if (change.change == Change::kUnchanged) continue;
    objects.push_back(change.object);
    written.push_back(&change);
  }
  const auto changes = context.run(publisher.upsert(std::move(objects)));
  if (!changes) return Error{changes.error()};
  for (std::size_t i = 0; i < written.size(); ++i) written[i]->change = (*changes)[i];
  std::vector<ObjectKey> keys;
  for (const store::StoredObject& object : plan->pruned) keys.push_back(object.key);
  const auto removed = context.run(publisher.remove(std::move(keys)));
  if (!removed) return Error{removed.error()};
  return Ok{};
}

void print_objects(const Plan& plan, const std::string& output) {
  std::vector<const v1::Object*> list;
  for (const PlannedChange& change : plan.changes) list.push_back(&change.object);
  const bool json = output == "json";
  if (list.size() == 1)
    std::cout << (json ? object_json(*list[0]) : object_yaml(*list[0]));
  else
    std::cout << (json ? list_json(list) : list_yaml(list));
}

void print(const Plan& plan, bool compared, const ApplyOptions& options) {
  if (options.output == "json" || options.output == "yaml")
    return print_objects(plan, options.output);
  const bool names = options.output == "name";
  const std::string suffix = dry_run_suffix(options.dry_run);
  for (const PlannedChange& change : plan.changes) {
    std::cout << qualified_name(change.key.kind, change.key.name);
    if (!names) std::cout << ' ' << (compared ? change_word(change.change) : "valid") << suffix;
    std::cout << '\n';
  }
  for (const store::StoredObject& object : plan.pruned) {
    std::cout << qualified_name(object.key.kind, object.key.name);
    if (!names) std::cout << " pruned" << suffix;
    std::cout << '\n';
  }
}

int wait_for(Context& context, const Plan& plan, const std::vector<WaitTarget>& gone,
             const ApplyOptions& options) {
  std::vector<v1::Object> objects;
  for (const PlannedChange& change : plan.changes) objects.push_back(change.object);
  const auto targets = applied_targets(context, objects);
  if (!targets) return fail(targets.error());
  std::cout.flush();
  int code = kExitOk;
  if (Status s = wait_programmed(context, *targets, options.timeout); !s) code = fail(s.error());
  if (Status s = wait_withdrawn(context, gone, options.timeout); !s) code = fail(s.error());
  if (code == kExitOk && options.output.empty())
    for (const WaitTarget& target : *targets)
      std::cout << qualified_name(v1::KIND_SERVICE, target.service.name) << " programmed\n";
  return code;
}

int usage(const std::string& text) {
  fail(text);
  return kExitUsage;
}

}  // namespace

std::string dry_run_suffix(const std::string& dry_run) {
  if (dry_run == "client") return " (dry run)";
  return dry_run == "server" ? " (server dry run)" : "";
}

Status check_prune(const PruneOptions& prune, const std::string& selector) {
  if (!prune.prune) {
    if (prune.all || !prune.allowlist.empty())
      return Error{"--all and --prune-allowlist go with --prune"};
    return Ok{};
  }
  if (prune.all == !selector.empty())
    return Error{prune.all ? "--prune takes --all or a selector (-l), not both"
                           : "--prune needs a selector (-l) that says what belongs together, or "
                             "--all for everything in the namespaces of these manifests"};
  const auto kinds = prune_kinds(prune);
  if (!kinds) return Error{kinds.error()};
  return Ok{};
}

int apply_command(Context& context, const ApplyOptions& options) {
  if (Status s = check_writable(options.source); !s) return fail(s.error());
  if (Status s = check_prune(options.prune, options.selector); !s) return usage(s.error());
  const auto labels = LabelSelector::parse(options.selector);
  if (!labels) return usage(labels.error());
  auto objects = read_objects(options.manifests, options.validation, *labels);
  if (!objects) return fail(objects.error() + "\nNothing was changed.");
  if (objects->empty()) return fail("no objects given that Sluice knows and the selector chooses");
  const auto redis = redis_for(context, options);
  if (!redis) return fail(redis.error());
  if (*redis != nullptr) {
    if (Status s = warn_of_pools(context, **redis, *objects); !s) return fail(s.error());
  }
  auto plan = make_plan(context, *redis, std::move(*objects), *labels, options);
  if (!plan) return fail(plan.error() + "\nNothing was changed.");
  if (options.dry_run != "none") {
    print(*plan, *redis != nullptr, options);
    return kExitOk;
  }
  std::vector<WaitTarget> gone;
  if (options.wait) {
    auto targets = deleted_targets(context, **redis, plan->pruned);
    if (!targets) return fail(targets.error());
    gone = std::move(*targets);
  }
  if (Status s = write(context, **redis, &*plan); !s) return fail(s.error());
  print(*plan, true, options);
  return options.wait ? wait_for(context, *plan, gone, options) : kExitOk;
}

}  // namespace sluice
