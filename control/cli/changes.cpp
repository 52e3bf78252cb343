#include "control/cli/changes.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <set>
#include <utility>

#include "control/cli/creation.h"
#include "control/cli/manifest_files.h"
#include "control/manifest/show.h"

namespace sluice {
namespace {

using store::Change;

// Who wrote it, and which fields were passed over then, is no difference.
bool same_object(v1::Object a, v1::Object b) {
  a.clear_header();
  b.clear_header();
  return google::protobuf::util::MessageDifferencer::Equals(a, b);
}

Result<std::map<ObjectKey, v1::Object>> live_objects(Context& context, store::Redis& redis,
                                                     const std::vector<PlannedChange>& changes) {
  std::vector<ObjectKey> keys;
  for (const PlannedChange& change : changes) keys.push_back(change.key);
  auto listing = context.run(store::get_objects(redis, std::move(keys)));
  if (!listing) return Error{listing.error()};
  for (const store::Problem& problem : listing->problems)
    warn(problem.key + ": " + problem.text + "; it is written anew");
  std::map<ObjectKey, v1::Object> live;
  for (store::StoredObject& stored : listing->objects)
    live.emplace(stored.key, std::move(stored.object));
  return live;
}

// Before anything is written, not at the first that does not fit.
Status check_sizes(const std::vector<PlannedChange>& changes) {
  std::string errors;
  for (const PlannedChange& change : changes) {
    const std::size_t bytes = change.object.ByteSizeLong();
    if (bytes <= store::kMaxObjectBytes) continue;
    errors += (errors.empty() ? "" : "\n") + change.key.text() + ": has " + std::to_string(bytes) +
              " bytes, at most " + std::to_string(store::kMaxObjectBytes) + " can be stored";
  }
  if (!errors.empty()) return Error{errors};
  return Ok{};
}

}  // namespace

Result<std::vector<PlannedChange>> plan_changes(Context& context, store::Redis* redis,
                                                std::vector<v1::Object> objects) {
  std::vector<PlannedChange> changes;
  for (v1::Object& object : objects) {
    PlannedChange change;
    change.key = key_of(kManualSource, object);
    change.object = std::move(object);
    changes.push_back(std::move(change));
  }
  std::map<ObjectKey, v1::Object> live;
  if (redis) {
    auto found = live_objects(context, *redis, changes);
    if (!found) return Error{found.error()};
    live = std::move(*found);
  }
  const auto now = std::chrono::system_clock::now();
  for (PlannedChange& change : changes) {
    const auto at = live.find(change.key);
    if (at == live.end()) {
      set_restored(mutable_metadata_of(&change.object), now);
      continue;
    }
    change.live = std::move(at->second);
    set_updated(&change.object, *change.live);
    change.change =
        same_object(change.object, *change.live) ? Change::kUnchanged : Change::kConfigured;
  }
  if (Status s = check_sizes(changes); !s) return Error{s.error()};
  return changes;
}

Result<std::vector<v1::Kind>> prune_kinds(const PruneOptions& options) {
  // What a directory of manifests holds. Nodes, Namespaces and pools matter to more than that.
  if (options.allowlist.empty())
    return std::vector<v1::Kind>{v1::KIND_SERVICE, v1::KIND_ENDPOINTS, v1::KIND_ENDPOINT_SLICE,
                                 v1::KIND_POD};
  std::vector<v1::Kind> kinds;
  for (const std::string& text : options.allowlist) {
    const auto slash = text.rfind('/');
    const auto kind = kind_from_name(slash == std::string::npos ? text : text.substr(slash + 1));
    std::string version = slash == std::string::npos ? "" : text.substr(0, slash);
    if (version.starts_with("core/")) version.erase(0, 5);
    if (!kind || version != api_version(*kind))
      return Error{"--prune-allowlist \"" + text +
                   "\": give GROUP/VERSION/KIND, such as core/v1/Service, "
                   "discovery.k8s.io/v1/EndpointSlice or sluice.dev/v1/AddressPool"};
    kinds.push_back(*kind);
  }
  return kinds;
}

Result<std::vector<store::StoredObject>> plan_prune(Context& context, store::Redis& redis,
                                                    const std::vector<PlannedChange>& applied,
                                                    const std::vector<v1::Kind>& kinds,
                                                    const LabelSelector& labels) {
  std::set<ObjectKey> keep;
  std::set<std::string> namespaces;
  for (const PlannedChange& change : applied) {
    keep.insert(change.key);
    if (!change.key.ns.empty()) namespaces.insert(change.key.ns);
  }
  std::vector<store::StoredObject> pruned;
  for (const v1::Kind kind : kinds) {
    ObjectQuery query;
    query.kind = kind;
    query.source = kManualSource;
    query.labels = labels;
    const auto selection = Selection::read(context, redis, std::move(query));
    if (!selection) return Error{selection.error()};
    for (const auto* object : selection->chosen())
      if (!keep.contains(object->key) &&
          (!kind_is_namespaced(kind) || namespaces.contains(object->key.ns)))
        pruned.push_back(*object);
  }
  return pruned;
}

Result<std::vector<v1::Object>> read_objects(const ManifestSources& sources,
                                             FieldValidation validation,
                                             const LabelSelector& labels) {
  ManifestOptions options;
  options.writer = writer_name();
  options.validation = validation;
  auto manifest = read_manifests(sources, options);
  if (!manifest) return Error{manifest.error()};
  for (const std::string& warning : manifest->warnings) warn(warning);
  std::vector<v1::Object> objects;
  for (ManifestObject& o : manifest->objects) {
    for (const std::string& warning : o.warnings)
      warn(o.file + ":" + std::to_string(o.line) + ": " + warning);
    if (labels.matches(metadata_of(o.object)->labels())) objects.push_back(std::move(o.object));
  }
  return objects;
}

const char* change_word(Change change) {
  switch (change) {
    case Change::kCreated:
      return "created";
    case Change::kConfigured:
      return "configured";
    case Change::kUnchanged:
      return "unchanged";
    case Change::kDeleted:
      return "deleted";
    case Change::kAbsent:
      return "not found";
  }
  return "?";
}

}  // namespace sluice
