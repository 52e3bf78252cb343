// Pace: how often one may write. TokenBucket bounds a rate; Contest backs off when another writer
// keeps undoing what we wrote. Ownership: by value. Thread: one. Units: steady-clock times.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>

namespace sluice::kube {

using PaceClock = std::chrono::steady_clock;

// `burst` at once, `per_second` in the long run.
class TokenBucket {
 public:
  TokenBucket(double burst, double per_second)
      : burst_(burst), per_second_(per_second), tokens_(burst) {}

  bool take(PaceClock::time_point now) {
    refill(now);
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }
  // Until take() succeeds.
  std::chrono::milliseconds wait(PaceClock::time_point now) {
    refill(now);
    if (tokens_ >= 1) return std::chrono::milliseconds(0);
    return std::chrono::milliseconds(1 + static_cast<long>((1 - tokens_) / per_second_ * 1000));
  }

 private:
  void refill(PaceClock::time_point now) {
    if (last_ && now > *last_)
      tokens_ = std::min(
          burst_, tokens_ + per_second_ * std::chrono::duration<double>(now - *last_).count());
    last_ = now;
  }
  double burst_, per_second_, tokens_;
  std::optional<PaceClock::time_point> last_;
};

// Writing the same again means that somebody undid it. The first time that may have been an
// accident; from then on the waits double.
class Contest {
 public:
  static constexpr std::chrono::milliseconds kFirst{1000};
  static constexpr std::chrono::milliseconds kLongest{300'000};
  static constexpr std::chrono::milliseconds kForgotten{900'000};  // Undisturbed for so long.

  // `content` is a hash of what is to be written; 0: it may be written now.
  std::chrono::milliseconds wait(std::size_t content, PaceClock::time_point now) const {
    if (content != content_ || now >= next_) return std::chrono::milliseconds(0);
    return std::chrono::ceil<std::chrono::milliseconds>(next_ - now);
  }
  void written(std::size_t content, PaceClock::time_point now) {
    const bool again = content_ == content && now - at_ < kForgotten;
    undone_ = again ? std::min(undone_ + 1, 30u) : 0;
    content_ = content;
    at_ = now;
    next_ = now + (undone_ == 0 ? std::chrono::milliseconds(0)
                                : std::min(kLongest, kFirst * (1L << (undone_ - 1))));
  }
  unsigned undone() const { return undone_; }  // How often in a row.

 private:
  std::optional<std::size_t> content_;
  PaceClock::time_point at_{}, next_{};
  unsigned undone_ = 0;
};

}  // namespace sluice::kube
