// Objects as kubectl prints them: with apiVersion and kind. Thread: any, pure.
#pragma once

#include <string>
#include <vector>

#include "store.pb.h"

namespace google::protobuf {
class Message;
}

namespace sluice {

// "v1", "discovery.k8s.io/v1", "sluice.dev/v1".
const char* api_version(v1::Kind kind);

std::string object_yaml(const v1::Object& object);
std::string object_json(const v1::Object& object);
// Several as kubectl does: kind List.
std::string list_yaml(const std::vector<const v1::Object*>& objects);
std::string list_json(const std::vector<const v1::Object*>& objects);
// Several documents, which apply reads again: what `sluice export` prints.
std::string documents_yaml(const std::vector<const v1::Object*>& objects);

// Any other message, bytes as hexadecimal digits or, with 4 or 16 of them, as an address.
std::string message_yaml(const google::protobuf::Message& message);
std::string message_json(const google::protobuf::Message& message);

}  // namespace sluice
