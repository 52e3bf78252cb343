// What the pipeline is to cost at most, as multiples of the reference, and how it did.
// Thread: one. Pure.
#pragma once

#include <string>
#include <vector>

#include "pipeline_results.h"

namespace sluice::bench {

struct Compared {
  std::string what, name;
  double value = 0, bound = 0, aim = 0;  // aim 0: none.
  bool met() const { return value <= bound; }
};

// The targets that something was measured for, in their order.
std::vector<Compared> compare_with_targets(const std::vector<Measured>& all);
std::string to_text(const std::vector<Compared>& compared);

}  // namespace sluice::bench
