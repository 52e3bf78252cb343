// TokenBucket: at most `rate` packets a second, in bursts of a tenth of a second's worth. A quarter
// of the bucket is kept for what must not starve: a flood of ordinary packets leaves it untouched.
// Thread: one. Units: nanoseconds of any steady clock.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice {

class TokenBucket {
 public:
  explicit TokenBucket(std::uint32_t rate) {
    set_rate(rate);
    tokens_ = depth_;
  }

  void set_rate(std::uint32_t rate) {
    rate_ = rate;
    depth_ = std::max<std::int64_t>(rate / 10, 16) * kOne;
  }

  bool take(std::int64_t now, bool reserved) {
    if (last_ == 0) last_ = now;
    const std::int64_t passed = std::clamp<std::int64_t>(now - last_, 0, kOne);
    last_ = now;
    tokens_ = std::min(depth_, tokens_ + passed * rate_);
    const std::int64_t floor = reserved ? 0 : depth_ / 4;
    if (tokens_ < floor + kOne) return false;
    tokens_ -= kOne;
    return true;
  }

 private:
  static constexpr std::int64_t kOne =
      1'000'000'000;  // One packet, in packets x nanoseconds per second.
  std::int64_t rate_ = 0;
  std::int64_t depth_ = 0;
  std::int64_t tokens_ = 0;
  std::int64_t last_ = 0;
};

}  // namespace sluice
