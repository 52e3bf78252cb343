#include "config/yaml_tree.h"

#include <yaml-cpp/anchor.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

namespace sluice {
namespace {

YamlMark to_mark(const YAML::Mark& mark) {
  return {mark.line + 1, mark.column + 1};
}

// Ends the parser from within; never leaves parse_yaml.
struct Refusal {
  YamlMark mark;
  std::string text;
};

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(const YamlLimits& limits, std::vector<YamlNode>* documents)
      : limits_(limits), documents_(documents) {}

  // At a token that can begin nothing, a comma for instance, yaml-cpp 0.7 gives one empty document
  // after the other and never moves on.
  void OnDocumentStart(const YAML::Mark& mark) override {
    if (started_at_ == mark.pos) throw Refusal{to_mark(mark), "not YAML: nothing can begin here"};
    started_at_ = mark.pos;
    stack_.clear();
    root_.reset();
  }
  void OnDocumentEnd() override {
    if (root_ && root_->kind != YamlNode::Kind::null) documents_->push_back(std::move(*root_));
    root_.reset();
  }
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    add_leaf(mark, anchor, YamlNode::Kind::null, "", true);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw Refusal{to_mark(mark), "aliases are not taken; write the value out"};
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check_tag(mark, tag);
    const bool plain = tag == "?" || tag.empty();
    const bool null = plain && (value == "~" || value == "null" || value == "Null" ||
                                value == "NULL" || value.empty());
    add_leaf(mark, anchor, null && !expects_key() ? YamlNode::Kind::null : YamlNode::Kind::scalar,
             value, plain);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::map);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Open {
    YamlNode node;
    std::optional<std::string> key;  // Read, its value not yet.
    std::set<std::string> seen;
  };

  static void check_tag(const YAML::Mark& mark, const std::string& tag) {
    if (tag.empty() || tag == "?" || tag == "!") return;
    throw Refusal{to_mark(mark), "the tag " + tag + " is not taken; leave it out"};
  }
  bool expects_key() const {
    return !stack_.empty() && stack_.back().node.kind == YamlNode::Kind::map && !stack_.back().key;
  }
  void count(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) throw Refusal{to_mark(mark), "anchors are not taken; write the value out"};
    if (++nodes_ > limits_.nodes) {
      throw Refusal{to_mark(mark),
                    "more than " + std::to_string(limits_.nodes) + " values; split the file"};
    }
  }
  void add_leaf(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Kind kind,
                const std::string& value, bool plain) {
    count(mark, anchor);
    if (expects_key()) {
      Open& map = stack_.back();
      if (!map.seen.insert(value).second) {
        throw Refusal{to_mark(mark), "the key \"" + value + "\" is given twice"};
      }
      map.key = value;
      return;
    }
    YamlNode node;
    node.kind = kind;
    node.mark = to_mark(mark);
    node.scalar = value;
    node.plain = plain;
    place(std::move(node));
  }
  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    check_tag(mark, tag);
    count(mark, anchor);
    if (expects_key()) throw Refusal{to_mark(mark), "a key must be text, not a map or a list"};
    if (stack_.size() >= limits_.depth) {
      throw Refusal{to_mark(mark),
                    "nested deeper than " + std::to_string(limits_.depth) + " levels"};
    }
    Open next;
    next.node.kind = kind;
    next.node.mark = to_mark(mark);
    stack_.push_back(std::move(next));
  }
  void close() {
    YamlNode node = std::move(stack_.back().node);
    stack_.pop_back();
    place(std::move(node));
  }
  void place(YamlNode node) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& parent = stack_.back();
    if (parent.node.kind == YamlNode::Kind::map) {
      parent.node.keys.push_back(std::move(*parent.key));
      parent.key.reset();
    }
    parent.node.items.push_back(std::move(node));
  }

  const YamlLimits& limits_;
  std::vector<YamlNode>* documents_;
  std::vector<Open> stack_;
  std::optional<YamlNode> root_;
  std::size_t nodes_ = 0;
  int started_at_ = -1;  // Where in the text the document began.
};

}  // namespace

const YamlNode* YamlNode::find(std::string_view key) const {
  if (kind != Kind::map) return nullptr;
  const auto at = std::find(keys.begin(), keys.end(), key);
  return at == keys.end() ? nullptr : &items[static_cast<std::size_t>(at - keys.begin())];
}

