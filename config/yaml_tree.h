// YAML text as a tree of plain values that remember where they stood; JSON is read as the YAML it
// is. Ownership: by value. Thread: any. Shapes: lines and columns count from 1. Errors: text
// starting with FILE:LINE:COLUMN. Input is bounded (YamlLimits); anchors and aliases are refused,
// so that a short text cannot stand for a huge tree; so are duplicate keys.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proto/result.h"

namespace sluice {

struct YamlMark {
  int line = 0;
  int column = 0;
};

struct YamlNode {
  enum class Kind { null, scalar, sequence, map };

  Kind kind = Kind::null;
  YamlMark mark;
  std::string scalar;
  bool plain = false;           // A scalar without quotes: it may be a number or a boolean.
  std::vector<YamlNode> items;  // Of a sequence; of a map: the values, in the order of `keys`.
  std::vector<std::string> keys;

  // The value under `key` of a map; null if there is none.
  const YamlNode* find(std::string_view key) const;
  // Appends to a map or a sequence under construction.
  YamlNode& add(std::string key, YamlNode value);
  static YamlNode string(std::string text);
  static YamlNode literal(std::string text);  // A number or a boolean.
  static YamlNode map();
  static YamlNode sequence();
};

struct YamlLimits {
  std::size_t bytes = std::size_t{64} << 20;
  std::size_t nodes = 8'000'000;
  std::size_t depth = 64;
};

// What an unquoted scalar stands for. Booleans are those of YAML 1.1, as Kubernetes' tools read
// them.
bool yaml_is_bool(std::string_view text, bool* value);
bool yaml_is_number(std::string_view text);

// All documents of a text; empty ones are left out.
Result<std::vector<YamlNode>> parse_yaml(std::string_view text, const std::string& file,
                                         const YamlLimits& limits = {});
Result<std::string> read_text_file(const std::string& path, std::size_t limit = YamlLimits{}.bytes);

// "FILE:LINE:COLUMN".
std::string yaml_where(const std::string& file, YamlMark mark);

// Text of a tree; both end with a newline and read back as the same tree.
std::string yaml_text(const YamlNode& node);
std::string json_text(const YamlNode& node);

}  // namespace sluice
