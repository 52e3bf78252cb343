// StatusQueue: Services to look at, each no earlier than its time. A Service is in it once, at the
// earliest time it was asked for. Ownership: by value. Thread: one.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace sluice::agent {

class StatusQueue {
 public:
  using Key = std::pair<std::string, std::string>;  // Namespace, name.
  using Time = std::chrono::steady_clock::time_point;

  void add(const Key& key, Time at) {
    const auto [entry, is_new] = times_.try_emplace(key, at);
    if (!is_new) {
      if (entry->second <= at) return;
      order_.erase({entry->second, key});
      entry->second = at;
    }
    order_.insert({at, key});
  }
  void remove(const Key& key) {
    const auto entry = times_.find(key);
    if (entry == times_.end()) return;
    order_.erase({entry->second, key});
    times_.erase(entry);
  }
  // Those whose time has come, the longest waiting first; they are in it no more.
  std::vector<Key> take(Time now, std::size_t most) {
    std::vector<Key> due;
    while (due.size() < most && !order_.empty() && order_.begin()->first <= now) {
      due.push_back(order_.begin()->second);
      remove(due.back());
    }
    return due;
  }
  std::optional<Time> next() const {
    if (order_.empty()) return std::nullopt;
    return order_.begin()->first;
  }
  std::size_t size() const { return times_.size(); }
  void clear() {
    times_.clear();
    order_.clear();
  }

 private:
  std::map<Key, Time> times_;
  std::set<std::pair<Time, Key>> order_;
};

}  // namespace sluice::agent