YamlNode& YamlNode::add(std::string key, YamlNode value) {
  if (kind == Kind::map) keys.push_back(std::move(key));
  items.push_back(std::move(value));
  return items.back();
}

YamlNode YamlNode::string(std::string text) {
  YamlNode node;
  node.kind = Kind::scalar;
  node.scalar = std::move(text);
  return node;
}

YamlNode YamlNode::literal(std::string text) {
  YamlNode node = string(std::move(text));
  node.plain = true;
  return node;
}

YamlNode YamlNode::map() {
  YamlNode node;
  node.kind = Kind::map;
  return node;
}

YamlNode YamlNode::sequence() {
  YamlNode node;
  node.kind = Kind::sequence;
  return node;
}

std::string yaml_where(const std::string& file, YamlMark mark) {
  return file + ":" + std::to_string(mark.line) + ":" + std::to_string(mark.column);
}

bool yaml_is_bool(std::string_view text, bool* value) {
  static constexpr std::array<std::string_view, 9> yes{"true", "True", "TRUE", "yes", "Yes",
                                                       "YES",  "on",   "On",   "ON"};
  static constexpr std::array<std::string_view, 9> no{"false", "False", "FALSE", "no", "No",
                                                      "NO",    "off",   "Off",   "OFF"};
  *value = std::find(yes.begin(), yes.end(), text) != yes.end();
  return *value || std::find(no.begin(), no.end(), text) != no.end();
}

// Decimal integers and floating point, 0x..., 0o..., .inf and .nan: what YAML's core schema
// resolves.
bool yaml_is_number(std::string_view text) {
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text == ".inf" || text == ".Inf" || text == ".INF" || text == ".nan" || text == ".NaN" ||
      text == ".NAN") {
    return true;
  }
  const auto all = [](std::string_view part, std::string_view digits) {
    return !part.empty() && part.find_first_not_of(digits) == std::string_view::npos;
  };
  if (text.starts_with("0x")) return all(text.substr(2), "0123456789abcdefABCDEF");
  if (text.starts_with("0o")) return all(text.substr(2), "01234567");
  constexpr std::string_view digits = "0123456789";
  std::string_view mantissa = text;
  if (const auto e = text.find_first_of("eE"); e != std::string_view::npos) {
    std::string_view exponent = text.substr(e + 1);
    if (!exponent.empty() && (exponent[0] == '-' || exponent[0] == '+')) exponent.remove_prefix(1);
    if (!all(exponent, digits)) return false;
    mantissa = text.substr(0, e);
  }
  const auto dot = mantissa.find('.');
  if (dot == std::string_view::npos) return all(mantissa, digits);
  const std::string_view whole = mantissa.substr(0, dot);
  const std::string_view fraction = mantissa.substr(dot + 1);
  return (whole.empty() || all(whole, digits)) && (fraction.empty() || all(fraction, digits)) &&
         !(whole.empty() && fraction.empty());
}

Result<std::vector<YamlNode>> parse_yaml(std::string_view text, const std::string& file,
                                         const YamlLimits& limits) {
  if (text.size() > limits.bytes) {
    return Error{file + ": longer than " + std::to_string(limits.bytes) + " bytes; split the file"};
  }
  if (const auto nul = text.find('\0'); nul != std::string_view::npos) {
    const auto line =
        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(nul), '\n');
    return Error{file + ":" + std::to_string(line + 1) + ": a zero byte: this is not a text file"};
  }
  std::vector<YamlNode> documents;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder(limits, &documents);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refusal& refusal) {
    return Error{yaml_where(file, refusal.mark) + ": " + refusal.text};
  } catch (const YAML::Exception& e) {
    return Error{yaml_where(file, to_mark(e.mark)) + ": not YAML: " + e.msg};
  }
  return documents;
}

Result<std::string> read_text_file(const std::string& path, std::size_t limit) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return Error{path + ": cannot be opened: is it there, and readable?"};
  std::string text;
  std::array<char, 65536> chunk;
  while (in.read(chunk.data(), chunk.size()) || in.gcount() > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(in.gcount()));
    if (text.size() > limit) {
      return Error{path + ": longer than " + std::to_string(limit) + " bytes"};
    }
  }
  if (in.bad()) return Error{path + ": cannot be read (is it a directory?)"};
  return text;
}

}  // namespace sluice
