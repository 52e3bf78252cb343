// `sluice delete`.
#include <iostream>
#include <set>
#include <utility>

#include "control/cli/apply.h"
#include "control/cli/resource.h"
#include "control/cli/wait.h"
#include "control/store/keys.h"

namespace sluice {
namespace {

using store::Change;

struct Found {
  std::vector<store::StoredObject> objects;
  std::vector<ObjectKey> missing;
};

// What the words and options say together; empty: nothing wrong.
std::string misuse(const DeleteOptions& options, const std::vector<ResourceNames>& wanted) {
  if (!options.manifests.files.empty()) {
    return options.words.empty() && options.selector.empty() && !options.all
               ? ""
               : "-f goes alone: not with KIND, -l or --all";
  }
  bool named = false;
  for (const ResourceNames& one : wanted) {
    if (resource_kind(one.resource) == v1::KIND_UNSPECIFIED)
      return std::string("cannot delete ") + resource_name(one.resource) +
             ": give services, endpoints, endpointslices, pods, nodes, namespaces or pools";
    named = named || !one.names.empty();
  }
  if (named && (!options.selector.empty() || options.all))
    return "a name goes with neither -l nor --all";
  if (named && options.all_namespaces) return "give -n NAMESPACE with a name, not -A";
  if (!named && options.selector.empty() && !options.all)
    return "give names, a selector (-l), or --all";
  if (options.all && !options.selector.empty()) return "--all and -l do not go together";
  return "";
}

Result<Found> find_keys(Context& context, store::Redis& redis, std::vector<ObjectKey> keys) {
  Found found;
  std::set<ObjectKey> absent(keys.begin(), keys.end());
  auto listing = context.run(store::get_objects(redis, keys));
  if (!listing) return Error{listing.error()};
  for (store::StoredObject& stored : listing->objects) {
    absent.erase(stored.key);
    found.objects.push_back(std::move(stored));
  }
  // What cannot be read can be deleted all the same.
  std::set<std::string> unreadable;
  for (const store::Problem& problem : listing->problems) {
    warn(problem.key + ": " + problem.text);
    unreadable.insert(problem.key);
  }
  for (const ObjectKey& key : absent) {
    if (unreadable.contains(store::keys::object(key)))
      found.objects.push_back({key, {}});
    else
      found.missing.push_back(key);
  }
  return found;
}

Result<Found> find_manifests(Context& context, store::Redis& redis, const DeleteOptions& options) {
  // Fields nobody knows are no reason to leave an object.
  const auto objects = read_objects(options.manifests, FieldValidation::ignore, {});
  if (!objects) return Error{objects.error()};
  std::vector<ObjectKey> keys;
  for (const v1::Object& object : *objects) keys.push_back(key_of(kManualSource, object));
  return find_keys(context, redis, std::move(keys));
}

Result<Found> find_words(Context& context, store::Redis& redis,
                         const std::vector<ResourceNames>& wanted, const LabelSelector& labels,
                         const DeleteOptions& options) {
  const std::string ns = options.manifests.ns.empty() ? "default" : options.manifests.ns;
  Found found;
  std::vector<ObjectKey> keys;
  for (const ResourceNames& one : wanted) {
    const v1::Kind kind = resource_kind(one.resource);
    for (const std::string& name : one.names)
      keys.push_back({kManualSource, kind, kind_is_namespaced(kind) ? ns : "", name});
    if (!one.names.empty()) continue;
    ObjectQuery query{kind, kManualSource, options.all_namespaces ? "" : ns, {}, labels};
    const auto selection = Selection::read(context, redis, std::move(query));
    if (!selection) return Error{selection.error()};
    for (const auto* object : selection->chosen()) found.objects.push_back(*object);
  }
  if (keys.empty()) return found;
  return find_keys(context, redis, std::move(keys));
}

// Where else it may be: the object of a cluster is deleted in that cluster.
std::string elsewhere(Context& context, store::Redis& redis, const ObjectKey& key) {
  const auto sources = context.run(store::list_sources(redis));
  if (!sources) return "";
  std::vector<ObjectKey> keys;
  for (const std::string& source : *sources)
    if (source != kManualSource) keys.push_back({source, key.kind, key.ns, key.name});
  const auto listing = context.run(store::get_objects(redis, std::move(keys)));
  if (!listing || listing->objects.empty()) return "";
  return "; the one of source \"" + listing->objects.front().key.source +
         "\" is deleted in that cluster, with kubectl";
}

int report_missing(Context& context, store::Redis& redis, const Found& found) {
  int code = kExitOk;
  for (const ObjectKey& key : found.missing)
    code = fail(qualified_kind(key.kind) + " \"" + key.name + "\" not found" +
                (key.ns.empty() ? "" : " in namespace \"" + key.ns + "\"") +
                " among the objects given by `sluice apply`" + elsewhere(context, redis, key));
  return code;
}

void print(const std::vector<store::StoredObject>& objects, const DeleteOptions& options) {
  for (const store::StoredObject& object : objects) {
    if (options.output == "name")
      std::cout << qualified_name(object.key.kind, object.key.name) << '\n';
    else
      std::cout << qualified_kind(object.key.kind) << " \"" << object.key.name << "\" deleted"
                << dry_run_suffix(options.dry_run) << '\n';
  }
  if (objects.empty() && !options.ignore_not_found) std::cerr << "No resources found\n";
}

int usage(const std::string& text) {
  fail(text);
  return kExitUsage;
}

}  // namespace

int delete_command(Context& context, const DeleteOptions& options) {
  if (Status s = check_writable(options.source); !s) return fail(s.error());
  const bool files = !options.manifests.files.empty();
  const auto wanted = files ? std::vector<ResourceNames>{} : parse_resources(options.words);
  const std::string wrong = wanted ? misuse(options, *wanted) : wanted.error();
  if (!wrong.empty()) return usage(wrong);
  const auto labels = LabelSelector::parse(options.selector);
  if (!labels) return usage(labels.error());
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  const auto found = files ? find_manifests(context, **redis, options)
                           : find_words(context, **redis, *wanted, *labels, options);
  if (!found) return fail(found.error());
  std::vector<WaitTarget> targets;
  if (options.wait) {
    auto held = deleted_targets(context, **redis, found->objects);
    if (!held) return fail(held.error());
    targets = std::move(*held);
  }
  if (options.dry_run == "none") {
    std::vector<ObjectKey> keys;
    for (const store::StoredObject& object : found->objects) keys.push_back(object.key);
    store::Publisher publisher(**redis, kManualSource, std::nullopt, writer_name());
    const auto changes = context.run(publisher.remove(std::move(keys)));
    if (!changes) return fail(changes.error());
  }
  if (!found->objects.empty() || found->missing.empty()) print(found->objects, options);
  std::cout.flush();
  const int code = options.ignore_not_found ? kExitOk : report_missing(context, **redis, *found);
  if (options.dry_run != "none" || !options.wait) return code;
  if (Status s = wait_withdrawn(context, targets, options.timeout); !s) return fail(s.error());
  return code;
}

}  // namespace sluice
