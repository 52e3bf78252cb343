// Logging of every program: spdlog to stderr, one line an event, `message key=value ...`.
// Thread: init_logging before any other thread; logging itself from any thread but a forwarding
// one.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>

namespace sluice {

namespace v1 {
class Logging;
}

// Sets spdlog's default logger. Also to be called again when the configuration changed.
void init_logging(const v1::Logging& config, const char* program);

// Keeps an event that may repeat without end from filling the log: at most `burst` lines an
// interval. Thread: any. One object per call site:
//   static LogLimiter limiter;
//   if (auto left_out = limiter.admit()) spdlog::warn("redis refused left_out={}", *left_out);
class LogLimiter {
 public:
  using Clock = std::chrono::steady_clock;

  explicit LogLimiter(unsigned burst = 5, Clock::duration interval = std::chrono::seconds(10))
      : burst_(burst), interval_(interval) {}
  // Nothing: leave the line out. Else how many were left out since the last one written.
  std::optional<std::uint64_t> admit(Clock::time_point now = Clock::now());

 private:
  const unsigned burst_;
  const Clock::duration interval_;
  std::mutex mutex_;
  Clock::time_point start_{};
  unsigned written_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace sluice
