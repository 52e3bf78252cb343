// Framing of messages on a stream socket: a 32-bit big-endian length, then that many bytes.
// Used on both ends of the sockets of sluice-dataplane and sluice-control.
//
// Ownership: the decoder owns its buffer; a view it gives lives until its next call. Thread: one.
// Units: bytes. Errors: a frame longer than the limit ends the stream: the decoder refuses
// everything
//   after it, since the start of the next frame is not known any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proto/result.h"

namespace sluice {

inline constexpr std::size_t kFrameHeader = 4;
inline constexpr std::size_t kMaxFrame = 4u << 20;  // Of one message, without its header.

// Appends the frame of `message` to `out`; refused, with nothing appended, beyond kMaxFrame.
Status append_frame(std::string& out, std::string_view message);

class FrameDecoder {
 public:
  explicit FrameDecoder(std::size_t limit = kMaxFrame) : limit_(limit) {}

  // What the socket gave, in pieces of any size.
  void append(std::string_view bytes);
  // The next whole message, std::nullopt until there is one. Call until it gives none.
  Result<std::optional<std::string_view>> next();
  // Bytes held that no next() has given out yet; not 0 at the end of a stream: it was cut.
  std::size_t pending() const { return buffer_.size() - begin_; }

 private:
  std::size_t limit_;
  std::size_t begin_ = 0;  // Of the first frame not given out yet.
  std::string buffer_;
};

}  // namespace sluice
