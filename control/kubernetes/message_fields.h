// The fields of the Kubernetes messages by their JSON names, looked up once per type.
// Ownership: tables live as long as the program. Thread: one at a first use of a kind, then any.
#pragma once

#include <google/protobuf/map.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "store.pb.h"

namespace google::protobuf {
class Descriptor;
class FieldDescriptor;
class Message;
}  // namespace google::protobuf

namespace sluice::kube {

struct MessageFields;
using StringMap = google::protobuf::Map<std::string, std::string>;

struct FieldInfo {
  enum class Type { kString, kInt32, kInt64, kBool, kMessage, kIntOrString, kMap, kPassedOver };
  std::string name;  // As in JSON.
  Type type = Type::kPassedOver;
  bool repeated = false;
  const google::protobuf::FieldDescriptor* field = nullptr;
  const MessageFields* fields = nullptr;                            // Of kMessage.
  StringMap* (*map)(google::protobuf::Message* message) = nullptr;  // Of kMap.
};

struct MessageFields {
  std::vector<FieldInfo> fields;
  // Whether a field not known here may matter, and so is to be told of.
  bool report_unknown = true;

  const FieldInfo* find(std::string_view name) const {
    for (const FieldInfo& field : fields) {
      if (field.name == name) return &field;
    }
    return nullptr;
  }
};

// Of the message that is a kind's object. Kinds: Service, EndpointSlice, Node, Namespace; others:
// null.
const MessageFields* fields_of(v1::Kind kind);
// The empty object of that kind inside `object`; the same kinds.
google::protobuf::Message* mutable_content(v1::Object* object, v1::Kind kind);

}  // namespace sluice::kube
