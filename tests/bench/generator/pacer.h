// Pacer: how many packets should have been sent by now, from the time-stamp counter.
//
// Thread: one. Units: cycles of the time-stamp counter, packets. No division after construction.
// A sender that was held up (lost its CPU) must not pour out what it missed: that would be loss at
// the receiver that no steady rate makes. What it is behind beyond kMostBehind is skipped, and
// counted.
#pragma once

#include <algorithm>
#include <cstdint>

namespace sluice::generator {

class Pacer {
 public:
  static constexpr std::uint64_t kMostBehind = 256;

  // `rate`: packets per second, at least 1; `hz`: cycles per second.
  Pacer(double rate, std::uint64_t hz)
      : packets_per_cycle_(static_cast<std::uint64_t>(rate / static_cast<double>(hz) * kOne)),
        burst_(static_cast<unsigned>(std::clamp(rate * kBurstSeconds, 1.0, 32.0))) {}

  void start(std::uint64_t now) { begin_ = now; }
  // Packets to send now; 0 until a burst is due. Counted as sent.
  unsigned take(std::uint64_t now) {
    __extension__ using Wide = unsigned __int128;
    const auto due =
        static_cast<std::uint64_t>(static_cast<Wide>(now - begin_) * packets_per_cycle_ >> kShift);
    std::uint64_t behind = due - taken_;
    if (behind < burst_) return 0;
    if (behind > kMostBehind) [[unlikely]] {
      skipped_ += behind - kMostBehind;
      taken_ += behind - kMostBehind;
      behind = kMostBehind;
    }
    const auto count = static_cast<unsigned>(std::min<std::uint64_t>(behind, kLargestBurst));
    taken_ += count;
    return count;
  }
  std::uint64_t skipped() const { return skipped_; }

  static constexpr unsigned kLargestBurst = 64;

 private:
  static constexpr unsigned kShift = 48;
  static constexpr double kOne = 281474976710656.0;  // 2^48
  static constexpr double kBurstSeconds = 2e-6;      // Packets sent as one burst span this time.
  std::uint64_t packets_per_cycle_;                  // In units of 2^-48.
  unsigned burst_;
  std::uint64_t begin_ = 0, taken_ = 0, skipped_ = 0;
};

}  // namespace sluice::generator
