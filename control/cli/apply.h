// `sluice apply`, `delete` and `diff`: manifests to objects of source manual.
// Everything is read and checked before anything is written.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/cli/changes.h"
#include "control/cli/context.h"
#include "control/cli/manifest_files.h"

namespace sluice {

struct ApplyOptions {
  ManifestSources manifests;
  std::string selector;  // Of the manifests' objects, and of what is pruned.
  std::string source;    // Anything but manual is refused.
  FieldValidation validation = FieldValidation::strict;
  std::string dry_run = "none";  // "client", "server" or "none".
  PruneOptions prune;
  bool wait = false;
  std::chrono::milliseconds timeout{60'000};
  std::string output;  // "", "name", "json" or "yaml".
};
int apply_command(Context& context, const ApplyOptions& options);

struct DeleteOptions {
  ManifestSources manifests;
  std::vector<std::string> words;  // As parse_resources() takes them, instead of files.
  std::string selector;
  std::string source;
  bool all = false;  // With a kind alone: all of it.
  bool all_namespaces = false;
  bool ignore_not_found = false;
  std::string dry_run = "none";
  bool wait = false;
  std::chrono::milliseconds timeout{60'000};
  std::string output;  // "" or "name".
};
int delete_command(Context& context, const DeleteOptions& options);

struct DiffOptions {
  ManifestSources manifests;
  std::string selector;
  std::string source;
  FieldValidation validation = FieldValidation::strict;
  PruneOptions prune;
};
inline constexpr int kDiffSame = 0, kDiffDifferent = 1, kDiffFailed = 2;
int diff_command(Context& context, const DiffOptions& options);

// " (dry run)", " (server dry run)" or nothing.
std::string dry_run_suffix(const std::string& dry_run);
// What is wrong about --prune, --all and -l; as kubectl.
Status check_prune(const PruneOptions& prune, const std::string& selector);

}  // namespace sluice
