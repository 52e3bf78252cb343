// GraceQueue: what was unpublished and may be reused or freed only when no worker can still see it.
// Everything retired between two calls of poll() shares one grace period.
// Thread: one. Ownership: holds the actions until their grace period has passed; what is left at
// its
//   end is dropped unrun, since its owner ends too.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "dataplane/kernel/packets.h"

namespace sluice {

class GraceQueue {
 public:
  explicit GraceQueue(Grace& grace) : grace_(grace) {}

  // Runs `action` after a grace period that starts at the next poll(): unpublish before then.
  void retire(std::function<void()> action) { open_.push_back(std::move(action)); }

  void poll() {
    if (!open_.empty()) {
      waiting_.push_back({grace_.grace_start(), std::move(open_)});
      open_.clear();
    }
    while (!waiting_.empty() && grace_.grace_passed(waiting_.front().token)) {
      const auto actions = std::move(waiting_.front().actions);
      waiting_.pop_front();
      for (const auto& action : actions) action();
    }
  }
  bool empty() const { return open_.empty() && waiting_.empty(); }

 private:
  struct Batch {
    std::uint64_t token;
    std::vector<std::function<void()>> actions;
  };
  Grace& grace_;
  std::vector<std::function<void()>> open_;
  std::deque<Batch> waiting_;
};

}  // namespace sluice
