// Clock: the packet path's time, Ticks since the process started, from the time-stamp counter.
// Thread: Clock is immutable after construction; a TickCounter belongs to one worker.
// No division on the path: a worker compares with the counter's value at the next tick.
#pragma once

#include <cstdint>

#include "dataplane/packet/family.h"

namespace sluice {

struct Clock {
  std::uint64_t start = 0;  // Counter at tick 0.
  std::uint64_t cycles_per_tick = 1;
  Ticks at(std::uint64_t counter) const {
    return static_cast<Ticks>((counter - start) / cycles_per_tick);
  }
};

class TickCounter {
 public:
  TickCounter(const Clock& clock, std::uint64_t counter)
      : cycles_per_tick_(clock.cycles_per_tick),
        ticks_(clock.at(counter)),
        next_(clock.start + (std::uint64_t{ticks_} + 1) * clock.cycles_per_tick) {}

  Ticks at(std::uint64_t counter) {
    // Usually neither; after a pause of the machine a few rounds more.
    while (counter >= next_) {
      ++ticks_;
      next_ += cycles_per_tick_;
    }
    return ticks_;
  }

 private:
  std::uint64_t cycles_per_tick_;
  Ticks ticks_;
  std::uint64_t next_;
};

}  // namespace sluice
