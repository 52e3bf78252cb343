#include "config/yaml_message.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <limits>
#include <numeric>
#include <set>

#include "proto/address.h"

namespace sluice {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

const FieldDescriptor* field_by_json_name(const Descriptor* type, const std::string& name) {
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->json_name() == name) return type->field(i);
  }
  return nullptr;
}

std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      const bool same = std::tolower(a[i - 1]) == std::tolower(b[j - 1]);
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (same ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

std::string unknown_field_text(const Descriptor* type, const std::string& name) {
  std::string closest;
  std::string all;
  std::size_t best = name.size() / 3 + 2;
  for (int i = 0; i < type->field_count(); ++i) {
    const std::string& known = type->field(i)->json_name();
    all += (i == 0 ? "" : ", ") + known;
    if (const std::size_t d = edit_distance(name, known); name.size() < 64 && d < best) {
      best = d;
      closest = known;
    }
  }
  if (!closest.empty()) return "there is no such field; did you mean \"" + closest + "\"?";
  return "there is no such field; known here: " + all;
}

const char* kind_text(const YamlNode& node) {
  switch (node.kind) {
    case YamlNode::Kind::null:
      return "nothing";
    case YamlNode::Kind::map:
      return "a map";
    case YamlNode::Kind::sequence:
      return "a list";
    case YamlNode::Kind::scalar:
      break;
  }
  return node.plain ? "a plain value" : "a quoted text";
}

class Reader {
 public:
  Reader(const YamlReadOptions& options, YamlReport* report)
      : options_(options), report_(*report) {}

  void read(const YamlNode& node, const std::string& path, Message* message) {
    note(path, node);
    if (node.kind == YamlNode::Kind::null) return;
    if (message->GetDescriptor()->full_name() == "sluice.v1.IntOrString") {
      read_int_or_string(node, path, message);
      return;
    }
    if (node.kind != YamlNode::Kind::map) {
      error(path, std::string("expected a map of fields, found ") + kind_text(node));
      return;
    }
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const std::string& key = node.keys[i];
      const std::string field_path = path.empty() ? key : path + "." + key;
      const FieldDescriptor* field = field_by_json_name(message->GetDescriptor(), key);
      if (field != nullptr) {
        read_field(node.items[i], field_path, field, message);
      } else if (!path.empty() || !is_ignored(key)) {
        unknown(node.items[i], field_path, key, message->GetDescriptor());
      }
    }
  }

 private:
  bool is_ignored(const std::string& key) const {
    return std::find(options_.ignored.begin(), options_.ignored.end(), key) !=
           options_.ignored.end();
  }
  void note(const std::string& path, const YamlNode& node) {
    report_.places[path] = {options_.file, node.mark};
  }
  void error(const std::string& path, const std::string& text) {
    if (report_.errors.size() < options_.max_errors) report_.error_at(path, text);
  }

  void unknown(const YamlNode& node, const std::string& path, const std::string& key,
               const Descriptor* type) {
    const std::string general = general_path(path);
    if (!options_.passed_over || !options_.passed_over(general)) {
      note(path, node);
      const std::string text = unknown_field_text(type, key);
      if (options_.unknown == UnknownFields::refuse) return error(path, text);
      if (report_.unknown_errors.size() < options_.max_errors)
        report_.unknown_errors.push_back(report_.line_of(path, text));
    }
    if (unknown_seen_.size() < options_.max_unknown && unknown_seen_.insert(general).second) {
      report_.unknown_fields.push_back(general);
    }
  }

  static std::string general_path(const std::string& path) {
    std::string general;
    for (std::size_t i = 0; i < path.size(); ++i) {
      general += path[i];
      if (path[i] == '[') i = path.find(']', i) - 1;
    }
    return general;
  }

  void read_field(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                  Message* message) {
    if (node.kind == YamlNode::Kind::null) return;
    note(path, node);
    const Reflection* reflection = message->GetReflection();
    if (field->is_map()) {
      read_map(node, path, field, message);
    } else if (field->is_repeated()) {
      reflection->ClearField(message, field);
      if (node.kind != YamlNode::Kind::sequence) {
        error(path, std::string("expected a list, found ") + kind_text(node));
        return;
      }
      for (std::size_t i = 0; i < node.items.size(); ++i) {
        const std::string item_path = path + "[" + std::to_string(i) + "]";
        note(item_path, node.items[i]);
        if (node.items[i].kind == YamlNode::Kind::null) {
          error(item_path, "an empty list element; leave it out");
        } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
          read(node.items[i], item_path, reflection->AddMessage(message, field));
        } else {
          read_scalar(node.items[i], item_path, field, message, true);
        }
      }
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      read(node, path, reflection->MutableMessage(message, field));
    } else {
      read_scalar(node, path, field, message, false);
    }
  }

  // Only map<string, string> occurs.
  void read_map(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                Message* message) {
    const Reflection* reflection = message->GetReflection();
    reflection->ClearField(message, field);
    if (node.kind != YamlNode::Kind::map) {
      error(path, std::string("expected a map, found ") + kind_text(node));
      return;
    }
    const FieldDescriptor* key_field = field->message_type()->map_key();
    const FieldDescriptor* value_field = field->message_type()->map_value();
    for (std::size_t i = 0; i < node.keys.size(); ++i) {
      const std::string item_path = path + "[" + node.keys[i] + "]";
      note(item_path, node.items[i]);
      Message* entry = reflection->AddMessage(message, field);
      entry->GetReflection()->SetString(entry, key_field, node.keys[i]);
      if (node.items[i].kind != YamlNode::Kind::null) {
        read_scalar(node.items[i], item_path, value_field, entry, false);
      }
    }
  }

  void read_int_or_string(const YamlNode& node, const std::string& path, Message* message) {
    if (node.kind != YamlNode::Kind::scalar) {
      error(path, std::string("expected a number or a name, found ") + kind_text(node));
      return;
    }
    const Descriptor* type = message->GetDescriptor();
    const bool number = node.plain && yaml_is_number(node.scalar);
    read_scalar(node, path, type->FindFieldByName(number ? "number" : "name"), message, false);
  }

  template <typename T>
  void read_integer(const YamlNode& node, const std::string& path,
                    void (Reflection::*set)(Message*, const FieldDescriptor*, T) const,
                    void (Reflection::*add)(Message*, const FieldDescriptor*, T) const,
                    const FieldDescriptor* field, Message* message, bool repeated) {
    const std::string& text = node.scalar;
    const char* begin = text.data() + (text.starts_with("+") ? 1 : 0);
    const char* end = text.data() + text.size();
    T value{};
    const auto [stop, code] = std::from_chars(begin, end, value);
    if (node.plain && code == std::errc() && stop == end) {
      (message->GetReflection()->*(repeated ? add : set))(message, field, value);
      return;
    }
    using Limits = std::numeric_limits<T>;
    const std::string range =
        std::to_string(Limits::min()) + " to " + std::to_string(Limits::max());
    if (!node.plain && yaml_is_number(text)) {
      error(path, "\"" + text + "\" is a text; write the number without quotes");
    } else if (yaml_is_number(text)) {
      error(path, text + " is not a whole number from " + range);
    } else {
      error(path, "\"" + text + "\" is not a number");
    }
  }

  void read_string(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                   Message* message, bool repeated) {
    bool ignored = false;
    if (options_.strict_strings && node.plain &&
        (yaml_is_number(node.scalar) || yaml_is_bool(node.scalar, &ignored))) {
      error(path, node.scalar + " is not a text; write \"" + node.scalar + "\" in quotes");
      return;
    }
    const Reflection* reflection = message->GetReflection();
    if (repeated) {
      reflection->AddString(message, field, node.scalar);
    } else {
      reflection->SetString(message, field, node.scalar);
    }
  }

  void read_scalar(const YamlNode& node, const std::string& path, const FieldDescriptor* field,
                   Message* message, bool repeated) {
    if (node.kind != YamlNode::Kind::scalar) {
      error(path, std::string("expected a single value, found ") + kind_text(node));
      return;
    }
    switch (field->cpp_type()) {
      case FieldDescriptor::CPPTYPE_STRING:
        return read_string(node, path, field, message, repeated);
      case FieldDescriptor::CPPTYPE_INT32:
        return read_integer<std::int32_t>(node, path, &Reflection::SetInt32, &Reflection::AddInt32,
                                          field, message, repeated);
      case FieldDescriptor::CPPTYPE_INT64:
        return read_integer<std::int64_t>(node, path, &Reflection::SetInt64, &Reflection::AddInt64,
                                          field, message, repeated);
      case FieldDescriptor::CPPTYPE_UINT32:
        return read_integer<std::uint32_t>(node, path, &Reflection::SetUInt32,
                                           &Reflection::AddUInt32, field, message, repeated);
      case FieldDescriptor::CPPTYPE_UINT64:
        return read_integer<std::uint64_t>(node, path, &Reflection::SetUInt64,
                                           &Reflection::AddUInt64, field, message, repeated);
      case FieldDescriptor::CPPTYPE_BOOL: {
        bool value = false;
        if (!node.plain || !yaml_is_bool(node.scalar, &value)) {
          error(path, "\"" + node.scalar + "\" is neither true nor false (without quotes)");
        } else {
          message->GetReflection()->SetBool(message, field, value);
        }
        return;
      }
      default:
        error(path, "cannot be set from a file");
    }
  }

  const YamlReadOptions& options_;
  YamlReport& report_;
  std::set<std::string> unknown_seen_;
};

