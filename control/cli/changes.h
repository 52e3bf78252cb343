// What an apply or a diff would do: the objects as they would be written, and what is there now.
// Purpose: everything is known and checked before anything is written. Ownership: by value. Thread:
// the context's. Errors: Redis' own; objects too large to store, all of them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/cli/context.h"
#include "control/cli/selection.h"
#include "control/manifest/manifest.h"
#include "control/store/publisher.h"

namespace sluice {

struct PlannedChange {
  ObjectKey key;
  v1::Object object;               // With the metadata the user does not write.
  std::optional<v1::Object> live;  // What Redis has.
  store::Change change = store::Change::kCreated;
};

// `redis` null: nothing is there to compare with.
Result<std::vector<PlannedChange>> plan_changes(Context& context, store::Redis* redis,
                                                std::vector<v1::Object> objects);

struct PruneOptions {
  bool prune = false;
  bool all = false;
  std::vector<std::string> allowlist;  // "core/v1/Service"; empty: the namespaced kinds.
};
// Kinds that may be pruned.
Result<std::vector<v1::Kind>> prune_kinds(const PruneOptions& options);
// Objects of `manual` that are in the namespaces of `applied`, match, and are none of them.
Result<std::vector<store::StoredObject>> plan_prune(Context& context, store::Redis& redis,
                                                    const std::vector<PlannedChange>& applied,
                                                    const std::vector<v1::Kind>& kinds,
                                                    const LabelSelector& labels);

// Reads manifests, prints their warnings, and keeps those the selector chooses.
struct ManifestSources;
Result<std::vector<v1::Object>> read_objects(const ManifestSources& sources,
                                             FieldValidation validation,
                                             const LabelSelector& labels);

// "created", "configured", ...
const char* change_word(store::Change change);

}  // namespace sluice
