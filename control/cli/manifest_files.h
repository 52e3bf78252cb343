// Reads manifests from files, directories and stdin. Thread: one (stdin).
// Errors: all of them, each with its place; with any, no object is returned.
#pragma once

#include <string>
#include <vector>

#include "control/manifest/manifest.h"
#include "proto/result.h"

namespace sluice {

inline constexpr std::size_t kMaxManifestBytes = 64u << 20;

struct ManifestSources {
  std::vector<std::string> files;  // Files, directories, "-" for stdin (once).
  bool recursive = false;          // Directories with all below them; else their own files alone.
  std::string ns;  // Empty: "default" for objects that name none; else no object may name another.
};

// Of directories: *.yaml, *.yml and *.json, in the order of their paths. URLs are refused.
Result<std::vector<std::string>> manifest_paths(const ManifestSources& sources);
// An object given twice, in whatever files, is an error.
Result<Manifest> read_manifests(const ManifestSources& sources, ManifestOptions options);

}  // namespace sluice
