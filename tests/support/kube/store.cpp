// Store: objects, versions, history. The rules of writes are in store_write.cpp.
#include "tests/support/kube/store.h"

#include <algorithm>
#include <iterator>

#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/store_text.h"

namespace sluice::test::kube {
namespace {

constexpr std::uint64_t kFirstVersion = 200;  // As a fresh cluster's, about.
constexpr std::size_t kMaxWrites = 100'000;

// Members in the order the real server writes them.
json::object in_order(const Resource& resource, json::object object) {
  json::object result;
  result["kind"] = resource.kind;
  result["apiVersion"] = api_version(resource);
  json::object metadata = std::move(child(object, "metadata"));
  json::object ordered;
  for (const char* name :
       {"name", "generateName", "namespace", "uid", "resourceVersion", "generation",
        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "labels",
        "annotations", "ownerReferences", "finalizers", "managedFields"}) {
    json::value* value = metadata.if_contains(name);
    if (value == nullptr || value->is_null()) continue;
    if (value->is_object() && value->get_object().empty()) continue;
    if (value->is_array() && value->get_array().empty()) continue;
    ordered[name] = std::move(*value);
  }
  result["metadata"] = std::move(ordered);
  for (auto& [name, value] : object) {
    if (name != "kind" && name != "apiVersion" && name != "metadata" && name != "status") {
      result[name] = std::move(value);
    }
  }
  if (json::value* status = object.if_contains("status")) result["status"] = std::move(*status);
  return result;
}

}  // namespace

struct Store::Saved {
  std::map<const Resource*, Objects> objects;
  std::uint64_t version = 0;
};

Store::Store(std::size_t history)
    : history_limit_(history), version_(kFirstVersion), oldest_(kFirstVersion) {
  for (const Resource& entry : resources()) objects_[&entry];
  bootstrap();
}

Store::~Store() = default;

void Store::bootstrap() {
  for (const char* name : {"default", "kube-system", "kube-public", "kube-node-lease"}) {
    create(R"({"kind":"Namespace","apiVersion":"v1","metadata":{"name":")" + std::string(name) +
           R"("}})");
  }
  create(R"({"kind":"Service","apiVersion":"v1","metadata":{"name":"kubernetes",
    "namespace":"default","labels":{"component":"apiserver","provider":"kubernetes"}},
    "spec":{"clusterIP":"10.96.0.1","ports":[{"name":"https","port":443,"targetPort":6443}]}})");
  create(R"({"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":
    {"name":"kubernetes","namespace":"default","labels":{"kubernetes.io/service-name":
    "kubernetes"}},"addressType":"IPv4","endpoints":[{"addresses":["192.0.2.1"],
    "conditions":{"ready":true}}],"ports":[{"name":"https","port":6443,"protocol":"TCP"}]})");
  writes_.clear();
}

StoredPtr Store::find(const Place& place) const {
  const Objects& all = objects(*place.resource);
  const auto found = all.find(place.ns.empty() ? place.name : place.ns + "/" + place.name);
  return found == all.end() ? nullptr : found->second;
}

const Objects& Store::objects(const Resource& resource) const {
  return objects_.at(&resource);
}

bool Store::objects_at(const Resource& resource, std::uint64_t version, Objects& out) const {
  if (version < oldest_ || version > version_) return false;
  out = objects(resource);
  for (auto change = history_.rbegin(); change != history_.rend() && change->version > version;
       ++change) {
    if (change->resource != &resource) continue;
    const std::string key = key_of(*change->object);
    if (change->before == nullptr) {
      out.erase(key);
    } else {
      out[key] = change->before;
    }
  }
  return true;
}

bool Store::changes_after(std::uint64_t version, std::size_t limit,
                          std::vector<Change>& out) const {
  if (version < oldest_) return false;
  if (version >= version_ || history_.empty()) return true;
  // Every version is one change, so that the place follows from the version.
  std::size_t index = version < history_.front().version
                          ? 0
                          : static_cast<std::size_t>(version - history_.front().version + 1);
  for (; index < history_.size() && out.size() < limit; ++index) out.push_back(history_[index]);
  return true;
}

void Store::compact() {
  history_.clear();
  oldest_ = version_;
}

void Store::save(const std::string& name) {
  saved_[name] = std::make_shared<Saved>(Saved{objects_, version_});
}

bool Store::restore(const std::string& name) {
  const auto found = saved_.find(name);
  if (found == saved_.end()) return false;
  objects_ = found->second->objects;
  version_ = found->second->version;
  compact();
  if (changed_) changed_();
  return true;
}

