#include "tests/support/kube/fields.h"

#include <algorithm>

#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

struct Owner {
  std::string manager, operation, api_version, time, subresource;
  FieldSet fields;
};

bool servers_own(const std::string& path) {
  static const std::set<std::string, std::less<>> names = {"kind",
                                                           "apiVersion",
                                                           "metadata.name",
                                                           "metadata.namespace",
                                                           "metadata.uid",
                                                           "metadata.resourceVersion",
                                                           "metadata.creationTimestamp",
                                                           "metadata.generation",
                                                           "metadata.managedFields",
                                                           "metadata.selfLink",
                                                           "metadata.deletionTimestamp",
                                                           "metadata.deletionGracePeriodSeconds"};
  return names.contains(path);
}

// Maps whose keys are data: the map itself is a field too.
bool granular_map(const std::string& path) {
  return path == "metadata.labels" || path == "metadata.annotations";
}
bool atomic_map(std::string_view kind, const std::string& path) {
  return path == "spec.selector" && kind == "Service";
}

std::string key_of(const json::value& element, const std::vector<std::string_view>& keys) {
  json::object key;
  for (const std::string_view name : keys) {
    const json::value* value = at(element, {name});
    if (value != nullptr) {
      key[name] = *value;
    } else if (name == "protocol") {
      key[name] = "TCP";
    }
  }
  return "k:" + json::serialize(key);
}

void collect(const json::value& value, std::string_view kind, const std::string& path,
             FieldPath& here, FieldSet& out) {
  const auto below = [&](std::string element, const json::value& member, const std::string& name) {
    here.push_back(std::move(element));
    collect(member, kind, name, here, out);
    here.pop_back();
  };
  const auto itself = [&] {
    here.emplace_back(".");
    out.insert(here);
    here.pop_back();
  };
  const std::vector<std::string_view> keys = list_keys(kind, path);
  if (value.is_object() && !value.get_object().empty() && !atomic_map(kind, path)) {
    if (granular_map(path) || (!here.empty() && here.back().starts_with("k:"))) itself();
    for (const auto& [name, member] : value.get_object()) {
      const std::string inner = path.empty() ? std::string(name) : path + "." + std::string(name);
      if (!servers_own(inner)) below("f:" + std::string(name), member, inner);
    }
  } else if (value.is_array() && !keys.empty()) {
    itself();
    for (const json::value& element : value.get_array()) {
      below(key_of(element, keys), element, path + "[]");
    }
  } else if (!here.empty() && !value.is_null()) {
    out.insert(here);
  }
}

// The value a path names; for the "." of an element the element.
json::value* find_field(json::value& root, const FieldPath& path, std::size_t depth) {
  json::value* here = &root;
  for (std::size_t i = 0; i < depth && here != nullptr; ++i) {
    const std::string& step = path[i];
    if (step == ".") break;
    if (step.starts_with("f:")) {
      here = here->is_object() ? here->get_object().if_contains(step.substr(2)) : nullptr;
      continue;
    }
    if (!here->is_array()) return nullptr;
    const json::value key = json::parse(step.substr(2));
    json::value* found = nullptr;
    for (json::value& element : here->get_array()) {
      std::vector<std::string_view> names;
      for (const auto& [name, value] : key.get_object()) names.push_back(name);
      if (key_of(element, names) == step) found = &element;
    }
    here = found;
  }
  return here;
}

void remove_field(json::value& root, const FieldPath& path) {
  std::size_t length = path.size();
  if (path.back() == ".") --length;
  if (length == 0) return;
  json::value* parent = find_field(root, path, length - 1);
  if (parent == nullptr) return;
  const std::string& last = path[length - 1];
  if (last.starts_with("f:") && parent->is_object()) {
    drop(parent->get_object(), last.substr(2));
  } else if (last.starts_with("k:") && parent->is_array()) {
    json::value* element = find_field(root, path, length);
    json::array& array = parent->get_array();
    if (element != nullptr) array.erase(array.begin() + (element - array.data()));
  }
}

json::object to_trie(const FieldSet& fields) {
  json::object root;
  for (const FieldPath& path : fields) {
    json::object* here = &root;
    for (const std::string& step : path) here = &child(*here, step);
  }
  return root;
}

void from_trie(const json::object& trie, FieldPath& here, FieldSet& out) {
  for (const auto& [name, value] : trie) {
    here.emplace_back(name);
    if (value.is_object() && !value.get_object().empty()) {
      from_trie(value.get_object(), here, out);
    } else {
      out.insert(here);
    }
    here.pop_back();
  }
}

std::vector<Owner> owners_of(const json::object& object) {
  std::vector<Owner> owners;
  const json::value* list = at(object, {"metadata", "managedFields"});
  if (list == nullptr || !list->is_array()) return owners;
  for (const json::value& entry : list->get_array()) {
    if (!entry.is_object()) continue;
    const json::object& fields = entry.get_object();
    Owner owner{text_at(fields, {"manager"}),     text_at(fields, {"operation"}),
                text_at(fields, {"apiVersion"}),  text_at(fields, {"time"}),
                text_at(fields, {"subresource"}), {}};
    FieldPath here;
    if (const json::value* trie = at(fields, {"fieldsV1"}); trie != nullptr && trie->is_object()) {
      from_trie(trie->get_object(), here, owner.fields);
    }
    owners.push_back(std::move(owner));
  }
  return owners;
}

