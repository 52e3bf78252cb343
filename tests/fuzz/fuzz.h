// What the fuzzers share: an invariant that stops the run, and an input read piece by piece.
// Thread: one. Ownership: an Input views libFuzzer's bytes. Errors: reading past the end gives
// zeros and nothing, so that every input means something.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

// Unlike assert(), checked in every build.
#define FUZZ_CHECK(condition)                                               \
  do {                                                                      \
    if (!(condition)) ::sluice::fuzz::fail(#condition, __FILE__, __LINE__); \
  } while (false)

namespace sluice::fuzz {

[[noreturn]] inline void fail(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, condition);
  std::abort();
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size)
      : rest_(reinterpret_cast<const char*>(data), size) {}

  bool empty() const { return rest_.empty(); }
  std::uint8_t byte() {
    if (rest_.empty()) return 0;
    const auto value = static_cast<std::uint8_t>(rest_.front());
    rest_.remove_prefix(1);
    return value;
  }
  std::uint16_t word() {  // Big endian.
    const unsigned high = byte();
    return static_cast<std::uint16_t>(high << 8 | byte());
  }
  // At most so many bytes.
  std::string_view take(std::size_t bytes) {
    const std::string_view taken = rest_.substr(0, std::min(bytes, rest_.size()));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::string_view rest() { return take(rest_.size()); }

 private:
  std::string_view rest_;
};

void run(Input input);  // One input: of the fuzzers that entry.cpp is linked to.

// The writing side of word() and a counted take(), for seeds.
inline void put_word(std::string& out, std::size_t value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
inline void put_counted(std::string& out, std::string_view bytes) {
  put_word(out, bytes.size());
  out.append(bytes);
}

}  // namespace sluice::fuzz
