#include "proto/frame.h"

namespace sluice {

Status append_frame(std::string& out, std::string_view message) {
  if (message.size() > kMaxFrame) {
    return Error{"a message of " + std::to_string(message.size()) +
                 " bytes is longer than the limit of " + std::to_string(kMaxFrame) +
                 "; send it in parts"};
  }
  const auto length = static_cast<std::uint32_t>(message.size());
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(length >> shift));
  out.append(message);
  return Ok{};
}

void FrameDecoder::append(std::string_view bytes) {
  // Moved down only here, so that a view given by next() stays good until the next call.
  if (begin_ > 0) {
    buffer_.erase(0, begin_);
    begin_ = 0;
  }
  buffer_.append(bytes);
}

Result<std::optional<std::string_view>> FrameDecoder::next() {
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  if (rest.size() < kFrameHeader) return std::optional<std::string_view>();
  std::uint32_t length = 0;
  for (std::size_t i = 0; i < kFrameHeader; ++i)
    length = length << 8 | static_cast<std::uint8_t>(rest[i]);
  if (length > limit_) {
    return Error{"a message of " + std::to_string(length) + " bytes was announced, the limit is " +
                 std::to_string(limit_) + "; is the other end a Sluice of this version?"};
  }
  if (rest.size() < kFrameHeader + length) return std::optional<std::string_view>();
  begin_ += kFrameHeader + length;
  return std::optional(rest.substr(kFrameHeader, length));
}

}  // namespace sluice
