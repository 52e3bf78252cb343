#include "control/cli/selection.h"

#include <algorithm>
#include <set>
#include <utility>

#include "control/cli/resource.h"
#include "control/store/keys.h"

namespace sluice {
namespace {

std::string list_text(const std::vector<std::string>& names) {
  return names.empty() ? "none" : joined(names, ", ");
}

// Names are asked for, not searched.
Result<store::Listing> read_named(Context& context, store::Redis& redis, const ObjectQuery& query) {
  std::vector<std::string> sources{query.source};
  if (query.source.empty()) {
    auto listed = context.run(store::list_sources(redis));
    if (!listed) return Error{listed.error()};
    sources = std::move(*listed);
  }
  std::vector<ObjectKey> keys;
  for (const std::string& source : sources)
    for (const std::string& name : query.names) {
      ObjectKey key{source, query.kind, kind_is_namespaced(query.kind) ? query.ns : "", name};
      if (store::keys::valid(key)) keys.push_back(std::move(key));
    }
  return context.run(store::get_objects(redis, std::move(keys)));
}

}  // namespace

bool ObjectQuery::wants(const store::StoredObject& object) const {
  const ObjectKey& key = object.key;
  if (key.kind != kind || (!source.empty() && key.source != source)) return false;
  if (kind_is_namespaced(kind) && !ns.empty() && key.ns != ns) return false;
  if (!names.empty() && std::ranges::find(names, key.name) == names.end()) return false;
  const v1::ObjectMeta* metadata = metadata_of(object.object);
  return metadata != nullptr && labels.matches(metadata->labels());
}

Result<Selection> Selection::read(Context& context, store::Redis& redis, ObjectQuery query) {
  const bool named = !query.names.empty() && (!query.ns.empty() || !kind_is_namespaced(query.kind));
  auto listing = named ? read_named(context, redis, query)
                       : context.run(store::list_objects(redis, query.source, query.kind));
  if (!listing) return Error{listing.error()};
  for (const store::Problem& problem : listing->problems) warn(problem.key + ": " + problem.text);
  Selection selection(std::move(query));
  for (store::StoredObject& object : listing->objects) selection.put(std::move(object));
  return selection;
}

Objects Selection::chosen() const {
  Objects all;
  for (const auto& [key, object] : objects_) all.push_back(&object);
  // By namespace and name, as kubectl; of one name the sources beside each other.
  std::ranges::stable_sort(all, [](const auto* a, const auto* b) {
    return std::tie(a->key.ns, a->key.name, a->key.source) <
           std::tie(b->key.ns, b->key.name, b->key.source);
  });
  return all;
}

bool Selection::several_sources() const {
  return std::ranges::any_of(objects_, [&](const auto& item) {
    return item.first.source != objects_.begin()->first.source;
  });
}

std::vector<std::string> Selection::missing() const {
  std::vector<std::string> texts;
  for (const std::string& name : query_.names) {
    if (std::ranges::any_of(objects_, [&](const auto& o) { return o.first.name == name; }))
      continue;
    const bool namespaced = kind_is_namespaced(query_.kind) && !query_.ns.empty();
    texts.push_back(qualified_kind(query_.kind) + " \"" + name + "\" not found" +
                    (namespaced ? " in namespace \"" + query_.ns + "\"" : "") +
                    (query_.source.empty() ? "" : " of source \"" + query_.source + "\""));
  }
  return texts;
}

void Selection::put(store::StoredObject object) {
  if (!query_.wants(object)) return remove(object.key);
  const ObjectKey key = object.key;
  objects_.insert_or_assign(key, std::move(object));
}

void Selection::remove(const ObjectKey& key) {
  objects_.erase(key);
}

std::vector<v1::AddressPool*> Selection::pools() {
  std::vector<v1::AddressPool*> pools;
  for (auto& [key, stored] : objects_) {
    if (stored.object.has_address_pool()) pools.push_back(stored.object.mutable_address_pool());
  }
  return pools;
}

void Selection::add_status(const MergedStatuses& statuses) {
  for (auto& [key, stored] : objects_) {
    const auto found = statuses.find({key.source, key.ns, key.name});
    if (found == statuses.end() || !stored.object.has_service()) continue;
    v1::ServiceObjectStatus& status = *stored.object.mutable_service()->mutable_status();
    status.Clear();
    for (const std::string& address : found->second.addresses())
      status.mutable_load_balancer()->add_ingress()->set_ip(address);
    *status.mutable_conditions() = found->second.conditions();
  }
}

Result<MergedStatuses> merged_statuses(Context& context, store::Redis& redis,
                                       const Objects& services) {
  std::vector<store::StatusKey> keys;
  for (const auto* object : services)
    keys.push_back({object->key.source, object->key.ns, object->key.name});
  return context.run(
      store::read_statuses(redis, std::string(store::keys::kMergedStatus), std::move(keys)));
}

Status check_source(Context& context, store::Redis& redis, const std::string& source) {
  if (source.empty() || source == kManualSource) return Ok{};
  const auto sources = context.run(store::list_sources(redis));
  if (!sources) return Error{sources.error()};
  if (std::ranges::find(*sources, source) != sources->end()) return Ok{};
  return Error{"Redis has no source \"" + source + "\"; there are: " + list_text(*sources)};
}

Status check_writable(const std::string& source) {
  if (source.empty() || source == kManualSource) return Ok{};
  return Error{"source \"" + source +
               "\" is a cluster's and follows it: change the object there, "
               "with kubectl; sluice writes source " +
               kManualSource + " alone"};
}

}  // namespace sluice
