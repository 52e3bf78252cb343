// Trees as YAML and as JSON.
#include <cstdio>

#include "config/yaml_tree.h"

namespace sluice {
namespace {

// Double quotes as JSON has them, which YAML takes too.
void append_quoted(const std::string& text, std::string* out) {
  *out += '"';
  for (const char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\t':
        *out += "\\t";
        break;
      case '\r':
        *out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          char escaped[8];
          std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned char>(c));
          *out += escaped;
        } else {
          *out += c;
        }
    }
  }
  *out += '"';
}

bool is_safe_plain(const std::string& text) {
  constexpr const char* kWord =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_/.-";
  if (text.empty() || text.find_first_not_of(kWord) != std::string::npos) return false;
  bool value = false;
  if (yaml_is_bool(text, &value) || yaml_is_number(text)) return false;
  if (text == "null" || text == "Null" || text == "NULL") return false;
  // A digit first may be a date, or a number to YAML 1.1 (0777, 1_000); a sign may begin a list.
  const bool address = text.find('.') != std::string::npos && text.find('-') == std::string::npos;
  if (text[0] >= '0' && text[0] <= '9') return address;
  return text[0] != '-' && text[0] != '.';
}

void append_scalar(const YamlNode& node, std::string* out) {
  if (node.kind == YamlNode::Kind::null) {
    *out += "null";
  } else if (node.plain || is_safe_plain(node.scalar)) {
    *out += node.scalar;
  } else {
    append_quoted(node.scalar, out);
  }
}

bool is_leaf(const YamlNode& node) {
  return node.kind == YamlNode::Kind::null || node.kind == YamlNode::Kind::scalar;
}

void append_key(const std::string& key, std::string* out) {
  if (is_safe_plain(key)) {
    *out += key;
  } else {
    append_quoted(key, out);
  }
}

// `inline_first`: the first line continues one that is begun ("- ").
void append_yaml(const YamlNode& node, unsigned indent, bool inline_first, std::string* out) {
  bool first = inline_first;
  const auto begin_line = [&] {
    if (!first) out->append(indent, ' ');
    first = false;
  };
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    const YamlNode& value = node.items[i];
    const bool in_map = node.kind == YamlNode::Kind::map;
    begin_line();
    if (in_map) {
      append_key(node.keys[i], out);
      *out += ':';
    } else {
      *out += '-';
    }
    if (is_leaf(value)) {
      *out += ' ';
      append_scalar(value, out);
      *out += '\n';
    } else if (value.items.empty()) {
      *out += value.kind == YamlNode::Kind::map ? " {}\n" : " []\n";
    } else if (in_map) {
      *out += '\n';
      append_yaml(value, value.kind == YamlNode::Kind::map ? indent + 2 : indent, false, out);
    } else {
      *out += ' ';
      append_yaml(value, indent + 2, true, out);
    }
  }
}

// Whole numbers and booleans are all the literals messages have; other plain text needs quotes.
bool is_json_literal(const YamlNode& node) {
  if (!node.plain) return false;
  if (node.scalar == "true" || node.scalar == "false" || node.scalar == "0") return true;
  const std::size_t sign = node.scalar.starts_with("-") ? 1 : 0;
  return node.scalar.size() > sign && node.scalar[sign] != '0' &&
         node.scalar.find_first_not_of("0123456789", sign) == std::string::npos;
}

void append_json(const YamlNode& node, unsigned indent, std::string* out) {
  if (node.kind == YamlNode::Kind::null || is_json_literal(node)) {
    append_scalar(node, out);
    return;
  }
  if (node.kind == YamlNode::Kind::scalar) {
    append_quoted(node.scalar, out);
    return;
  }
  const bool in_map = node.kind == YamlNode::Kind::map;
  *out += in_map ? '{' : '[';
  for (std::size_t i = 0; i < node.items.size(); ++i) {
    *out += i == 0 ? "\n" : ",\n";
    out->append(indent + 2, ' ');
    if (in_map) {
      append_quoted(node.keys[i], out);
      *out += ": ";
    }
    append_json(node.items[i], indent + 2, out);
  }
  if (!node.items.empty()) {
    *out += '\n';
    out->append(indent, ' ');
  }
  *out += in_map ? '}' : ']';
}

}  // namespace

std::string yaml_text(const YamlNode& node) {
  std::string out;
  if (is_leaf(node)) {
    append_scalar(node, &out);
    out += '\n';
  } else if (node.items.empty()) {
    out = node.kind == YamlNode::Kind::map ? "{}\n" : "[]\n";
  } else {
    append_yaml(node, 0, false, &out);
  }
  return out;
}

std::string json_text(const YamlNode& node) {
  std::string out;
  append_json(node, 0, &out);
  out += '\n';
  return out;
}

}  // namespace sluice
