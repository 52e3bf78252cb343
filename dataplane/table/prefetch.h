// How a burst begins to load what it will read. Of large tables into the second-level cache: the
// first level has but some twenty fills under way at a time; a burst's hundred lines would wait for
// each other, and take twice as long where they come from memory (measured on Zen 4). What is small
// enough to be in the second level as a rule, into the first.
//
// Thread: any. Errors: none; the address need not be readable.
#pragma once

namespace sluice {

// Not __builtin_prefetch: GCC takes a function that does nothing else for one without effect, and
// leaves out its calls.
inline void prefetch_line(const void* line) {
  __asm__ volatile("prefetcht2 %0" : : "m"(*static_cast<const char*>(line)));
}

inline void prefetch_near_line(const void* line) {
  __asm__ volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(line)));
}

}  // namespace sluice
