#include "tests/bench/generator/cpu_wait.h"

#include <filesystem>
#include <fstream>
#include <string>

namespace sluice::generator {

CpuWait::CpuWait(pid_t process) {
  if (process <= 0) return;
  std::error_code error;
  const std::filesystem::path tasks = "/proc/" + std::to_string(process) + "/task";
  for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
    std::ifstream file(task.path() / "schedstat");
    Times times;
    if (file >> times.running >> times.waiting)
      threads_[static_cast<pid_t>(std::stol(task.path().filename().string()))] = times;
  }
}

std::uint64_t CpuWait::since(const CpuWait& before, double seconds) const {
  std::uint64_t waited = 0;
  for (const auto& [thread, now] : threads_) {
    const auto then = before.threads_.find(thread);
    if (then == before.threads_.end()) continue;
    const std::uint64_t running = now.running - then->second.running;
    const std::uint64_t waiting = now.waiting - then->second.waiting;
    if (static_cast<double>(running + waiting) > 0.5e9 * seconds) waited += waiting;
  }
  return waited;
}

}  // namespace sluice::generator
