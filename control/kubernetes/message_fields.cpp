#include "control/kubernetes/message_fields.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <utility>

namespace sluice::kube {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Fields of the API, as of 1.32, that say nothing about forwarding. What is neither here nor in the
// messages is newer than this program and gets reported.
const std::vector<std::pair<const Descriptor*, std::vector<const char*>>>& passed_over() {
  static const std::vector<std::pair<const Descriptor*, std::vector<const char*>>> names{
      {v1::Service::descriptor(), {"kind", "apiVersion"}},
      {v1::EndpointSlice::descriptor(), {"kind", "apiVersion"}},
      {v1::Node::descriptor(), {"kind", "apiVersion"}},
      {v1::Namespace::descriptor(), {"kind", "apiVersion", "spec", "status"}},
      {v1::ObjectReference::descriptor(), {"apiVersion", "resourceVersion", "fieldPath"}},
      {v1::NodeSpec::descriptor(), {"providerID", "taints", "externalID", "configSource"}},
      {v1::NodeStatus::descriptor(),
       {"capacity", "allocatable", "phase", "daemonEndpoints", "nodeInfo", "images", "volumesInUse",
        "volumesAttached", "config", "runtimeHandlers", "features"}},
      {v1::NodeCondition::descriptor(), {"lastHeartbeatTime", "lastTransitionTime"}},
  };
  return names;
}

StringMap* labels(Message* message) {
  return static_cast<v1::ObjectMeta*>(message)->mutable_labels();
}
StringMap* annotations(Message* message) {
  return static_cast<v1::ObjectMeta*>(message)->mutable_annotations();
}
StringMap* selector(Message* message) {
  return static_cast<v1::ServiceSpec*>(message)->mutable_selector();
}

// Reflection on maps is slow; there are three.
StringMap* (*map_access(const FieldDescriptor* field))(Message*) {
  const std::string& name = field->full_name();
  if (name == "sluice.v1.ObjectMeta.labels") return labels;
  if (name == "sluice.v1.ObjectMeta.annotations") return annotations;
  if (name == "sluice.v1.ServiceSpec.selector") return selector;
  return nullptr;
}

const MessageFields* table_of(const Descriptor* type);

FieldInfo info_of(const FieldDescriptor* field) {
  FieldInfo info;
  info.name = field->json_name();
  info.field = field;
  info.repeated = field->is_repeated();
  if (field->is_map()) {
    info.map = map_access(field);
    info.repeated = false;
    if (info.map != nullptr) info.type = FieldInfo::Type::kMap;
    return info;
  }
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      info.type = FieldInfo::Type::kString;
      break;
    case FieldDescriptor::CPPTYPE_INT32:
      info.type = FieldInfo::Type::kInt32;
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      info.type = FieldInfo::Type::kInt64;
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      info.type = FieldInfo::Type::kBool;
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (field->message_type() == v1::IntOrString::descriptor()) {
        info.type = FieldInfo::Type::kIntOrString;
      } else {
        info.type = FieldInfo::Type::kMessage;
        info.fields = table_of(field->message_type());
      }
      break;
    default:
      break;
  }
  return info;
}

const MessageFields* table_of(const Descriptor* type) {
  static std::map<const Descriptor*, std::unique_ptr<MessageFields>> tables;
  if (const auto at = tables.find(type); at != tables.end()) return at->second.get();
  auto table = std::make_unique<MessageFields>();
  for (int i = 0; i < type->field_count(); ++i) table->fields.push_back(info_of(type->field(i)));
  for (const auto& [message, names] : passed_over()) {
    for (const char* name : names) {
      if (message == type) table->fields.emplace_back().name = name;
    }
  }
  table->report_unknown = type != v1::ObjectMeta::descriptor();
  return tables.emplace(type, std::move(table)).first->second.get();
}

}  // namespace

const MessageFields* fields_of(v1::Kind kind) {
  switch (kind) {
    case v1::KIND_SERVICE: {
      static const MessageFields* const fields = table_of(v1::Service::descriptor());
      return fields;
    }
    case v1::KIND_ENDPOINT_SLICE: {
      static const MessageFields* const fields = table_of(v1::EndpointSlice::descriptor());
      return fields;
    }
    case v1::KIND_NODE: {
      static const MessageFields* const fields = table_of(v1::Node::descriptor());
      return fields;
    }
    case v1::KIND_NAMESPACE: {
      static const MessageFields* const fields = table_of(v1::Namespace::descriptor());
      return fields;
    }
    default:
      return nullptr;
  }
}

Message* mutable_content(v1::Object* object, v1::Kind kind) {
  switch (kind) {
    case v1::KIND_SERVICE:
      return object->mutable_service();
    case v1::KIND_ENDPOINT_SLICE:
      return object->mutable_endpoint_slice();
    case v1::KIND_NODE:
      return object->mutable_node();
    case v1::KIND_NAMESPACE:
      return object->mutable_namespace_();
    default:
      return nullptr;
  }
}

}  // namespace sluice::kube
