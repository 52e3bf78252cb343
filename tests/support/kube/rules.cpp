#include "tests/support/kube/rules.h"

#include <algorithm>
#include <string_view>

#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

bool lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && lower_or_digit(text.front()) &&
         lower_or_digit(text.back()) && std::all_of(text.begin(), text.end(), [](char c) {
           return lower_or_digit(c) || c == '-';
         });
}

bool is_subdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) return false;
  while (true) {
    const std::size_t dot = text.find('.');
    if (!is_label(text.substr(0, dot))) return false;
    if (dot == std::string_view::npos) return true;
    text.remove_prefix(dot + 1);
  }
}

constexpr const char* kLabel1035 =
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', "
    "regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
constexpr const char* kLabel1123 =
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must "
    "start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for "
    "validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
constexpr const char* kSubdomain =
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', "
    "and must start and end with an alphanumeric character (e.g. 'example.com', regex used for "
    "validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

void validate_name(const Resource& resource, const json::object& object,
                   std::vector<Cause>& causes) {
  const std::string name = text_at(object, {"metadata", "name"});
  if (name.empty()) {
    causes.push_back(required_value("metadata.name", "name or generateName is required"));
    return;
  }
  const char* why = nullptr;
  if (resource.kind == "Service") {
    if (!is_label(name) || name[0] < 'a') why = kLabel1035;
  } else if (resource.kind == "Namespace") {
    if (!is_label(name)) why = kLabel1123;
  } else if (!is_subdomain(name)) {
    why = kSubdomain;
  }
  if (why != nullptr) causes.push_back(invalid_value("metadata.name", "\"" + name + "\"", why));
}

void validate_slice(const json::object& object, const json::object* before,
                    std::vector<Cause>& causes) {
  const std::string type = text_at(object, {"addressType"});
  if (type != "IPv4" && type != "IPv6" && type != "FQDN") {
    causes.push_back(type.empty()
                         ? required_value("addressType")
                         : unsupported_value("addressType", type, R"("FQDN", "IPv4", "IPv6")"));
  }
  if (before != nullptr && text_at(*before, {"addressType"}) != type) {
    causes.push_back(invalid_value("addressType", "\"" + type + "\"", "field is immutable"));
  }
  const json::value* endpoints = object.if_contains("endpoints");
  if (endpoints == nullptr || !endpoints->is_array()) return;
  if (endpoints->get_array().size() > 1000) {
    causes.push_back({"FieldValueTooMany", "Too many: must have at most 1000 items", "endpoints"});
  }
  std::size_t index = 0;
  for (const json::value& endpoint : endpoints->get_array()) {
    const json::value* addresses = at(endpoint, {"addresses"});
    const std::string field = "endpoints[" + std::to_string(index++) + "].addresses";
    if (addresses == nullptr || !addresses->is_array() || addresses->get_array().empty()) {
      causes.push_back(required_value(field, "must contain at least 1 address"));
    }
  }
}

void validate_lease(const json::object& object, std::vector<Cause>& causes) {
  const json::value* duration = at(object, {"spec", "leaseDurationSeconds"});
  if (duration != nullptr && duration->is_int64() && duration->get_int64() <= 0) {
    causes.push_back(invalid_value("spec.leaseDurationSeconds", json::serialize(*duration),
                                   "must be greater than 0"));
  }
  const json::value* transitions = at(object, {"spec", "leaseTransitions"});
  if (transitions != nullptr && transitions->is_int64() && transitions->get_int64() < 0) {
    causes.push_back(invalid_value("spec.leaseTransitions", json::serialize(*transitions),
                                   "must be greater than or equal to 0"));
  }
}

void require_text(const json::object& object, std::string_view field, std::size_t longest,
                  std::vector<Cause>& causes) {
  const std::string text = text_at(object, {field});
  if (text.empty()) {
    causes.push_back(required_value(std::string(field)));
  } else if (text.size() > longest) {
    causes.push_back(invalid_value(std::string(field), "\"\"",
                                   "can have at most " + std::to_string(longest) + " characters"));
  }
}

