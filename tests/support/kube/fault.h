// Fault: what the fake API server does wrong on command. Ownership: by value. Thread: one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sluice::test::kube {

struct Fault {
  enum class Kind {
    kStatus,   // Answers `status` with a Status object.
    kGarbage,  // 200, and bytes that are no JSON.
    kNotHttp,  // Bytes that are no HTTP.
    kEndless,  // 200 and a body that never ends (list items, or events of a watch).
    kHang,     // Reads the request and never answers.
    kCut,      // The answer's first `bytes` bytes, then the connection is closed.
    kDelay,    // Answers after `delay`.
    kDrop,     // Does what was asked and closes without an answer.
  };
  Kind kind = Kind::kStatus;
  unsigned status = 500;
  unsigned retry_after_s = 0;
  std::uint64_t bytes = 0;
  std::chrono::milliseconds delay{0};
  std::string path;  // Requests whose target has this in it; empty: all.
  std::string verb;  // "list", "watch", "get", "create", "update", "patch", "delete"; empty: all.
  std::int64_t count = -1;  // How often; -1: until it is cleared.
};

class Faults {
 public:
  void add(Fault fault) { faults_.push_back(std::move(fault)); }
  // Also ends every delay.
  void clear() {
    faults_.clear();
    ++epoch_;
  }
  std::uint64_t epoch() const { return epoch_; }
  std::size_t size() const { return faults_.size(); }
  // The fault that meets this request, counted down; kind kDelay with delay 0: none.
  Fault take(std::string_view target, std::string_view verb);

 private:
  std::vector<Fault> faults_;
  std::uint64_t epoch_ = 0;
};

}  // namespace sluice::test::kube
