#include "control/model/key.h"

#include <array>

namespace sluice {
namespace {

struct KindName {
  v1::Kind kind;
  const char* name;
  bool namespaced;
};
constexpr std::array<KindName, 7> kKinds{{
    {v1::KIND_SERVICE, "Service", true},
    {v1::KIND_ENDPOINT_SLICE, "EndpointSlice", true},
    {v1::KIND_ENDPOINTS, "Endpoints", true},
    {v1::KIND_POD, "Pod", true},
    {v1::KIND_NODE, "Node", false},
    {v1::KIND_NAMESPACE, "Namespace", false},
    {v1::KIND_ADDRESS_POOL, "AddressPool", false},
}};

}  // namespace

const char* kind_name(v1::Kind kind) {
  for (const KindName& k : kKinds) {
    if (k.kind == kind) return k.name;
  }
  return "Unknown";
}

std::optional<v1::Kind> kind_from_name(std::string_view name) {
  for (const KindName& k : kKinds) {
    if (name == k.name) return k.kind;
  }
  return std::nullopt;
}

bool kind_is_namespaced(v1::Kind kind) {
  for (const KindName& k : kKinds) {
    if (k.kind == kind) return k.namespaced;
  }
  return false;
}

v1::Kind kind_of(const v1::Object& object) {
  switch (object.object_case()) {
    case v1::Object::kService:
      return v1::KIND_SERVICE;
    case v1::Object::kEndpointSlice:
      return v1::KIND_ENDPOINT_SLICE;
    case v1::Object::kEndpoints:
      return v1::KIND_ENDPOINTS;
    case v1::Object::kPod:
      return v1::KIND_POD;
    case v1::Object::kNode:
      return v1::KIND_NODE;
    case v1::Object::kNamespace:
      return v1::KIND_NAMESPACE;
    case v1::Object::kAddressPool:
      return v1::KIND_ADDRESS_POOL;
    case v1::Object::OBJECT_NOT_SET:
      break;
  }
  return v1::KIND_UNSPECIFIED;
}

const v1::ObjectMeta* metadata_of(const v1::Object& object) {
  switch (object.object_case()) {
    case v1::Object::kService:
      return &object.service().metadata();
    case v1::Object::kEndpointSlice:
      return &object.endpoint_slice().metadata();
    case v1::Object::kEndpoints:
      return &object.endpoints().metadata();
    case v1::Object::kPod:
      return &object.pod().metadata();
    case v1::Object::kNode:
      return &object.node().metadata();
    case v1::Object::kNamespace:
      return &object.namespace_().metadata();
    case v1::Object::kAddressPool:
      return &object.address_pool().metadata();
    case v1::Object::OBJECT_NOT_SET:
      break;
  }
  return nullptr;
}

v1::ObjectMeta* mutable_metadata_of(v1::Object* object) {
  switch (object->object_case()) {
    case v1::Object::kService:
      return object->mutable_service()->mutable_metadata();
    case v1::Object::kEndpointSlice:
      return object->mutable_endpoint_slice()->mutable_metadata();
    case v1::Object::kEndpoints:
      return object->mutable_endpoints()->mutable_metadata();
    case v1::Object::kPod:
      return object->mutable_pod()->mutable_metadata();
    case v1::Object::kNode:
      return object->mutable_node()->mutable_metadata();
    case v1::Object::kNamespace:
      return object->mutable_namespace_()->mutable_metadata();
    case v1::Object::kAddressPool:
      return object->mutable_address_pool()->mutable_metadata();
    case v1::Object::OBJECT_NOT_SET:
      break;
  }
  return nullptr;
}

ObjectKey key_of(const std::string& source, const v1::Object& object) {
  ObjectKey key{source, kind_of(object), "", ""};
  if (const v1::ObjectMeta* metadata = metadata_of(object)) {
    if (kind_is_namespaced(key.kind)) key.ns = metadata->namespace_();
    key.name = metadata->name();
  }
  return key;
}

std::string ObjectKey::text() const {
  return source + "/" + kind_name(kind) + "/" + ns + "/" + name;
}

}  // namespace sluice
