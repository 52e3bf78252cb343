// Reload: which changed fields of gateway.yaml the running dataplane takes over, which wait for a
// restart. Pure. Thread: any.
#pragma once

#include <string>
#include <vector>

namespace sluice {

struct Reload {
  std::vector<std::string> applied, need_restart;
};

// `changed`: paths as changed_fields() gives them; those of other programs are left out.
Reload sort_changes(const std::vector<std::string>& changed);

}  // namespace sluice
