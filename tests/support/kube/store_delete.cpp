// Store: deletion.
#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/store.h"
#include "tests/support/kube/store_text.h"

namespace sluice::test::kube {

Answer Store::remove(const Place& place, const std::string& body) {
  return log("delete", place, {}, removed(place, body));
}

Answer Store::removed(const Place& place, const std::string& body) {
  const StoredPtr before = find(place);
  if (before == nullptr) return not_found(*place.resource, place.name);
  if (!body.empty()) {
    const Result<json::object> options = parse_object(body);
    if (!options) return bad_request(options.error());
    const std::string uid = text_at(*options, {"preconditions", "uid"});
    const std::string version = text_at(*options, {"preconditions", "resourceVersion"});
    if (!uid.empty() && uid != before->uid) {
      return conflict(*place.resource, place.name,
                      "Precondition failed: UID in precondition: " + uid +
                          ", UID in object meta: " + before->uid);
    }
    if (!version.empty() && version != std::to_string(before->version)) {
      return conflict(*place.resource, place.name);
    }
  }
  json::object object = json::parse(before->json).get_object();
  if (place.resource->kind == "Namespace" || has_finalizers(object)) {
    return mark_deleted(place, before, std::move(object));
  }
  const std::string uid = before->uid;
  const StoredPtr last = erase(*place.resource, before, std::move(object));
  if (place.resource->kind == "Service" || place.resource->kind == "Pod") {
    return with_object(200, last->json);
  }
  json::object details{{"name", place.name}};
  if (!place.resource->group.empty()) details["group"] = place.resource->group;
  details["kind"] = place.resource->plural;
  details["uid"] = uid;
  const json::object success{{"kind", "Status"},
                             {"apiVersion", "v1"},
                             {"metadata", json::object()},
                             {"status", "Success"},
                             {"details", std::move(details)}};
  return with_object(200, json::serialize(success));
}

Answer Store::mark_deleted(const Place& place, const StoredPtr& before, json::object object) {
  if (before->deleting) return with_object(200, before->json);
  json::object& metadata = child(object, "metadata");
  metadata["deletionTimestamp"] = now_text();
  metadata["deletionGracePeriodSeconds"] = 0;
  const bool is_namespace = place.resource->kind == "Namespace";
  if (is_namespace) child(object, "status")["phase"] = "Terminating";
  const StoredPtr marked =
      commit(*place.resource, ChangeType::kModified, std::move(object), before);
  if (is_namespace) empty_namespace(place.name);
  return with_object(200, marked->json);
}

}  // namespace sluice::test::kube
