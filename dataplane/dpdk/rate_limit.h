// RateLimit: how many packets a second may pass, over all workers together (generic cell rate
// algorithm, ITU-T I.371): one word holds the time at which the budget will be whole again.
//
// Thread: any; lock-free. No division on the way. Units: the caller's clock in cycles.
#pragma once

#include <atomic>
#include <cstdint>

namespace sluice {

class RateLimit {
 public:
  RateLimit(std::uint64_t cycles_per_second, std::uint32_t per_second) : hz_(cycles_per_second) {
    set(per_second);
  }

  // Takes effect at once. 0 lets nothing pass.
  void set(std::uint32_t per_second) {
    const std::uint64_t interval = per_second == 0 ? 0 : hz_ / per_second;
    // A tenth of a second's packets may come at once, and never fewer than a burst.
    const std::uint64_t at_once = per_second / 10 < 64 ? 64 : per_second / 10;
    window_.store(interval * at_once, std::memory_order_relaxed);
    interval_.store(interval, std::memory_order_relaxed);
  }

  // How many of `count` packets may pass now: the first ones.
  unsigned admit(unsigned count, std::uint64_t now) {
    const std::uint64_t interval = interval_.load(std::memory_order_relaxed);
    const std::uint64_t limit = now + window_.load(std::memory_order_relaxed);
    if (interval == 0) return 0;
    std::uint64_t whole = whole_.load(std::memory_order_relaxed);
    unsigned admitted;
    std::uint64_t next;
    do {
      next = whole > now ? whole : now;
      for (admitted = 0; admitted < count && next + interval <= limit; ++admitted) next += interval;
      if (admitted == 0) return 0;
    } while (!whole_.compare_exchange_weak(whole, next, std::memory_order_relaxed));
    return admitted;
  }

 private:
  const std::uint64_t hz_;
  std::atomic<std::uint64_t> interval_{0}, window_{0};
  alignas(64) std::atomic<std::uint64_t> whole_{0};
};

}  // namespace sluice
