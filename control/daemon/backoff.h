// Backoff: waits that double up to a limit, with jitter so that gateways do not retry in step.
// Ownership: by value. Thread: one. Units: milliseconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>

namespace sluice {

class Backoff {
 public:
  using Duration = std::chrono::milliseconds;

  Backoff(Duration first, Duration limit, std::uint64_t seed = std::random_device{}());

  // Between half of the current step and the whole of it; the step then doubles up to the limit.
  Duration next();
  void reset() { step_ = first_; }

 private:
  Duration first_, limit_, step_;
  std::minstd_rand random_;
};

}  // namespace sluice
