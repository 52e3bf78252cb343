// `sluice apply` and `sluice delete`: manifests to objects of source manual.
// Everything is read and checked before anything is written.
#pragma once

#include <string>
#include <vector>

#include "control/cli/context.h"

namespace sluice {

struct ApplyOptions {
  std::vector<std::string> files;  // Files, directories (read as a whole), "-" for stdin.
  std::string ns = "default";      // For objects that name none.
};
int apply_command(Context& context, const ApplyOptions& options);

struct DeleteOptions {
  std::vector<std::string> files;
  std::string kind;  // With `names`, instead of files.
  std::vector<std::string> names;
  std::string ns = "default";
  bool ignore_not_found = false;
};
int delete_command(Context& context, const DeleteOptions& options);

}  // namespace sluice
