#include "config/config_file.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/util/message_differencer.h>

#include <filesystem>

namespace sluice {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::size_t kMaxBytes = 1 << 20;

void collect_changes(const Message& before, const Message& after, const std::string& path,
                     std::vector<std::string>* changes) {
  for (int i = 0; i < before.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = before.GetDescriptor()->field(i);
    const std::string field_path =
        path.empty() ? field->json_name() : path + "." + field->json_name();
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field->is_repeated()) {
      collect_changes(before.GetReflection()->GetMessage(before, field),
                      after.GetReflection()->GetMessage(after, field), field_path, changes);
      continue;
    }
    google::protobuf::util::MessageDifferencer differencer;
    if (!differencer.CompareWithFields(before, after, {field}, {field}))
      changes->push_back(field_path);
  }
}

void read_over(const YamlNode& node, const std::string& file, Message* config, YamlReport* report) {
  YamlReadOptions options;
  options.file = file;
  read_message(node, options, config, report);
}

}  // namespace

Result<std::optional<std::string>> read_config_file(const std::string& path,
                                                    const char* default_path) {
  std::error_code ignored;
  if (path.empty() || (path == default_path && !std::filesystem::exists(path, ignored))) {
    return std::optional<std::string>();
  }
  auto text = read_text_file(path, kMaxBytes);
  if (!text) return Error{text.error()};
  return std::optional<std::string>(std::move(*text));
}

Status read_config_over(const ConfigDefaults& defaults, const std::string* text,
                        const std::string& file, Message* config, YamlReport* report) {
  auto nodes = parse_yaml(defaults.text, defaults.name);
  if (!nodes) return Error{nodes.error()};
  for (const YamlNode& node : *nodes) read_over(node, defaults.name, config, report);
  if (text == nullptr) return Ok{};
  auto documents = parse_yaml(*text, file, {.bytes = kMaxBytes, .nodes = 100'000, .depth = 16});
  if (!documents) return Error{documents.error()};
  if (documents->size() > 1) {
    return Error{yaml_where(file, (*documents)[1].mark) +
                 ": a second document; a configuration is one"};
  }
  for (const YamlNode& node : *documents) read_over(node, file, config, report);
  return Ok{};
}

std::string config_errors(const YamlReport& report) {
  std::string text;
  for (const std::string& line : report.errors) text += (text.empty() ? "" : "\n") + line;
  return text;
}

std::vector<std::string> changed_fields(const Message& before, const Message& after) {
  std::vector<std::string> changes;
  collect_changes(before, after, "", &changes);
  return changes;
}

}  // namespace sluice