void validate_event(const Resource& resource, const json::object& object,
                    std::vector<Cause>& causes) {
  const bool core = resource.group.empty();
  const char* about = core ? "involvedObject" : "regarding";
  const std::string ns = text_at(object, {"metadata", "namespace"});
  const std::string other = text_at(object, {about, "namespace"});
  if (other.empty() ? ns != "default" : other != ns) {
    causes.push_back(invalid_value("involvedObject.namespace", "\"" + other + "\"",
                                   "does not match event.namespace"));
  }
  const json::value* when = object.if_contains("eventTime");
  if (when == nullptr || when->is_null()) {
    if (!core) causes.push_back(required_value("eventTime"));
    return;
  }
  require_text(object, core ? "reportingComponent" : "reportingController", 128, causes);
  require_text(object, "reportingInstance", 128, causes);
  require_text(object, "action", 128, causes);
  require_text(object, "reason", 128, causes);
  const std::string type = text_at(object, {"type"});
  if (type != "Normal" && type != "Warning") {
    causes.push_back(invalid_value("type", "\"" + type + "\"", "has invalid value"));
  }
  if (text_at(object, {core ? "message" : "note"}).size() > 1024) {
    causes.push_back(
        invalid_value(core ? "message" : "note", "\"\"", "can have at most 1024 characters"));
  }
}

// metav1.Condition writes all of these, set or not.
void default_conditions(json::object& object) {
  const json::value* list = at(object, {"status", "conditions"});
  if (list == nullptr || !list->is_array()) return;
  for (json::value& entry : object["status"].get_object()["conditions"].get_array()) {
    if (!entry.is_object()) continue;
    json::object& condition = entry.get_object();
    if (!condition.contains("lastTransitionTime")) condition["lastTransitionTime"] = nullptr;
    for (const char* name : {"status", "reason", "message"}) {
      if (!condition.contains(name)) condition[name] = "";
    }
  }
}

}  // namespace

void apply_defaults(const Resource& resource, json::object& object) {
  if (resource.kind == "Service") {
    default_service(object);
    default_conditions(object);
  } else if (resource.kind == "EndpointSlice") {
    for (const char* name : {"endpoints", "ports"}) {
      const json::value* list = object.if_contains(name);
      if (list == nullptr || (list->is_array() && list->get_array().empty())) {
        object[name] = nullptr;
      }
    }
    if (object["ports"].is_array()) {
      for (json::value& entry : object["ports"].get_array()) {
        if (!entry.is_object()) continue;
        json::object& port = entry.get_object();
        if (!port.contains("name")) port["name"] = "";
        if (!port.contains("protocol")) port["protocol"] = "TCP";
      }
    }
  } else if (resource.kind == "Namespace") {
    child(object, "spec")["finalizers"] = json::array{"kubernetes"};
    json::object& status = child(object, "status");
    if (!status.contains("phase")) status["phase"] = "Active";
    json::object& metadata = child(object, "metadata");
    const std::string name = text_at(metadata, {"name"});
    child(metadata, "labels")["kubernetes.io/metadata.name"] = name;
  } else if (resource.kind == "Lease") {
    child(object, "spec");
  }
}

void carry_over(const Resource& resource, const json::object& before, json::object& object) {
  if (resource.kind == "Service") carry_over_service(before, object);
}

std::vector<Cause> allocate(const Resource& resource, json::object& object,
                            const Allocator& allocator) {
  if (resource.kind == "Service") return allocate_service(object, allocator);
  return {};
}

std::vector<Cause> validate(const Resource& resource, const json::object& object,
                            const json::object* before) {
  std::vector<Cause> causes;
  validate_name(resource, object, causes);
  if (resource.kind == "Service") {
    const std::vector<Cause> more = validate_service(object, before);
    causes.insert(causes.end(), more.begin(), more.end());
  } else if (resource.kind == "EndpointSlice") {
    validate_slice(object, before, causes);
  } else if (resource.kind == "Lease") {
    validate_lease(object, causes);
  } else if (resource.kind == "Event") {
    validate_event(resource, object, causes);
  }
  return causes;
}

std::vector<Cause> validate_status(const Resource& resource, const json::object& object) {
  return resource.kind == "Service" ? validate_service_status(object) : std::vector<Cause>();
}

}  // namespace sluice::test::kube
