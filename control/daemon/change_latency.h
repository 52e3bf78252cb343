// ChangeLatency: how long changes take on their way from an event's bytes at its writer to the
// dataplane's acknowledgement, hop by hop.
// Purpose: keeps when each change was read until the transaction with it ends. A transaction has
// all that was added before it began, since it begins with all that changed in the model.
// Ownership: by value. Thread: one. Bounds: kMaxWaiting changes; others are counted, not measured.
// Units: the writer's and this machine's clock have to agree for the hops "redis" and "all"; what
// comes out negative counts as nothing and is counted apart.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "control/health/latency_histogram.h"
#include "control/store/reader.h"

namespace sluice {

class ChangeLatency {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxWaiting = 65'536;
  static constexpr std::chrono::hours kLongest{24};  // Longer: a wrong clock.

  // From each one to the next; kAll: from the first to the last.
  enum Hop : std::size_t {
    kWriter,     // Event's bytes arrived -> sent to Redis.
    kRedis,      // -> read from the stream here.
    kControl,    // -> a transaction with it is sent, or nothing had to be.
    kDataplane,  // -> acknowledged; not where nothing was sent.
    kAll,
  };
  static constexpr std::array kNames = {"agent", "redis", "control", "dataplane", "all"};

  // The change is in the model now.
  void add(const store::TimedChange& change);
  // A transaction is being made of all that was added.
  void begin();
  // The dataplane has it. `sent` is when the transaction went out; nullopt: nothing had to.
  void done(std::optional<Clock::time_point> sent, Clock::time_point now);
  // It has not: the next transaction will bring it.
  void failed();

  const LatencyHistogram& of(Hop hop) const { return histograms_[hop]; }
  std::size_t waiting() const { return waiting_.size() + under_way_.size(); }
  struct Counters {
    std::uint64_t unmeasured = 0;  // Too many waited, or a clock was very wrong.
    std::uint64_t negative = 0;    // Intervals: clocks disagree.
  };
  const Counters& counters() const { return counters_; }

 private:
  void measure(const store::TimedChange& change, std::optional<Clock::time_point> sent,
               Clock::time_point now);

  std::vector<store::TimedChange> waiting_, under_way_;
  std::array<LatencyHistogram, kNames.size()> histograms_;
  Counters counters_;
};

}  // namespace sluice
