// CpuWait: how long threads that poll had to wait for a CPU that others had. On a machine that does
// other things as well, it tells loss of the kernel's making from the subject's.
//
// Thread: any. Source: /proc/PID/task/TID/schedstat (Linux, scheduler/sched-stats.rst): nanoseconds
// on a CPU, nanoseconds runnable without one.
// Errors: where the kernel does not count, nothing waited.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>

namespace sluice::generator {

class CpuWait {
 public:
  explicit CpuWait(pid_t process);  // Counts as of now; 0: no process.
  // Nanoseconds that the process's threads waited since `before`, threads that were mostly idle in
  // these `seconds` left out.
  std::uint64_t since(const CpuWait& before, double seconds) const;

 private:
  struct Times {
    std::uint64_t running = 0, waiting = 0;
  };
  std::map<pid_t, Times> threads_;
};

}  // namespace sluice::generator