StoredPtr Store::commit(const Resource& resource, ChangeType type, json::object object,
                        const StoredPtr& before) {
  const std::uint64_t version = ++version_;
  json::object& metadata = child(object, "metadata");
  metadata["resourceVersion"] = std::to_string(version);
  auto stored = std::make_shared<Stored>();
  stored->ns = text_at(metadata, {"namespace"});
  stored->name = text_at(metadata, {"name"});
  stored->uid = text_at(metadata, {"uid"});
  stored->version = version;
  stored->deleting = metadata.contains("deletionTimestamp");
  if (const json::value* labels = metadata.if_contains("labels");
      labels != nullptr && labels->is_object()) {
    for (const auto& [name, value] : labels->get_object()) {
      if (value.is_string()) stored->labels.emplace_back(name, value.get_string());
    }
  }
  stored->json = json::serialize(in_order(resource, std::move(object)));
  Objects& all = objects_[&resource];
  if (type == ChangeType::kDeleted) {
    all.erase(key_of(*stored));
  } else {
    all[key_of(*stored)] = stored;
  }
  history_.push_back({version, &resource, type, stored, before});
  if (history_.size() > history_limit_) {
    oldest_ = history_.front().version;
    history_.pop_front();
  }
  if (changed_) changed_();
  return stored;
}

StoredPtr Store::erase(const Resource& resource, const StoredPtr& before, json::object object) {
  StoredPtr last = commit(resource, ChangeType::kDeleted, std::move(object), before);
  if (resource.kind == "Service") remove_dependents(*last);
  if (!last->ns.empty()) {
    const StoredPtr ns = find({&kube::resource("namespaces"), "", last->ns});
    if (ns != nullptr && ns->deleting) empty_namespace(last->ns);
  }
  return last;
}

// As the garbage collector: what names the object in its ownerReferences goes after it.
void Store::remove_dependents(const Stored& owner) {
  const Resource& slices = kube::resource("endpointslices");
  std::vector<Place> places;
  for (auto slice = objects(slices).lower_bound(owner.ns + "/"); slice != objects(slices).end();
       ++slice) {
    if (slice->second->ns != owner.ns) break;
    const bool names_it = std::any_of(
        slice->second->labels.begin(), slice->second->labels.end(), [&](const auto& label) {
          return label.first == "kubernetes.io/service-name" && label.second == owner.name;
        });
    if (names_it && slice->second->json.find(owner.uid) != std::string::npos) {
      places.push_back({&slices, slice->second->ns, slice->second->name});
    }
  }
  for (const Place& place : places) removed(place, "");
}

// Deletes what is left in a Namespace that goes, and the Namespace once it is empty.
void Store::empty_namespace(const std::string& ns) {
  bool left = false;
  std::vector<Place> places;
  for (const auto& [type, all] : objects_) {
    for (auto object = all.lower_bound(ns + "/"); object != all.end(); ++object) {
      if (object->second->ns != ns) break;
      left = true;
      if (!object->second->deleting) places.push_back({type, ns, object->second->name});
    }
  }
  for (const Place& place : places) {
    if (find(place) != nullptr) removed(place, "");
  }
  if (left) return;  // The last one's end came here and took the Namespace.
  const Resource& namespaces = kube::resource("namespaces");
  if (const StoredPtr object = find({&namespaces, "", ns})) {
    erase(namespaces, object, json::parse(object->json).get_object());
  }
}

bool Store::node_port_in_use(int port, const Place& but) const {
  const std::string text = "\"nodePort\":" + std::to_string(port) + "}";
  const Objects& services = objects(kube::resource("services"));
  return std::any_of(services.begin(), services.end(), [&](const auto& entry) {
    return (entry.second->name != but.name || entry.second->ns != but.ns) &&
           entry.second->json.find(text) != std::string::npos;
  });
}

void Store::put_raw(const Resource& resource, json::object object) {
  json::object& metadata = child(object, "metadata");
  const Place place{&resource, text_at(metadata, {"namespace"}), text_at(metadata, {"name"})};
  const StoredPtr before = find(place);
  if (!metadata.contains("uid")) {
    metadata["uid"] = before != nullptr ? before->uid : random_uid();
  }
  if (!metadata.contains("creationTimestamp")) metadata["creationTimestamp"] = now_text();
  commit(resource, before == nullptr ? ChangeType::kAdded : ChangeType::kModified,
         std::move(object), before);
}

Answer Store::log(const char* verb, const Place& place, const WriteOptions& options,
                  Answer answer) {
  writes_.push_back({verb, options.manager, place, options.status, answer.status, version_});
  if (writes_.size() > kMaxWrites) writes_.pop_front();
  return answer;
}

}  // namespace sluice::test::kube
