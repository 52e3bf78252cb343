#include "dataplane/dpdk/reload.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace sluice {
namespace {

constexpr std::array<std::string_view, 3> kApplied{
    "logging",
    "dataplane.idle",
    "dataplane.slowPath.packetsPerSecond",
};

bool is_within(std::string_view path, std::string_view field) {
  return path.starts_with(field) && (path.size() == field.size() || path[field.size()] == '.');
}

}  // namespace

Reload sort_changes(const std::vector<std::string>& changed) {
  Reload reload;
  for (const auto& path : changed) {
    if (std::any_of(kApplied.begin(), kApplied.end(), [&](auto f) { return is_within(path, f); })) {
      reload.applied.push_back(path);
    } else if (is_within(path, "dataplane")) {
      reload.need_restart.push_back(path);
    }
  }
  return reload;
}

}  // namespace sluice
