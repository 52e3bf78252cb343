#include "tests/support/kube/json_ops.h"

#include <algorithm>

namespace sluice::test::kube {
namespace {

struct KeyedList {
  std::string_view kind, path;
  std::vector<std::string_view> keys;
};
// x-kubernetes-list-map-keys of the API's schema.
const std::vector<KeyedList>& keyed_lists() {
  static const std::vector<KeyedList> lists = {
      {"", "metadata.ownerReferences", {"uid"}},
      {"Service", "spec.ports", {"port", "protocol"}},
      {"Service", "status.conditions", {"type"}},
      {"Node", "status.conditions", {"type"}},
      {"Node", "status.addresses", {"type"}},
      {"Pod", "status.conditions", {"type"}},
      {"Pod", "status.podIPs", {"ip"}},
      {"Pod", "spec.containers", {"name"}},
      {"Namespace", "status.conditions", {"type"}},
  };
  return lists;
}

bool same_keys(const json::value& one, const json::value& other,
               const std::vector<std::string_view>& keys) {
  if (!one.is_object() || !other.is_object()) return false;
  return std::all_of(keys.begin(), keys.end(), [&](std::string_view key) {
    const json::value* left = one.get_object().if_contains(key);
    const json::value* right = other.get_object().if_contains(key);
    if (key == "protocol") {  // Defaults to TCP.
      const json::value tcp("TCP");
      return (left != nullptr ? *left : tcp) == (right != nullptr ? *right : tcp);
    }
    return left != nullptr && right != nullptr && *left == *right;
  });
}

// Strategic merge merges the ports of a Service by the port alone.
std::vector<std::string_view> merge_keys(std::string_view kind, const std::string& path) {
  std::vector<std::string_view> keys = list_keys(kind, path);
  if (path == "spec.ports") keys = {"port"};
  return keys;
}

void merge_list(json::array& target, const json::array& patch, std::string_view kind,
                const std::string& path, const std::vector<std::string_view>& keys) {
  for (const json::value& element : patch) {
    const auto found = std::find_if(target.begin(), target.end(), [&](const json::value& old) {
      return same_keys(old, element, keys);
    });
    const bool gone = element.is_object() && element.get_object().contains("$patch") &&
                      element.at("$patch") == "delete";
    if (gone && found != target.end()) {
      target.erase(found);
    } else if (!gone && found != target.end()) {
      strategic_merge(*found, element, kind, path);
    } else if (!gone) {
      target.push_back(element);
    }
  }
}

std::string unescaped(std::string_view token) {
  std::string text;
  for (std::size_t i = 0; i < token.size(); ++i) {
    if (token[i] == '~' && i + 1 < token.size()) {
      text += token[++i] == '1' ? '/' : '~';
    } else {
      text += token[i];
    }
  }
  return text;
}

bool array_index(const std::string& token, std::size_t size, std::size_t& out) {
  if (token.empty() || token.size() > 6 ||
      token.find_first_not_of("0123456789") != std::string::npos) {
    return false;
  }
  out = std::stoul(token);
  return out < size;
}

// The value that holds the last token of a JSON pointer, and that token.
Result<json::value*> parent_of(json::value& root, std::string_view pointer, std::string& last) {
  if (pointer.empty() || pointer[0] != '/') return Error{"invalid path"};
  json::value* here = &root;
  pointer.remove_prefix(1);
  while (true) {
    const std::size_t slash = pointer.find('/');
    const std::string token = unescaped(pointer.substr(0, slash));
    if (slash == std::string_view::npos) {
      last = token;
      return here;
    }
    pointer.remove_prefix(slash + 1);
    json::value* next = nullptr;
    std::size_t index = 0;
    if (here->is_object()) {
      next = here->get_object().if_contains(token);
    } else if (here->is_array() && array_index(token, here->get_array().size(), index)) {
      next = &here->get_array()[index];
    }
    if (next == nullptr) return Error{"missing path: " + token};
    here = next;
  }
}

Status json_operation(json::value& target, const json::object& operation) {
  const std::string op = text_at(operation, {"op"});
  const std::string path = text_at(operation, {"path"});
  std::string last;
  Result<json::value*> parent = parent_of(target, path, last);
  if (!parent)
    return Error{op + " operation does not apply: doc is missing path: \"" + path + "\""};
  const json::value* value = operation.if_contains("value");
  if (op != "remove" && value == nullptr) return Error{"operation " + op + " without a value"};
  std::size_t index = 0;
  if ((*parent)->is_object()) {
    json::object& object = (*parent)->get_object();
    const bool there = object.contains(last);
    if (op != "add" && !there) {
      return Error{op + " operation does not apply: doc is missing key: " + path};
    }
    if (op == "test") {
      return equal(object.at(last), *value) ? Status(Ok{})
                                            : Error{"testing path " + path + " failed"};
    }
    if (op == "remove") {
      drop(object, last);
    } else {
      object[last] = *value;
    }
    return Ok{};
  }
  if (!(*parent)->is_array()) return Error{"path " + path + " is no list and no object"};
  json::array& array = (*parent)->get_array();
  if (op == "add" && last == "-") {
    array.push_back(*value);
    return Ok{};
  }
  if (!array_index(last, array.size() + (op == "add" ? 1 : 0), index)) {
    return Error{"Unable to access invalid index: " + last};
  }
  const auto place = array.begin() + static_cast<std::ptrdiff_t>(index);
  if (op == "add") {
    array.insert(place, *value);
  } else if (op == "remove") {
    array.erase(place);
  } else if (op == "replace") {
    *place = *value;
  } else if (op == "test" && !equal(*place, *value)) {
    return Error{"testing path " + path + " failed"};
  }
  return Ok{};
}

}  // namespace

std::vector<std::string_view> list_keys(std::string_view kind, const std::string& path) {
  for (const KeyedList& list : keyed_lists()) {
    if ((list.kind.empty() || list.kind == kind) && list.path == path) return list.keys;
  }
  return {};
}

void merge_patch(json::value& target, const json::value& patch) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  if (!target.is_object()) target.emplace_object();
  json::object& object = target.get_object();
  for (const auto& [name, value] : patch.get_object()) {
    if (value.is_null()) {
      drop(object, name);
    } else {
      merge_patch(object[name], value);
    }
  }
}

