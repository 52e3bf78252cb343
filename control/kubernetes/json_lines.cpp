#include "control/kubernetes/api_json.h"

namespace sluice::kube {

Status JsonLines::feed(std::string_view bytes) {
  buffer_.erase(0, begin_);
  searched_ -= begin_;
  begin_ = 0;
  buffer_.append(bytes);
  const std::size_t newline = bytes.rfind('\n');
  const std::size_t unfinished =
      newline == std::string_view::npos ? buffer_.size() : bytes.size() - newline - 1;
  if (unfinished <= max_bytes_) return Ok{};
  return Error{"an event of the watch has more than " + std::to_string(max_bytes_) + " bytes"};
}

std::optional<std::string_view> JsonLines::next() {
  for (;;) {
    const std::size_t newline = buffer_.find('\n', searched_);
    if (newline == std::string::npos) {
      searched_ = buffer_.size();
      return std::nullopt;
    }
    const std::string_view line(buffer_.data() + begin_, newline - begin_);
    begin_ = searched_ = newline + 1;
    if (!line.empty()) return line;
  }
}

}  // namespace sluice::kube
