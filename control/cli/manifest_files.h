// Reads manifests from files, directories and stdin. Thread: one (stdin).
// Errors: all of them, each with its place; with any, no object is returned.
#pragma once

#include <string>
#include <vector>

#include "control/manifest/manifest.h"
#include "proto/result.h"

namespace sluice {

inline constexpr std::size_t kMaxManifestBytes = 64u << 20;

// Directories are read with all below them: *.yaml, *.yml and *.json, in the order of their paths.
Result<std::vector<std::string>> manifest_paths(const std::vector<std::string>& files);
// An object given twice, in whatever files, is an error.
Result<Manifest> read_manifests(const std::vector<std::string>& files,
                                const ManifestOptions& options);

}  // namespace sluice
