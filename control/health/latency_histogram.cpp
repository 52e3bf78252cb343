#include "control/health/latency_histogram.h"

#include <algorithm>

namespace sluice {

void LatencyHistogram::add(std::chrono::nanoseconds latency) {
  const double seconds = std::chrono::duration<double>(latency).count();
  const auto bound = std::ranges::lower_bound(kBounds, seconds);
  ++counts_[static_cast<std::size_t>(bound - kBounds.begin())];
  sum_ += seconds;
}

}  // namespace sluice
