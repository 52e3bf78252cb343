// `sluice check` and `export`.
#pragma once

#include <string>

#include "control/cli/context.h"

namespace sluice {

// Reads gateway.yaml (`file`, else the one of --config) and says what is wrong with it.
int check_config_command(const std::string& file);

// Objects of a source as manifests that apply takes back to the very same objects, from Redis or
// from this gateway's copy on disk. What cannot be read is told, and makes it fail.
struct ExportOptions {
  std::string source;  // Empty: manual.
  bool from_disk = false;
};
int export_command(Context& context, const ExportOptions& options);

}  // namespace sluice
