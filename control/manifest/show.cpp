#include "control/manifest/show.h"

#include <utility>

#include "config/yaml_message.h"
#include "control/model/key.h"

namespace sluice {
namespace {

const google::protobuf::Message* content_of(const v1::Object& object) {
  switch (object.object_case()) {
    case v1::Object::kService:
      return &object.service();
    case v1::Object::kEndpointSlice:
      return &object.endpoint_slice();
    case v1::Object::kEndpoints:
      return &object.endpoints();
    case v1::Object::kPod:
      return &object.pod();
    case v1::Object::kNode:
      return &object.node();
    case v1::Object::kNamespace:
      return &object.namespace_();
    case v1::Object::kAddressPool:
      return &object.address_pool();
    case v1::Object::OBJECT_NOT_SET:
      break;
  }
  return nullptr;
}

YamlNode object_tree(const v1::Object& object) {
  YamlNode tree = YamlNode::map();
  tree.add("apiVersion", YamlNode::string(api_version(kind_of(object))));
  tree.add("kind", YamlNode::string(kind_name(kind_of(object))));
  if (const auto* content = content_of(object)) {
    YamlNode fields = message_tree(*content);
    for (std::size_t i = 0; i < fields.items.size(); ++i) {
      tree.add(std::move(fields.keys[i]), std::move(fields.items[i]));
    }
  }
  return tree;
}

YamlNode list_tree(const std::vector<const v1::Object*>& objects) {
  YamlNode tree = YamlNode::map();
  tree.add("apiVersion", YamlNode::string("v1"));
  tree.add("kind", YamlNode::string("List"));
  YamlNode& items = tree.add("items", YamlNode::sequence());
  for (const v1::Object* object : objects) items.add("", object_tree(*object));
  return tree;
}

}  // namespace

const char* api_version(v1::Kind kind) {
  switch (kind) {
    case v1::KIND_ENDPOINT_SLICE:
      return "discovery.k8s.io/v1";
    case v1::KIND_ADDRESS_POOL:
      return "sluice.dev/v1";
    default:
      return "v1";
  }
}

std::string object_yaml(const v1::Object& object) {
  return yaml_text(object_tree(object));
}
std::string object_json(const v1::Object& object) {
  return json_text(object_tree(object));
}
std::string list_yaml(const std::vector<const v1::Object*>& objects) {
  return yaml_text(list_tree(objects));
}
std::string list_json(const std::vector<const v1::Object*>& objects) {
  return json_text(list_tree(objects));
}

std::string documents_yaml(const std::vector<const v1::Object*>& objects) {
  std::string text;
  for (const v1::Object* object : objects) {
    if (!text.empty()) text += "---\n";
    text += object_yaml(*object);
  }
  return text;
}

std::string message_yaml(const google::protobuf::Message& message) {
  return yaml_text(message_tree(message));
}
std::string message_json(const google::protobuf::Message& message) {
  return json_text(message_tree(message));
}

}  // namespace sluice
