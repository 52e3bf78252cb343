#include "tests/support/kube/access.h"

#include <algorithm>

#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

bool has(const std::vector<std::string>& list, std::string_view wanted) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& entry) { return entry == "*" || entry == wanted; });
}

std::vector<std::string> texts(const json::value& object, std::string_view name) {
  std::vector<std::string> out;
  const json::value* list = at(object, {name});
  if (list == nullptr || !list->is_array()) return out;
  for (const json::value& entry : list->get_array()) {
    if (entry.is_string()) out.emplace_back(entry.get_string());
  }
  return out;
}

bool permits(const Rule& rule, const Attributes& attributes) {
  std::string resource(attributes.resource->plural);
  if (!attributes.subresource.empty()) resource += "/" + attributes.subresource;
  const bool named = rule.names.empty() || std::find(rule.names.begin(), rule.names.end(),
                                                     attributes.name) != rule.names.end();
  return named && has(rule.verbs, attributes.verb) &&
         has(rule.groups, attributes.resource->group) && has(rule.resources, resource);
}

struct Role {
  std::string kind, ns, name;
  std::vector<Rule> rules;
};

Role role_of(const json::object& document) {
  Role role{text_at(document, {"kind"}),
            text_at(document, {"metadata", "namespace"}),
            text_at(document, {"metadata", "name"}),
            {}};
  const json::value* rules = document.if_contains("rules");
  if (rules == nullptr || !rules->is_array()) return role;
  for (const json::value& rule : rules->get_array()) {
    role.rules.push_back({texts(rule, "verbs"), texts(rule, "apiGroups"), texts(rule, "resources"),
                          texts(rule, "resourceNames")});
  }
  return role;
}

std::string subject_of(const json::object& subject) {
  const std::string name = text_at(subject, {"name"});
  if (text_at(subject, {"kind"}) != "ServiceAccount") return name;
  return "system:serviceaccount:" + text_at(subject, {"namespace"}) + ":" + name;
}

}  // namespace

void Access::add_token(const std::string& token, User user) {
  tokens_[token] = std::move(user);
}

void Access::remove_token(const std::string& token) {
  tokens_.erase(token);
}

std::optional<User> Access::authenticate(std::string_view authorization) const {
  if (authorization.empty()) return User{"system:anonymous", {"system:unauthenticated"}};
  constexpr std::string_view kBearer = "Bearer ";
  if (!authorization.starts_with(kBearer)) return std::nullopt;
  const auto found = tokens_.find(authorization.substr(kBearer.size()));
  if (found == tokens_.end()) return std::nullopt;
  return found->second;
}

void Access::allow(const std::string& subject, Rule rule, const std::string& ns) {
  grants_.push_back({subject, ns, std::move(rule)});
}

void Access::forget_rules() {
  grants_.clear();
}

Status Access::load_manifests(const std::string& yaml) {
  const Result<std::vector<json::value>> documents = yaml_documents(yaml);
  if (!documents) return Error{documents.error()};
  std::vector<Role> roles;
  for (const json::value& document : *documents) {
    const std::string kind = text_at(document.get_object(), {"kind"});
    if (kind == "ClusterRole" || kind == "Role") roles.push_back(role_of(document.get_object()));
  }
  for (const json::value& document : *documents) {
    const json::object& binding = document.get_object();
    const std::string kind = text_at(binding, {"kind"});
    if (kind != "ClusterRoleBinding" && kind != "RoleBinding") continue;
    const std::string ns = kind == "RoleBinding" ? text_at(binding, {"metadata", "namespace"}) : "";
    const std::string role_kind = text_at(binding, {"roleRef", "kind"});
    const std::string name = text_at(binding, {"roleRef", "name"});
    const auto role = std::find_if(roles.begin(), roles.end(), [&](const Role& one) {
      return one.kind == role_kind && one.name == name && (one.kind != "Role" || one.ns == ns);
    });
    if (role == roles.end()) {
      return Error{kind + " " + text_at(binding, {"metadata", "name"}) + " names " + role_kind +
                   " " + name + ", which is not in the manifest"};
    }
    const json::value* subjects = binding.if_contains("subjects");
    if (subjects == nullptr || !subjects->is_array()) return Error{kind + " without subjects"};
    for (const json::value& subject : subjects->get_array()) {
      for (const Rule& rule : role->rules) allow(subject_of(subject.as_object()), rule, ns);
    }
  }
  return Ok{};
}

std::string Access::check(const User& user, const Attributes& attributes) const {
  if (has(user.groups, "system:masters")) return {};
  for (const Grant& grant : grants_) {
    if (!grant.ns.empty() && grant.ns != attributes.ns) continue;
    if (grant.subject != user.name && !has(user.groups, grant.subject)) continue;
    if (permits(grant.rule, attributes)) return {};
  }
  std::string resource(attributes.resource->plural);
  if (!attributes.subresource.empty()) resource += "/" + attributes.subresource;
  return "User \"" + user.name + "\" cannot " + attributes.verb + " resource \"" + resource +
         "\" in API group \"" + std::string(attributes.resource->group) + "\"" +
         (attributes.ns.empty() ? " at the cluster scope"
                                : " in the namespace \"" + attributes.ns + "\"");
}

}  // namespace sluice::test::kube