// Bytes that have an address's length are one in every message of ours.
std::string bytes_text(const std::string& bytes) {
  if (const auto address = IpAddress::from_bytes(bytes)) return address->text();
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

YamlNode value_tree(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* r = message.GetReflection();
  const bool repeated = index >= 0;
  const auto number = [](auto value) { return YamlNode::literal(std::to_string(value)); };
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return message_tree(repeated ? r->GetRepeatedMessage(message, field, index)
                                   : r->GetMessage(message, field));
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text =
          repeated ? r->GetRepeatedString(message, field, index) : r->GetString(message, field);
      const bool bytes = field->type() == FieldDescriptor::TYPE_BYTES;
      return YamlNode::string(bytes ? bytes_text(text) : text);
    }
    case FieldDescriptor::CPPTYPE_INT32:
      return number(repeated ? r->GetRepeatedInt32(message, field, index)
                             : r->GetInt32(message, field));
    case FieldDescriptor::CPPTYPE_INT64:
      return number(repeated ? r->GetRepeatedInt64(message, field, index)
                             : r->GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT32:
      return number(repeated ? r->GetRepeatedUInt32(message, field, index)
                             : r->GetUInt32(message, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return number(repeated ? r->GetRepeatedUInt64(message, field, index)
                             : r->GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_BOOL: {
      const bool value =
          repeated ? r->GetRepeatedBool(message, field, index) : r->GetBool(message, field);
      return YamlNode::literal(value ? "true" : "false");
    }
    case FieldDescriptor::CPPTYPE_ENUM:
      return YamlNode::string(std::string(
          (repeated ? r->GetRepeatedEnum(message, field, index) : r->GetEnum(message, field))
              ->name()));
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      break;  // In no message of ours.
  }
  return {};
}

YamlNode map_tree(const Message& message, const FieldDescriptor* field) {
  const Reflection* r = message.GetReflection();
  std::map<std::string, YamlNode> sorted;
  for (int i = 0; i < r->FieldSize(message, field); ++i) {
    const Message& entry = r->GetRepeatedMessage(message, field, i);
    sorted[entry.GetReflection()->GetString(entry, field->message_type()->map_key())] =
        value_tree(entry, field->message_type()->map_value(), -1);
  }
  YamlNode tree = YamlNode::map();
  for (auto& [key, value] : sorted) tree.add(key, std::move(value));
  return tree;
}

}  // namespace

std::string YamlReport::where(const std::string& path) const {
  for (std::string at = path;;) {
    if (const auto place = places.find(at); place != places.end()) {
      return yaml_where(place->second.file, place->second.mark);
    }
    if (at.empty()) return "";
    const auto end = at.find_last_of(".[");
    at.resize(end == std::string::npos ? 0 : end);
  }
}

std::string YamlReport::line_of(const std::string& path, const std::string& text) const {
  std::string line = where(path);
  if (!line.empty()) line += ": ";
  if (!path.empty()) line += path + ": ";
  return line + text;
}

void YamlReport::error_at(const std::string& path, const std::string& text) {
  errors.push_back(line_of(path, text));
}

void read_message(const YamlNode& node, const YamlReadOptions& options, Message* message,
                  YamlReport* report) {
  Reader(options, report).read(node, "", message);
}

YamlNode message_tree(const Message& message) {
  if (message.GetDescriptor()->full_name() == "sluice.v1.IntOrString") {
    const Reflection* r = message.GetReflection();
    const FieldDescriptor* set =
        r->GetOneofFieldDescriptor(message, message.GetDescriptor()->oneof_decl(0));
    return set == nullptr ? YamlNode() : value_tree(message, set, -1);
  }
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  YamlNode tree = YamlNode::map();
  for (const FieldDescriptor* field : fields) {
    if (field->is_map()) {
      tree.add(field->json_name(), map_tree(message, field));
    } else if (field->is_repeated()) {
      YamlNode list = YamlNode::sequence();
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i) {
        list.add("", value_tree(message, field, i));
      }
      tree.add(field->json_name(), std::move(list));
    } else {
      tree.add(field->json_name(), value_tree(message, field, -1));
    }
  }
  return tree;
}

}  // namespace sluice
