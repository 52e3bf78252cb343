// Clock: the packet path's time, Ticks since the process started, from the time-stamp counter.
// Thread: Clock is immutable after construction; a TickCounter belongs to one worker.
// No division on the path: a worker compares with the counter's value at the next tick.
// Beside it stands the real time, for TCP timestamps: all gateways are to show backends about the
// same.
#pragma once

#include <cstdint>

#include "dataplane/packet/family.h"

namespace sluice {

struct Clock {
  std::uint64_t start = 0;  // Counter at tick 0.
  std::uint64_t cycles_per_tick = 1;
  std::uint64_t real_start = 0;  // Milliseconds since 1970 at tick 0.
  Ticks at(std::uint64_t counter) const {
    return static_cast<Ticks>((counter - start) / cycles_per_tick);
  }
};

class TickCounter {
 public:
  TickCounter(const Clock& clock, std::uint64_t counter)
      : cycles_per_tick_(clock.cycles_per_tick),
        ticks_(clock.at(counter)),
        next_(clock.start + (std::uint64_t{ticks_} + 1) * clock.cycles_per_tick),
        start_(clock.start),
        real_start_(static_cast<std::uint32_t>(clock.real_start)),
        scale_(scale(clock.cycles_per_tick)) {}

  Ticks at(std::uint64_t counter) {
    // Usually neither; after a pause of the machine a few rounds more.
    while (counter >= next_) {
      ++ticks_;
      next_ += cycles_per_tick_;
    }
    return ticks_;
  }

  // Real time, modulo 2^32.
  std::uint32_t milliseconds(std::uint64_t counter) const {
    __extension__ using Wide = unsigned __int128;
    return real_start_ + static_cast<std::uint32_t>(Wide{counter - start_} * scale_ >> 64);
  }

 private:
  static std::uint64_t scale(std::uint64_t cycles_per_tick) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>((Wide{1000 / kTicksPerSecond} << 64) / cycles_per_tick);
  }

  std::uint64_t cycles_per_tick_;
  Ticks ticks_;
  std::uint64_t next_;
  std::uint64_t start_;
  std::uint32_t real_start_;
  std::uint64_t scale_;  // Milliseconds per cycle, times 2^64; of a counter above 1 kHz.
};

}  // namespace sluice
