// Store: what a write goes through.
#include <algorithm>

#include "tests/support/kube/fields.h"
#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/rules.h"
#include "tests/support/kube/store.h"
#include "tests/support/kube/store_text.h"

namespace sluice::test::kube {

struct Store::Draft {
  StoredPtr before;
  json::object old;      // before's content.
  json::object wanted;   // What the caller asks for, whole.
  bool applied = false;  // wanted's managedFields are right already.
  bool put = false;      // From PUT: may not leave resourceVersion out everywhere.
};

namespace {

constexpr int kFirstNodePort = 30000, kNodePorts = 2768;

Place placed(const json::object& object) {
  return {find_kind(text_at(object, {"apiVersion"}), text_at(object, {"kind"})),
          text_at(object, {"metadata", "namespace"}), text_at(object, {"metadata", "name"})};
}

FieldWriter writer_of(const Resource& resource, const WriteOptions& options) {
  return {options.manager, options.status ? "status" : "", api_version(resource), now_text()};
}

// What a caller cannot set.
void keep_metadata(const json::object& old, json::object& object, bool managed_fields) {
  json::object& metadata = child(object, "metadata");
  const json::object& before = old.at("metadata").as_object();
  for (const char* name :
       {"name", "generateName", "namespace", "uid", "creationTimestamp", "generation",
        "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion", "managedFields"}) {
    if (!managed_fields && std::string_view(name) == "managedFields") continue;
    if (const json::value* value = before.if_contains(name)) {
      metadata[name] = *value;
    } else {
      drop(metadata, name);
    }
  }
  drop(metadata, "selfLink");
  for (const char* name : {"labels", "annotations", "finalizers", "ownerReferences"}) {
    const json::value* value = metadata.if_contains(name);
    if (value == nullptr) continue;
    const bool empty = value->is_null() || (value->is_object() && value->get_object().empty()) ||
                       (value->is_array() && value->get_array().empty());
    if (empty) drop(metadata, name);
  }
}

// The other part stays as it was: status for a write of the object, the rest for one of the status.
void separate_status(const Resource& resource, const json::object& old, bool status,
                     json::object& object) {
  if (!resource.has_status) return;
  if (!status) {
    if (const json::value* value = old.if_contains("status")) {
      object["status"] = *value;
    } else {
      drop(object, "status");
    }
    return;
  }
  json::object result = old;
  if (json::value* value = object.if_contains("status")) result["status"] = *value;
  result["metadata"] = object["metadata"];
  object = std::move(result);
}

std::vector<Cause> finalizers_added(const json::object& old, const json::object& object) {
  const json::value* now = at(object, {"metadata", "finalizers"});
  if (at(old, {"metadata", "deletionTimestamp"}) == nullptr || now == nullptr) return {};
  const json::value* before = at(old, {"metadata", "finalizers"});
  const json::array none;
  const json::array& known = before != nullptr ? before->as_array() : none;
  for (const json::value& name : now->as_array()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return {forbidden_value("metadata.finalizers",
                              "no new finalizers can be added if the object is being deleted, "
                              "found new finalizers []string{" +
                                  json::serialize(name) + "}")};
    }
  }
  return {};
}

Answer check_identity(const Place& place, const StoredPtr& before, const json::object& wanted,
                      bool put) {
  const std::string version = text_at(wanted, {"metadata", "resourceVersion"});
  const std::string uid = text_at(wanted, {"metadata", "uid"});
  const std::string name = text_at(wanted, {"metadata", "name"});
  if (!name.empty() && name != place.name) {
    return bad_request("the name of the object (" + name +
                       ") does not match the name on the URL (" + place.name + ")");
  }
  if (!uid.empty() && uid != before->uid) {
    return conflict(*place.resource, place.name,
                    "Precondition failed: UID in precondition: " + uid +
                        ", UID in object meta: " + before->uid);
  }
  if (version.empty() && put && !place.resource->unconditional_update) {
    return invalid(
        *place.resource, place.name,
        {invalid_value("metadata.resourceVersion", "0x0", "must be specified for an update")});
  }
  if (!version.empty() && version != std::to_string(before->version)) {
    return conflict(*place.resource, place.name);
  }
  return {};
}

Answer check_kind(const Place& place, json::object& object) {
  const std::string kind = text_at(object, {"kind"}), version = text_at(object, {"apiVersion"});
  if ((!kind.empty() && kind != place.resource->kind) ||
      (!version.empty() && version != api_version(*place.resource))) {
    return bad_request(kind + " in version \"" + version + "\" cannot be handled as a " +
                       std::string(place.resource->kind));
  }
  const std::string ns = text_at(object, {"metadata", "namespace"});
  if (!ns.empty() && ns != place.ns) {
    return bad_request(
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  if (!place.ns.empty()) child(object, "metadata")["namespace"] = place.ns;
  return {};
}

}  // namespace

Answer Store::get(const Place& place) const {
  const StoredPtr object = find(place);
  return object == nullptr ? not_found(*place.resource, place.name)
                           : with_object(200, object->json);
}

Answer Store::create(const std::string& text) {
  const Result<json::object> object = parse_object(text);
  if (!object) return bad_request(object.error());
  const Place place = placed(*object);
  if (place.resource == nullptr) return bad_request("unknown kind or apiVersion");
  return create({place.resource, place.ns, ""}, text);
}

Answer Store::update(const std::string& text) {
  const Result<json::object> object = parse_object(text);
  if (!object) return bad_request(object.error());
  const Place place = placed(*object);
  if (place.resource == nullptr) return bad_request("unknown kind or apiVersion");
  return update(place, text);
}

Answer Store::create(const Place& place, const std::string& body, const WriteOptions& options) {
  Result<json::object> object = parse_object(body);
  if (!object) return log("create", place, options, bad_request(object.error()));
  Place whole = place;
  if (whole.name.empty()) whole.name = text_at(*object, {"metadata", "name"});
  Answer answer = create_object(whole, std::move(*object), options);
  return log("create", whole, options, std::move(answer));
}

Answer Store::check_namespace(const Place& place) const {
  if (!place.resource->namespaced) return {};
  const Resource& namespaces = kube::resource("namespaces");
  const StoredPtr ns = find({&namespaces, "", place.ns});
  if (ns == nullptr) return not_found(namespaces, place.ns);
  if (ns->deleting) {
    return forbidden(*place.resource, place.name,
                     "unable to create new content in namespace " + place.ns +
                         " because it is being terminated");
  }
  return {};
}

Allocator Store::allocator_for(const Place& place) {
  return {[this](bool ipv6) {
            const std::uint64_t n = ++next_address_;
            const auto byte = [n](int shift) { return std::to_string(n >> shift & 255); };
            return ipv6 ? "fd00:10:96::1:" + std::to_string(n % 9999 + 1)
                        : "10." + std::to_string(96 + (n >> 16)) + "." + byte(8) + "." + byte(0);
          },
          [this, &place] {
            for (int tries = 0; tries < kNodePorts; ++tries) {
              const int port = kFirstNodePort + static_cast<int>(next_node_port_++ % kNodePorts);
              if (next_node_port_ <= kNodePorts || !node_port_in_use(port, place)) return port;
            }
            return 0;
          },
          [this, &place](int port) { return node_port_in_use(port, place); }};
}

Answer Store::create_object(const Place& place, json::object object, const WriteOptions& options) {
  const Resource& type = *place.resource;
  if (Answer wrong = check_kind(place, object); !wrong.ok()) return wrong;
  json::object& metadata = child(object, "metadata");
  const std::string prefix = text_at(metadata, {"generateName"});
  if (text_at(metadata, {"name"}).empty() && !place.name.empty()) metadata["name"] = place.name;
  if (text_at(metadata, {"name"}).empty() && !prefix.empty()) {
    metadata["name"] = prefix + random_suffix();
  }
  const std::string name = text_at(metadata, {"name"});
  if (Answer wrong = check_namespace({&type, place.ns, name}); !wrong.ok()) return wrong;
  if (!text_at(metadata, {"resourceVersion"}).empty()) {
    return bad_request("resourceVersion should not be set on objects to be created");
  }
  if (find({&type, place.ns, name}) != nullptr) return already_exists(type, name);
  for (const char* given : {"uid", "creationTimestamp", "deletionTimestamp", "managedFields",
                            "selfLink", "generation", "deletionGracePeriodSeconds"}) {
    drop(metadata, given);
  }
  if (type.kind == "Service") drop(object, "status");
  apply_defaults(type, object);
  std::vector<Cause> causes = validate(type, object, nullptr);
  if (!causes.empty()) return invalid(type, name, causes);
  track_update(nullptr, object, type.kind, writer_of(type, options));
  causes = allocate(type, object, allocator_for(place));
  if (!causes.empty()) return invalid(type, name, causes);
  json::object& made = child(object, "metadata");
  made["uid"] = random_uid();
  made["creationTimestamp"] = now_text();
  if (type.generation) made["generation"] = 1;
  if (options.dry_run) return with_object(201, json::serialize(object));
  return with_object(201, commit(type, ChangeType::kAdded, std::move(object), nullptr)->json);
}

Answer Store::update(const Place& place, const std::string& body, const WriteOptions& options) {
  Result<json::object> object = parse_object(body);
  if (!object) return log("update", place, options, bad_request(object.error()));
  const StoredPtr before = find(place);
  Answer answer;
  if (before != nullptr) {
    answer = check_kind(place, *object);
    if (answer.ok()) {
      json::object old = json::parse(before->json).get_object();
      answer = replace(place, {before, std::move(old), std::move(*object), false, true}, options);
    }
  } else if (place.resource->create_on_update && !options.status) {
    drop(child(*object, "metadata"), "resourceVersion");
    answer = create_object(place, std::move(*object), options);
  } else {
    answer = not_found(*place.resource, place.name);
  }
  return log("update", place, options, std::move(answer));
}

Answer Store::replace(const Place& place, Draft draft, const WriteOptions& options) {
  const Resource& type = *place.resource;
  if (Answer wrong = check_identity(place, draft.before, draft.wanted, draft.put); !wrong.ok()) {
    return wrong;
  }
  json::object& object = draft.wanted;
  keep_metadata(draft.old, object, !draft.applied);
  separate_status(type, draft.old, options.status, object);
  apply_defaults(type, object);
  if (!options.status) carry_over(type, draft.old, object);
  std::vector<Cause> causes =
      options.status ? validate_status(type, object) : validate(type, object, &draft.old);
  const std::vector<Cause> added = finalizers_added(draft.old, object);
  causes.insert(causes.end(), added.begin(), added.end());
  if (!causes.empty()) return invalid(type, place.name, causes);
  if (!draft.applied) track_update(&draft.old, object, type.kind, writer_of(type, options));
  if (!options.status) {
    causes = allocate(type, object, allocator_for(place));
    if (!causes.empty()) return invalid(type, place.name, causes);
  }
  object["kind"] = type.kind;
  object["apiVersion"] = api_version(type);
  if (equal(json::value(object), json::value(draft.old))) {
    return with_object(200, draft.before->json);  // Nothing changed: no version, no event.
  }
  if (type.generation) {
    json::object& metadata = child(object, "metadata");
    const json::value* count = metadata.if_contains("generation");
    metadata["generation"] = (count != nullptr && count->is_int64() ? count->get_int64() : 0) + 1;
  }
  if (options.dry_run) return with_object(200, json::serialize(object));
  if (draft.before->deleting && !has_finalizers(object)) {
    return with_object(200, erase(type, draft.before, std::move(object))->json);
  }
  return with_object(200,
                     commit(type, ChangeType::kModified, std::move(object), draft.before)->json);
}

Answer Store::patch(const Place& place, PatchType type, const std::string& body,
                    const WriteOptions& options) {
  Answer answer =
      type == PatchType::kApply ? apply(place, body, options) : patched(place, type, body, options);
  return log(type == PatchType::kApply ? "apply" : "patch", place, options, std::move(answer));
}

Answer Store::patched(const Place& place, PatchType type, const std::string& body,
                      const WriteOptions& options) {
  const StoredPtr before = find(place);
  if (before == nullptr) return not_found(*place.resource, place.name);
  boost::system::error_code error;
  const json::value patch = json::parse(body, error);
  if (error) return bad_request("error decoding patch: " + error.message());
  const json::value old = json::parse(before->json);
  json::value wanted = old;
  if (type == PatchType::kMerge) {
    merge_patch(wanted, patch);
  } else if (type == PatchType::kStrategicMerge) {
    strategic_merge(wanted, patch, place.resource->kind);
  } else if (Status done = json_patch(wanted, patch); !done) {
    return failure(422, "Invalid",
                   "the server rejected our request due to an error in our request");
  }
  if (!wanted.is_object()) return bad_request("the patch leaves no object");
  return replace(place, {before, old.get_object(), std::move(wanted.get_object()), false, false},
                 options);
}

Answer Store::apply(const Place& place, const std::string& body, const WriteOptions& options) {
  if (options.manager.empty()) {
    return invalid("meta.k8s.io", "PatchOptions", "",
                   {required_value("fieldManager", "is required for apply patch")});
  }
  Result<json::object> config = parse_object(body);
  if (!config) {
    Result<json::value> yaml = yaml_to_json(body);
    if (!yaml) return bad_request("error decoding YAML: " + yaml.error());
    config = std::move(yaml->get_object());
  }
  if (text_at(*config, {"kind"}).empty() || text_at(*config, {"apiVersion"}).empty()) {
    return bad_request("invalid object type: /, Kind=" + text_at(*config, {"kind"}));
  }
  if (Answer wrong = check_kind(place, *config); !wrong.ok()) return wrong;
  if (at(*config, {"metadata", "managedFields"}) != nullptr) {
    return bad_request("metadata.managedFields must be nil");
  }
  const StoredPtr before = find(place);
  if (before == nullptr) {
    if (options.status) return not_found(*place.resource, place.name);
    return create_object(place, std::move(*config), options);
  }
  if (Answer wrong = check_identity(place, before, *config, false); !wrong.ok()) return wrong;
  if (const json::value* list = at(*config, {"status", "conditions"});
      list != nullptr && list->is_array()) {
    for (const json::value& element : list->get_array()) {
      if (at(element, {"type"}) == nullptr) {
        return failure(500, "",
                       "failed to create typed patch object: .status.conditions: element 0: "
                       "associative list with keys has an element that omits key field \"type\"");
      }
    }
  }
  if (at(*config, {"status", "loadBalancer"}) != nullptr) default_ingress(*config);
  // Only the part this resource or subresource writes.
  drop(*config, options.status ? "spec" : "status");
  json::object old = json::parse(before->json).get_object();
  json::object merged;
  std::vector<std::pair<std::string, std::string>> conflicts;
  apply_fields(old, *config, place.resource->kind, writer_of(*place.resource, options),
               options.force, merged, conflicts);
  if (!conflicts.empty()) return apply_conflict(conflicts);
  return replace(place, {before, std::move(old), std::move(merged), true, false}, options);
}

}  // namespace sluice::test::kube
