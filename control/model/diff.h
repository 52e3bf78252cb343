// What to change in a dataplane: desired against reported. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "control/model/desired.h"

namespace sluice {

struct Difference {
  std::vector<v1::ApplyPart> parts;  // Each of at most kMaxPartBytes.
  std::size_t upserts = 0;
  std::size_t deletes = 0;

  bool empty() const { return upserts == 0 && deletes == 0; }
};

inline constexpr std::size_t kMaxPartBytes = 512 * 1024;

// The fewest upserts and deletes that turn `reported` into `desired`.
Difference difference(const DataplaneState& desired, const DataplaneState& reported);
// The whole state, to be applied with base 0.
Difference whole(const DataplaneState& desired);

}  // namespace sluice
