// Manifests: Kubernetes YAML or JSON to objects. Several documents and kind List; kinds we have no
// use for are named and passed over. Thread: any, pure. Errors: everything is checked before
// anything is returned, and all mistakes are told, a line each: "FILE:LINE:COLUMN: Kind NS/NAME:
// FIELD.PATH: what is wrong, and what would be right".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"
#include "store.pb.h"

namespace sluice {

struct ManifestObject {
  v1::Object object;  // Header filled, defaults set as the API server does.
  std::string file;
  int line = 0;                       // Where the object begins, from 1.
  std::vector<std::string> warnings;  // For the user, without the place.
};

struct Manifest {
  std::vector<ManifestObject> objects;  // In the order of the input.
  std::vector<std::string> warnings;    // Skipped kinds and the like: "FILE:LINE: text".
};

// Of fields that neither Kubernetes nor Sluice has; kubectl's words of --validate. Fields
// Kubernetes has and Sluice does not use are passed over (passed_over.h).
enum class FieldValidation { ignore, warn, strict };

struct ManifestOptions {
  std::string default_namespace = "default";
  FieldValidation validation = FieldValidation::ignore;
  std::string writer;  // For Header.writer, for instance "sluice 0.1.0".
};

// An object given twice is an error.
Result<Manifest> parse_manifests(std::string_view text, const std::string& file,
                                 const ManifestOptions& options = {});

}  // namespace sluice
