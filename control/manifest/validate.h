// The API server's rules that matter to us, and its defaults. Thread: any, pure.
// Errors: all of them, each with the path of the field it is about.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "store.pb.h"

namespace sluice {

struct FieldError {
  std::string path;  // "spec.ports[0].port".
  std::string text;  // What is wrong, and what would be right.
};

// Fills what the API server fills: protocol, targetPort, type, ipFamilies and the like.
void set_defaults(v1::Object* object);
// Of an object whose defaults are set.
std::vector<FieldError> validate(const v1::Object& object);
// Allowed, but probably not what the user meant.
std::vector<std::string> warnings_of(const v1::Object& object);

// RFC 1123 label (at most 63), subdomain (at most 253), Kubernetes label keys and values, IANA port
// names.
bool is_dns_label(const std::string& text);
bool is_dns_subdomain(const std::string& text);
bool is_label_key(const std::string& text);
bool is_label_value(const std::string& text);
bool is_port_name(const std::string& text);

}  // namespace sluice
