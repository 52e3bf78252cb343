#include "control/daemon/backoff.h"

#include <algorithm>

namespace sluice {

Backoff::Backoff(Duration first, Duration limit, std::uint64_t seed)
    : first_(first),
      limit_(limit),
      step_(first),
      random_(static_cast<std::minstd_rand::result_type>(seed)) {}

Backoff::Duration Backoff::next() {
  std::uniform_int_distribution<Duration::rep> spread(step_.count() / 2, step_.count());
  const Duration wait(spread(random_));
  step_ = std::min(step_ * 2, limit_);
  return wait;
}

}  // namespace sluice
