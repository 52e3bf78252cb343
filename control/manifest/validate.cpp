#include "control/manifest/validate.h"

#include "control/manifest/object_rules.h"
#include "control/model/key.h"

namespace sluice {
namespace {

constexpr std::size_t kMaxAnnotationBytes = 256 * 1024;  // As the API server limits them.

void check_name(const std::string& name, v1::Kind kind, FieldErrors* errors) {
  if (name.empty()) {
    errors->add("metadata.name", "is missing; every object needs one");
  } else if (kind == v1::KIND_SERVICE || kind == v1::KIND_NAMESPACE) {
    const bool letter_first = kind != v1::KIND_SERVICE || (name[0] >= 'a' && name[0] <= 'z');
    if (!is_dns_label(name) || !letter_first) {
      errors->add("metadata.name",
                  "\"" + name +
                      "\" is not a DNS label: at most 63 lower-case letters, digits and '-'" +
                      (kind == v1::KIND_SERVICE ? ", a letter first" : ""));
    }
  } else if (!is_dns_subdomain(name)) {
    errors->add(
        "metadata.name",
        "\"" + name +
            "\" is not a DNS subdomain: at most 253 lower-case letters, digits, '-' and '.'");
  }
}

void check_metadata(const v1::ObjectMeta& metadata, v1::Kind kind, FieldErrors* errors) {
  check_name(metadata.name(), kind, errors);
  if (!kind_is_namespaced(kind)) {
    if (!metadata.namespace_().empty()) {
      errors->add("metadata.namespace",
                  std::string(kind_name(kind)) + " has no namespace; leave it out");
    }
  } else if (!is_dns_label(metadata.namespace_())) {
    errors->add("metadata.namespace", "\"" + metadata.namespace_() + "\" is not a DNS label");
  }
  check_labels(metadata.labels(), "metadata.labels", errors);
  std::size_t bytes = 0;
  for (const auto& [key, value] : metadata.annotations()) {
    bytes += key.size() + value.size();
    if (!is_label_key(key)) {
      errors->add("metadata.annotations[" + key + "]",
                  "\"" + key + "\" is not a qualified name such as example.com/name");
    }
  }
  if (bytes > kMaxAnnotationBytes) {
    errors->add("metadata.annotations", std::to_string(bytes) + " bytes; at most " +
                                            std::to_string(kMaxAnnotationBytes) + " are allowed");
  }
}

}  // namespace

void check_labels(const google::protobuf::Map<std::string, std::string>& labels,
                  const std::string& path, FieldErrors* errors) {
  for (const auto& [key, value] : labels) {
    const std::string at = path + "[" + key + "]";
    if (!is_label_key(key)) {
      errors->add(at, "\"" + key +
                          "\" is not a label key: an optional DNS prefix and '/', then at "
                          "most 63 letters, digits, '-', '_' and '.'");
    }
    if (!is_label_value(value)) {
      errors->add(at, "\"" + value +
                          "\" is not a label value: at most 63 letters, digits, '-', '_' and '.', "
                          "a letter or digit at both ends");
    }
  }
}

std::vector<FieldError> validate(const v1::Object& object) {
  FieldErrors errors;
  const v1::ObjectMeta* metadata = metadata_of(object);
  if (metadata == nullptr) return {{"", "the object is empty"}};
  check_metadata(*metadata, kind_of(object), &errors);
  switch (object.object_case()) {
    case v1::Object::kService:
      check_service(object.service(), &errors);
      break;
    case v1::Object::kEndpointSlice:
      check_slice(object.endpoint_slice(), &errors);
      break;
    case v1::Object::kEndpoints:
      check_endpoints(object.endpoints(), &errors);
      break;
    case v1::Object::kPod:
      check_pod(object.pod(), &errors);
      break;
    case v1::Object::kNode:
      check_node(object.node(), &errors);
      break;
    case v1::Object::kAddressPool:
      check_pool(object.address_pool(), &errors);
      break;
    default:
      break;
  }
  return errors.take();
}

}  // namespace sluice
