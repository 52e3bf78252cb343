// The API server's rules that matter to us, and its defaults. Thread: any, pure.
// Errors: all of them, each with the path of the field it is about.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "control/manifest/names.h"
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

}  // namespace sluice
