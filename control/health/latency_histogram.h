// LatencyHistogram: how long things took, counted in fixed buckets.
// Ownership: by value; no allocation. Thread: one. Units: seconds.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

namespace sluice {

class LatencyHistogram {
 public:
  // Upper bounds, fine around 5 and 20 ms, which changes should take at most (median and 99th of a
  // hundred); above the last one everything counts as one.
  static constexpr std::array kBounds = {0.00025, 0.0005, 0.001, 0.002, 0.003, 0.004,
                                         0.005,   0.0075, 0.01,  0.015, 0.02,  0.03,
                                         0.05,    0.1,    0.25,  0.5,   1.0,   5.0};
  using Counts = std::array<std::uint64_t, kBounds.size() + 1>;

  void add(std::chrono::nanoseconds latency);
  const Counts& counts() const { return counts_; }
  double sum() const { return sum_; }

 private:
  Counts counts_{};
  double sum_ = 0;
};

}  // namespace sluice