void strategic_merge(json::value& target, const json::value& patch, std::string_view kind,
                     const std::string& path) {
  if (!patch.is_object()) {
    target = patch;
    return;
  }
  const json::value* directive = patch.get_object().if_contains("$patch");
  if (!target.is_object() || (directive != nullptr && *directive == "replace")) {
    target.emplace_object();
  }
  json::object& object = target.get_object();
  for (const auto& [name, value] : patch.get_object()) {
    if (!name.empty() && name[0] == '$') continue;
    const std::string below = path.empty() ? std::string(name) : path + "." + std::string(name);
    if (value.is_null()) {
      drop(object, name);
      continue;
    }
    const std::vector<std::string_view> keys = merge_keys(kind, below);
    json::value& member = object[name];
    if (value.is_array() && !keys.empty()) {
      if (!member.is_array()) member.emplace_array();
      merge_list(member.get_array(), value.get_array(), kind, below, keys);
    } else {
      strategic_merge(member, value, kind, below);
    }
  }
}

Status json_patch(json::value& target, const json::value& patch) {
  if (!patch.is_array()) return Error{"a JSON patch is a list of operations"};
  for (const json::value& operation : patch.get_array()) {
    if (!operation.is_object()) return Error{"an operation is an object"};
    if (Status done = json_operation(target, operation.get_object()); !done) return done;
  }
  return Ok{};
}

Result<json::object> parse_object(const std::string& text) {
  boost::system::error_code error;
  json::value value = json::parse(text, error);
  if (error) return Error{"couldn't get version/kind; json parse error: " + error.message()};
  if (!value.is_object()) return Error{"couldn't get version/kind; json parse error: no object"};
  return std::move(value.get_object());
}

const json::value* at(const json::object& object, std::initializer_list<std::string_view> names) {
  const json::object* here = &object;
  const json::value* found = nullptr;
  for (const std::string_view name : names) {
    if (here == nullptr) return nullptr;
    found = here->if_contains(name);
    if (found == nullptr) return nullptr;
    here = found->if_object();
  }
  return found;
}

const json::value* at(const json::value& value, std::initializer_list<std::string_view> names) {
  return value.is_object() ? at(value.get_object(), names) : nullptr;
}

std::string text_at(const json::object& object, std::initializer_list<std::string_view> names) {
  const json::value* value = at(object, names);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

json::object& child(json::object& object, std::string_view name) {
  json::value& value = object[name];
  if (!value.is_object()) value.emplace_object();
  return value.get_object();
}

void drop(json::object& object, std::string_view name) {
  object.stable_erase(name);  // erase() would put the last member in its place.
}

bool equal(const json::value& one, const json::value& other) {
  return one == other;
}

}  // namespace sluice::test::kube
