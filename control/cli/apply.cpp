#include "control/cli/apply.h"

#include <chrono>
#include <iostream>
#include <map>
#include <utility>

#include "control/cli/creation.h"
#include "control/cli/manifest_files.h"
#include "control/cli/resource.h"
#include "control/cli/table.h"
#include "control/store/publisher.h"

namespace sluice {
namespace {

using store::Change;

// Metadata the user does not write: kept where the object exists, made where it does not.
Status give_metadata(Context& context, store::Redis& redis, std::vector<v1::Object>* objects) {
  std::vector<ObjectKey> keys;
  for (const v1::Object& object : *objects) keys.push_back(key_of(kManualSource, object));
  auto existing = context.run(store::get_objects(redis, keys));
  if (!existing) return Error{existing.error()};
  for (const store::Problem& problem : existing->problems)
    warn(problem.key + ": " + problem.text + "; it is written anew");
  std::map<ObjectKey, const v1::Object*> old;
  for (const auto& stored : existing->objects) old[stored.key] = &stored.object;
  const auto now = std::chrono::system_clock::now();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    v1::Object& object = (*objects)[i];
    if (auto at = old.find(keys[i]); at != old.end()) {
      set_updated(&object, *at->second);
    } else {
      set_created(mutable_metadata_of(&object), now);
    }
  }
  return Ok{};
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

Result<std::vector<ObjectKey>> keys_to_delete(const DeleteOptions& options) {
  std::vector<ObjectKey> keys;
  if (!options.files.empty()) {
    auto manifest = read_manifests(options.files, {options.ns, writer_name()});
    if (!manifest) return Error{manifest.error()};
    for (const std::string& warning : manifest->warnings) warn(warning);
    for (const ManifestObject& o : manifest->objects)
      keys.push_back(key_of(kManualSource, o.object));
    return keys;
  }
  const auto resource = resource_from_name(options.kind);
  const v1::Kind kind = resource ? resource_kind(*resource) : v1::KIND_UNSPECIFIED;
  if (kind == v1::KIND_UNSPECIFIED)
    return Error{"cannot delete \"" + options.kind +
                 "\": give services, endpoints, endpointslices, pods, nodes, namespaces or pools"};
  for (const std::string& name : options.names)
    keys.push_back({kManualSource, kind, kind_is_namespaced(kind) ? options.ns : "", name});
  return keys;
}

}  // namespace

int apply_command(Context& context, const ApplyOptions& options) {
  auto manifest = read_manifests(options.files, {options.ns, writer_name()});
  if (!manifest) return fail(manifest.error() + "\nNothing was changed.");
  for (const std::string& warning : manifest->warnings) warn(warning);
  std::vector<v1::Object> objects;
  for (ManifestObject& o : manifest->objects) {
    for (const std::string& warning : o.warnings)
      warn(o.file + ":" + std::to_string(o.line) + ": " + warning);
    objects.push_back(std::move(o.object));
  }
  if (objects.empty()) return fail("no objects given that Sluice knows");
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  if (Status s = give_metadata(context, **redis, &objects); !s) return fail(s.error());
  std::vector<ObjectKey> keys;
  for (const v1::Object& object : objects) keys.push_back(key_of(kManualSource, object));
  store::Publisher publisher(**redis, kManualSource, std::nullopt, writer_name());
  const auto changes = context.run(publisher.upsert(std::move(objects)));
  if (!changes) return fail(changes.error());
  for (std::size_t i = 0; i < changes->size(); ++i)
    std::cout << qualified_kind(keys[i].kind) << '/' << keys[i].name << ' '
              << change_word((*changes)[i]) << '\n';
  return kExitOk;
}

int delete_command(Context& context, const DeleteOptions& options) {
  const auto keys = keys_to_delete(options);
  if (!keys) return fail(keys.error());
  auto redis = context.redis();
  if (!redis) return fail(redis.error());
  store::Publisher publisher(**redis, kManualSource, std::nullopt, writer_name());
  const auto changes = context.run(publisher.remove(*keys));
  if (!changes) return fail(changes.error());
  int code = kExitOk;
  for (std::size_t i = 0; i < changes->size(); ++i) {
    const ObjectKey& key = (*keys)[i];
    if ((*changes)[i] != Change::kAbsent) {
      std::cout << qualified_kind(key.kind) << " \"" << key.name << "\" deleted\n";
    } else if (!options.ignore_not_found) {
      code = fail(qualified_kind(key.kind) + " \"" + key.name + "\" not found" +
                  (key.ns.empty() ? "" : " in namespace \"" + key.ns + "\"") +
                  " among the objects given by `sluice apply`");
    }
  }
  return code;
}

}  // namespace sluice
