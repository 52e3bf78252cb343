#include "tests/support/kube/fault.h"

namespace sluice::test::kube {

Fault Faults::take(std::string_view target, std::string_view verb) {
  for (auto fault = faults_.begin(); fault != faults_.end(); ++fault) {
    if (!fault->verb.empty() && fault->verb != verb) continue;
    if (target.find(fault->path) == std::string_view::npos) continue;
    Fault taken = *fault;
    if (fault->count > 0 && --fault->count == 0) faults_.erase(fault);
    return taken;
  }
  Fault none;
  none.kind = Fault::Kind::kDelay;
  return none;
}

}  // namespace sluice::test::kube
