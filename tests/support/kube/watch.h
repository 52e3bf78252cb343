// Watch: the body of one WATCH answer, chunk by chunk; one chunk an event, as the real server sends
// them. No I/O. Ownership: refers to the Store. Thread: the Store's.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/kube/api.h"
#include "tests/support/kube/store.h"

namespace sluice::test::kube {

class Watch {
 public:
  using Clock = std::chrono::steady_clock;
  Watch(const Store& store, WatchRequest request, std::chrono::milliseconds bookmark_interval,
        Clock::time_point now);

  // Appends the chunks that are due, about `enough` bytes at most. False: the body is at its end,
  // its last chunk in `out`.
  bool next(std::string& out, std::size_t enough, Clock::time_point now);
  // When next() has something to do even if nothing changes.
  Clock::time_point due() const;
  std::uint64_t events() const { return events_; }

 private:
  void add_initial();
  void add_change(const Change& change);
  void add_event(std::string_view type, std::string_view object);
  void add_bookmark(bool initial_end);

  const Store& store_;
  WatchRequest request_;
  std::chrono::milliseconds bookmark_interval_;
  Clock::time_point next_bookmark_, last_bookmark_, end_;
  std::uint64_t cursor_;    // The last version seen.
  std::uint64_t told_ = 0;  // The last version the client was told.
  bool last_bookmark_sent_ = false;
  bool started_ = false;
  std::uint64_t events_ = 0;
  std::string* out_ = nullptr;
  std::vector<Change> changes_;
};

std::string chunk(std::string_view data);
inline constexpr const char* kLastChunk = "0\r\n\r\n";

}  // namespace sluice::test::kube