void write_owners(json::object& object, const std::vector<Owner>& owners) {
  json::array list;
  for (const Owner& owner : owners) {
    if (owner.fields.empty()) continue;
    json::object entry{{"manager", owner.manager},        {"operation", owner.operation},
                       {"apiVersion", owner.api_version}, {"time", owner.time},
                       {"fieldsType", "FieldsV1"},        {"fieldsV1", to_trie(owner.fields)}};
    if (!owner.subresource.empty()) entry["subresource"] = owner.subresource;
    list.push_back(std::move(entry));
  }
  child(object, "metadata")["managedFields"] = std::move(list);
}

Owner& owner_for(std::vector<Owner>& owners, const FieldWriter& writer, const char* operation) {
  for (Owner& owner : owners) {
    if (owner.manager == writer.manager && owner.operation == operation &&
        owner.subresource == writer.subresource && owner.api_version == writer.api_version) {
      return owner;
    }
  }
  owners.push_back(
      {writer.manager, operation, writer.api_version, writer.time, writer.subresource, {}});
  return owners.back();
}

bool differs(json::value& one, json::value& other, const FieldPath& path) {
  const json::value* left = find_field(one, path, path.size());
  const json::value* right = find_field(other, path, path.size());
  if (left == nullptr || right == nullptr) return left != right;
  return path.back() != "." && !equal(*left, *right);
}

std::string shown(const FieldPath& path) {
  std::string text;
  for (const std::string& step : path) {
    if (step == ".") break;
    if (step.starts_with("f:")) {
      text += "." + step.substr(2);
      continue;
    }
    const json::value key = json::parse(step.substr(2));
    std::string list;
    for (const auto& [name, value] : key.get_object()) {
      list += (list.empty() ? "" : ",") + std::string(name) + "=" + json::serialize(value);
    }
    text += "[" + list + "]";
  }
  return text;
}

void merge_applied(json::value& target, const json::value& config, std::string_view kind,
                   const std::string& path) {
  const std::vector<std::string_view> keys = list_keys(kind, path);
  if (config.is_array() && !keys.empty() && target.is_array()) {
    for (const json::value& element : config.get_array()) {
      json::value* same = nullptr;
      for (json::value& old : target.get_array()) {
        if (key_of(old, keys) == key_of(element, keys)) same = &old;
      }
      if (same != nullptr) {
        merge_applied(*same, element, kind, path + "[]");
      } else {
        target.get_array().push_back(element);
      }
    }
  } else if (config.is_object() && target.is_object() && !atomic_map(kind, path)) {
    for (const auto& [name, member] : config.get_object()) {
      const std::string inner = path.empty() ? std::string(name) : path + "." + std::string(name);
      if (!servers_own(inner)) merge_applied(target.get_object()[name], member, kind, inner);
    }
  } else {
    target = config;
  }
}

// Does anyone own this field, or something inside the element it stands for?
bool owned(const std::vector<Owner>& owners, const FieldPath& path) {
  const FieldPath element(path.begin(), path.end() - (path.back() == "." ? 1 : 0));
  return std::any_of(owners.begin(), owners.end(), [&](const Owner& owner) {
    const auto first = owner.fields.lower_bound(element);
    return first != owner.fields.end() && first->size() >= element.size() &&
           std::equal(element.begin(), element.end(), first->begin());
  });
}

}  // namespace

FieldSet fields_of(const json::object& object, std::string_view kind) {
  FieldSet out;
  FieldPath here;
  collect(json::value(object), kind, "", here, out);
  return out;
}

void track_update(const json::object* before, json::object& after, std::string_view kind,
                  const FieldWriter& writer) {
  json::value old_value = before != nullptr ? json::value(*before) : json::value(json::object());
  json::value new_value(after);
  const FieldSet new_fields = fields_of(after, kind);
  std::vector<Owner> owners = before != nullptr ? owners_of(*before) : std::vector<Owner>();
  FieldSet changed;
  for (const FieldPath& path : new_fields) {
    if (differs(old_value, new_value, path)) changed.insert(path);
  }
  for (Owner& owner : owners) {
    std::erase_if(owner.fields, [&](const FieldPath& path) {
      return changed.contains(path) || !new_fields.contains(path);
    });
  }
  if (!changed.empty()) {
    Owner& mine = owner_for(owners, writer, "Update");
    mine.fields.insert(changed.begin(), changed.end());
    mine.time = writer.time;
  }
  write_owners(after, owners);
}

void apply_fields(const json::object& live, const json::object& config, std::string_view kind,
                  const FieldWriter& writer, bool force, json::object& merged,
                  std::vector<std::pair<std::string, std::string>>& conflicts) {
  std::vector<Owner> owners = owners_of(live);
  const FieldSet wanted = fields_of(config, kind);
  json::value result(live);
  merge_applied(result, json::value(config), kind, "");
  json::value before(live);
  Owner& mine = owner_for(owners, writer, "Apply");
  const FieldSet previous = mine.fields;
  mine.fields = wanted;
  if (wanted != previous) mine.time = writer.time;
  for (Owner& owner : owners) {
    if (&owner == &mine) continue;
    for (auto field = owner.fields.begin(); field != owner.fields.end();) {
      if (!wanted.contains(*field) || !differs(before, result, *field)) {
        ++field;
      } else if (force) {
        field = owner.fields.erase(field);
      } else {
        conflicts.emplace_back(owner.manager, shown(*field));
        ++field;
      }
    }
  }
  if (!conflicts.empty()) return;
  for (const FieldPath& path : previous) {
    if (!wanted.contains(path) && !owned(owners, path)) remove_field(result, path);
  }
  merged = std::move(result.get_object());
  write_owners(merged, owners);
}

}  // namespace sluice::test::kube
