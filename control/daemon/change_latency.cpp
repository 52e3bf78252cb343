#include "control/daemon/change_latency.h"

#include <algorithm>
#include <utility>

namespace sluice {

void ChangeLatency::add(const store::TimedChange& change) {
  if (waiting() >= kMaxWaiting) {
    ++counters_.unmeasured;
  } else {
    waiting_.push_back(change);
  }
}

void ChangeLatency::begin() {
  if (under_way_.empty()) {
    std::swap(under_way_, waiting_);
  } else {
    under_way_.insert(under_way_.end(), waiting_.begin(), waiting_.end());
    waiting_.clear();
  }
}

void ChangeLatency::failed() {
  waiting_.insert(waiting_.begin(), under_way_.begin(), under_way_.end());
  under_way_.clear();
}

void ChangeLatency::done(std::optional<Clock::time_point> sent, Clock::time_point now) {
  for (const store::TimedChange& change : under_way_) measure(change, sent, now);
  under_way_.clear();
}

void ChangeLatency::measure(const store::TimedChange& change, std::optional<Clock::time_point> sent,
                            Clock::time_point now) {
  using std::chrono::duration_cast;
  using std::chrono::microseconds;
  const store::ChangeTimes& times = change.times;
  std::array<std::optional<microseconds>, kNames.size()> hops;
  hops[kWriter] = times.sent - times.arrived;
  hops[kRedis] = change.read - times.sent;
  hops[kControl] = duration_cast<microseconds>(sent.value_or(now) - change.read_steady);
  if (sent) hops[kDataplane] = duration_cast<microseconds>(now - *sent);
  // What happened here is measured by a clock that does not jump.
  hops[kAll] =
      (change.read - times.arrived) + duration_cast<microseconds>(now - change.read_steady);
  if (std::ranges::any_of(hops, [](const auto& hop) { return hop && *hop > kLongest; })) {
    ++counters_.unmeasured;
    return;
  }
  for (std::size_t i = 0; i < hops.size(); ++i) {
    if (!hops[i]) continue;
    if (*hops[i] < microseconds::zero()) ++counters_.negative;
    histograms_[i].add(std::max(*hops[i], microseconds::zero()));
  }
}

}  // namespace sluice
