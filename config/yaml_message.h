// Between YAML trees and protobuf messages, by reflection and by the fields' JSON names.
// Thread: any, pure. Errors: collected, so that a user sees all of them; each is one line
// "FILE:LINE:COLUMN: FIELD.PATH: what is wrong, and what would be right".
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "config/yaml_tree.h"

namespace google::protobuf {
class Message;
}

namespace sluice {

enum class UnknownFields {
  refuse,   // An error that names the closest known field.
  collect,  // Their paths are listed in the report; elements of lists as "[]", each path once.
};

struct YamlReadOptions {
  std::string file;  // For messages.
  UnknownFields unknown = UnknownFields::refuse;
  // Unknown fields, by path with "[]", that are collected without a word in any case.
  std::function<bool(const std::string&)> passed_over;
  bool strict_strings = false;       // A bare number or boolean is no string (as in Kubernetes).
  std::vector<std::string> ignored;  // Fields of the outermost message to pass over.
  std::size_t max_errors = 100;
  std::size_t max_unknown = 200;
};

struct YamlReport {
  struct Place {
    std::string file;
    YamlMark mark;
  };
  std::vector<std::string> errors;
  std::vector<std::string> unknown_fields;
  std::vector<std::string> unknown_errors;  // What `refuse` would have said of those collected.
  std::map<std::string, Place, std::less<>> places;  // Field path -> where it was read.

  // "FILE:LINE:COLUMN: PATH: text". A path that was not read has the place of its closest parent.
  void error_at(const std::string& path, const std::string& text);
  std::string where(const std::string& path) const;
  std::string line_of(const std::string& path, const std::string& text) const;
};

// Sets in `message` what `node` names: single fields are replaced, messages merged, lists and maps
// replaced as a whole; null counts as absent. A message with errors is not to be used.
void read_message(const YamlNode& node, const YamlReadOptions& options,
                  google::protobuf::Message* message, YamlReport* report);

// The fields that are set, in the order of their numbers.
YamlNode message_tree(const google::protobuf::Message& message);

}  // namespace sluice
