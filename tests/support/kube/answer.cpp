#include "tests/support/kube/answer.h"

#include <boost/json.hpp>

namespace sluice::test::kube {
namespace {

namespace json = boost::json;

Answer status_object(unsigned status, const std::string& reason, const std::string& message,
                     const json::object* details, const std::string& fallback = "") {
  json::object metadata;
  if (!fallback.empty()) metadata["continue"] = fallback;
  json::object object{{"kind", "Status"},
                      {"apiVersion", "v1"},
                      {"metadata", std::move(metadata)},
                      {"status", "Failure"},
                      {"message", message}};
  if (!reason.empty()) object["reason"] = reason;
  if (details != nullptr) object["details"] = *details;
  object["code"] = status;
  return Answer{status, json::serialize(object) + "\n", 0};
}

json::object details_of(const Resource& resource, const std::string& name) {
  json::object details;
  if (!name.empty()) details["name"] = name;
  if (!resource.group.empty()) details["group"] = resource.group;
  details["kind"] = resource.plural;
  return details;
}

std::string named(const Resource& resource, const std::string& name) {
  return qualified_plural(resource) + " \"" + name + "\"";
}

}  // namespace

Cause invalid_value(std::string field, const std::string& quoted_value, const std::string& why) {
  return {"FieldValueInvalid", "Invalid value: " + quoted_value + ": " + why, std::move(field)};
}
Cause required_value(std::string field, const std::string& why) {
  return {"FieldValueRequired", "Required value" + (why.empty() ? "" : ": " + why),
          std::move(field)};
}
Cause forbidden_value(std::string field, const std::string& why) {
  return {"FieldValueForbidden", "Forbidden: " + why, std::move(field)};
}
Cause unsupported_value(std::string field, const std::string& value, const std::string& supported) {
  return {"FieldValueNotSupported",
          "Unsupported value: \"" + value + "\": supported values: " + supported, std::move(field)};
}
Cause duplicate_value(std::string field, const std::string& quoted_value) {
  return {"FieldValueDuplicate", "Duplicate value: " + quoted_value, std::move(field)};
}

Answer failure(unsigned status, const std::string& reason, const std::string& message) {
  return status_object(status, reason, message, nullptr);
}

Answer unauthorized() {
  return failure(401, "Unauthorized", "Unauthorized");
}

Answer forbidden(const Resource& resource, const std::string& name, const std::string& why) {
  const json::object details = details_of(resource, name);
  const std::string what = name.empty() ? qualified_plural(resource) : named(resource, name);
  return status_object(403, "Forbidden", what + " is forbidden: " + why, &details);
}

Answer no_such_path() {
  const json::object details;
  return status_object(404, "NotFound", "the server could not find the requested resource",
                       &details);
}

Answer not_found(const Resource& resource, const std::string& name) {
  const json::object details = details_of(resource, name);
  return status_object(404, "NotFound", named(resource, name) + " not found", &details);
}

Answer already_exists(const Resource& resource, const std::string& name) {
  const json::object details = details_of(resource, name);
  return status_object(409, "AlreadyExists", named(resource, name) + " already exists", &details);
}

Answer conflict(const Resource& resource, const std::string& name, const std::string& why) {
  const json::object details = details_of(resource, name);
  const std::string reason =
      why.empty() ? "the object has been modified; please apply your changes to the latest version "
                    "and try again"
                  : why;
  return status_object(409, "Conflict",
                       "Operation cannot be fulfilled on " + named(resource, name) + ": " + reason,
                       &details);
}

Answer invalid(const std::string& group, const std::string& kind, const std::string& name,
               const std::vector<Cause>& causes) {
  json::object details;
  if (!name.empty()) details["name"] = name;
  if (!group.empty()) details["group"] = group;
  details["kind"] = kind;
  std::string text;
  json::array list;
  for (const Cause& cause : causes) {
    text += (text.empty() ? "" : ", ") + cause.field + ": " + cause.message;
    list.push_back(
        json::object{{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
  }
  details["causes"] = std::move(list);
  if (causes.size() > 1) text = "[" + text + "]";
  const std::string what = group.empty() ? kind : kind + "." + group;
  return status_object(422, "Invalid", what + " \"" + name + "\" is invalid: " + text, &details);
}

Answer invalid(const Resource& resource, const std::string& name,
               const std::vector<Cause>& causes) {
  return invalid(std::string(resource.group), std::string(resource.kind), name, causes);
}

Answer bad_request(const std::string& message) {
  return failure(400, "BadRequest", message);
}

Answer expired(const std::string& message, const std::string& fallback_continue) {
  return status_object(410, "Expired", message, nullptr, fallback_continue);
}

Answer future_version(const std::string& wanted, const std::string& current) {
  json::array causes;
  causes.push_back(json::object{{"reason", "ResourceVersionTooLarge"},
                                {"message", "Too large resource version"}});
  const json::object details{{"causes", std::move(causes)}, {"retryAfterSeconds", 1}};
  Answer answer = status_object(
      504, "Timeout", "Timeout: Too large resource version: " + wanted + ", current: " + current,
      &details);
  answer.retry_after_s = 1;
  return answer;
}

Answer apply_conflict(const std::vector<std::pair<std::string, std::string>>& fields) {
  json::array causes;
  std::string text;
  for (const auto& [manager, field] : fields) {
    causes.push_back(json::object{{"reason", "FieldManagerConflict"},
                                  {"message", "conflict with \"" + manager + "\""},
                                  {"field", field}});
    text += (text.empty() ? "" : ", ") + ("\"" + manager + "\": " + field);
  }
  const json::object details{{"causes", std::move(causes)}};
  const std::string many = fields.size() == 1
                               ? "1 conflict: conflict with "
                               : std::to_string(fields.size()) + " conflicts: conflicts with ";
  return status_object(409, "Conflict", "Apply failed with " + many + text, &details);
}

}  // namespace sluice::test::kube
