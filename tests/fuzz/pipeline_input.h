// How an input of pipeline_fuzz describes what happens to a gateway: steps of seven bytes
// (flags, headroom, amount, ticks, length; flags and length have two), each followed by a packet of
// that length. Read by the fuzzer, written by
// the seeds' generator. Units: bytes; ticks of half a second.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/fuzz/fuzz.h"

namespace sluice::fuzz {

inline constexpr std::size_t kMaxPacket = 2048;

struct Step {
  enum Flag : std::uint16_t {
    kFromBackends = 1,  // By port 1, else port 0.
    kOtherWorker = 2,   // To worker 1, else worker 0.
    kSteered = 4,       // The NIC hashed it.
    kRepair = 8,        // Checksums are put right first, which mutation never would.
    kSplit = 16,        // The headers' buffer ends early, the rest is in another.
    kReply = 32,        // What the receiver of the packet last sent would answer; then `amount` are
                        // its TCP flags and `bytes` unused.
    kSameBurst = 64,    // With the packet before it.
    kTime = 128,        // `ticks` pass first, and the tables are swept.
    kError = 256,  // What a router on the way of the packet last sent would say of it: `amount`
                   // chooses what, and how much of it is quoted; `bytes` begin with the MTU.
  };
  std::uint16_t flags = kRepair;
  std::uint8_t headroom = 0;
  std::uint8_t amount = 0;  // Tailroom; with kSplit, 256ths of the packet in the first buffer.
  std::uint8_t ticks = 0;
  std::string_view bytes;

  bool is(Flag flag) const { return (flags & flag) != 0; }
};

inline Step read_step(Input& input) {
  Step step;
  step.flags = input.word();
  step.headroom = input.byte();
  step.amount = input.byte();
  step.ticks = input.byte();
  step.bytes = input.take(std::min<std::size_t>(input.word(), kMaxPacket));
  return step;
}

inline void write_step(std::string& out, const Step& step) {
  put_word(out, step.flags);
  out.push_back(static_cast<char>(step.headroom));
  out.push_back(static_cast<char>(step.amount));
  out.push_back(static_cast<char>(step.ticks));
  put_counted(out, step.bytes);
}

}  // namespace sluice::fuzz
