// Request: an HTTP request to the fake API server, taken apart. Ownership: by value. Thread: any.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"
#include "tests/support/kube/access.h"
#include "tests/support/kube/store.h"

namespace sluice::test::kube {

struct Request {
  std::string method, target, authorization, content_type, body, user_agent;
  bool gzip = false;      // The client accepts it.
  bool trusted = false;   // From the plain port: the user "admin".
  User certificate_user;  // Name empty: no client certificate.
};

using Parameters = std::map<std::string, std::string>;
struct Target {
  std::vector<std::string> path;
  Parameters parameters;

  std::string parameter(const std::string& name) const;
  bool flag(const std::string& name) const;  // "true" or "1".
};
Target parse_target(std::string_view target);

// What a path names; resource nullptr: no such resource.
struct ResourcePath {
  Place place;
  std::string subresource;
};
ResourcePath resource_path(const Target& target);
// As RBAC names it: get, list, watch, create, update, patch, delete, deletecollection.
std::string verb_of(const Request& request, const Target& target, const ResourcePath& path);

// A label or field selector.
class Selector {
 public:
  static Result<Selector> parse(const std::string& text);
  bool matches(const Labels& labels) const;
  bool empty() const { return terms_.empty(); }

 private:
  struct Term {
    std::string key;
    std::vector<std::string> values;
    bool exists = false;  // The key alone.
    bool negated = false;
  };
  std::vector<Term> terms_;
};

std::string base64url(const std::string& bytes);
bool from_base64url(const std::string& text, std::string& out);

}  // namespace sluice::test::kube
