// `sluice get`: objects of Redis, and what the dataplane and the gateways report.
#pragma once

#include <string>
#include <vector>

#include "control/cli/context.h"

namespace sluice {

struct GetOptions {
  std::string resource;
  std::vector<std::string> names;  // Empty: all.
  std::string ns;                  // Empty: "default" for objects, all for VIPs.
  bool all_namespaces = false;
  std::string output;  // "", "wide", "json" or "yaml".
};
int get_command(Context& context, const GetOptions& options);

}  // namespace sluice
