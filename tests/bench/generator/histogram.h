// Histogram: how often which value came, with a relative error of at most 1/64 at any size: each
// power of two is cut into 64 buckets (as in HdrHistogram). Exact minimum and maximum.
//
// Thread: one writer; merge and read when it has stopped. Units: the caller's.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace sluice::generator {

class Histogram {
 public:
  void record(std::uint32_t value) {
    ++buckets_[bucket_of(value)];
    ++count_;
    minimum_ = std::min(minimum_, value);
    maximum_ = std::max(maximum_, value);
  }
  void merge(const Histogram& other) {
    for (std::size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    minimum_ = std::min(minimum_, other.minimum_);
    maximum_ = std::max(maximum_, other.maximum_);
  }
  std::uint64_t count() const { return count_; }
  std::uint32_t minimum() const { return count_ == 0 ? 0 : minimum_; }
  std::uint32_t maximum() const { return maximum_; }

  // The smallest value that `share` (0 to 1) of all values do not exceed, to a bucket's width,
  // rounded up; 0 of nothing.
  std::uint32_t percentile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(count_) + 0.5);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets_.size(); ++i) {
      seen += buckets_[i];
      if (seen >= std::max<std::uint64_t>(wanted, 1))
        return std::clamp(last_of(i), minimum_, maximum_);
    }
    return 0;
  }

 private:
  static constexpr unsigned kFineBits = 6;
  static constexpr std::uint32_t kFine = 1u << kFineBits;
  // Values below kFine have a bucket each.
  static constexpr std::size_t bucket_of(std::uint32_t value) {
    if (value < kFine) return value;
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - kFineBits - 1;
    return shift * kFine + (value >> shift);
  }
  static constexpr std::uint32_t last_of(std::size_t bucket) {
    if (bucket < kFine) return static_cast<std::uint32_t>(bucket);
    const std::size_t shift = bucket / kFine - 1;
    const std::uint64_t first = bucket - shift * kFine;
    return static_cast<std::uint32_t>(((first + 1) << shift) - 1);
  }
  std::array<std::uint64_t, (33 - kFineBits) * kFine> buckets_{};
  std::uint64_t count_ = 0;
  std::uint32_t minimum_ = UINT32_MAX, maximum_ = 0;
};

}  // namespace sluice::generator
