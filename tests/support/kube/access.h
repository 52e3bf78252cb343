// Access: who may do what: bearer tokens and client certificates to users, RBAC rules to verdicts.
// Nothing is allowed that no rule allows; group system:masters may do everything.
// Ownership: by value. Thread: one. Errors: manifests are refused with a text.
// Source: Kubernetes RBAC (rbac.authorization.k8s.io/v1).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"
#include "tests/support/kube/resource.h"

namespace sluice::test::kube {

struct User {
  std::string name = "system:anonymous";
  std::vector<std::string> groups;
};

struct Rule {
  std::vector<std::string> verbs;      // "*": all.
  std::vector<std::string> groups;     // "" is the core group.
  std::vector<std::string> resources;  // "services/status"
  std::vector<std::string> names;      // Empty: all.
};

struct Attributes {
  std::string verb;
  const Resource* resource = nullptr;
  std::string subresource, ns, name;
};

class Access {
 public:
  void add_token(const std::string& token, User user);
  void remove_token(const std::string& token);
  // The user of an Authorization header; empty header: anonymous; nullopt: 401.
  std::optional<User> authenticate(std::string_view authorization) const;

  // In every namespace, or in one.
  void allow(const std::string& subject, Rule rule, const std::string& ns = "");
  // ClusterRole, Role, ClusterRoleBinding and RoleBinding of a YAML file; other kinds are skipped.
  // A ServiceAccount is the user "system:serviceaccount:NAMESPACE:NAME".
  Status load_manifests(const std::string& yaml);
  void forget_rules();

  // Empty: allowed; else the text after "is forbidden: ".
  std::string check(const User& user, const Attributes& attributes) const;

 private:
  struct Grant {
    std::string subject, ns;  // Empty namespace: everywhere.
    Rule rule;
  };
  std::map<std::string, User, std::less<>> tokens_;
  std::vector<Grant> grants_;
};

}  // namespace sluice::test::kube
