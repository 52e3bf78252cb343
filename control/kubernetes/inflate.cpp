#include "control/kubernetes/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <array>

namespace sluice::kube {

struct Inflater::State {
  z_stream stream{};
  std::array<char, 32 * 1024> out;
  bool ready = false;
};

Inflater::Inflater() : state_(std::make_unique<State>()) {
  constexpr int kGzip = 16;  // Added to the window's bits, as zlib.h says.
  state_->ready = inflateInit2(&state_->stream, MAX_WBITS + kGzip) == Z_OK;
}

Inflater::~Inflater() {
  inflateEnd(&state_->stream);
}

Failure Inflater::feed(std::string_view bytes, std::size_t max, std::string* out) {
  z_stream& stream = state_->stream;
  if (!state_->ready) return Failure::kProtocol;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  for (;;) {
    stream.next_out = reinterpret_cast<Bytef*>(state_->out.data());
    stream.avail_out = static_cast<uInt>(state_->out.size());
    const bool had_input = stream.avail_in > 0;
    const int code = inflate(&stream, Z_NO_FLUSH);
    const std::size_t size = state_->out.size() - stream.avail_out;
    if (size > max) return Failure::kTooLarge;
    max -= size;
    out->append(state_->out.data(), size);
    if (code == Z_STREAM_END) {
      if (inflateReset(&stream) != Z_OK) return Failure::kProtocol;
      between_members_ = true;
      if (stream.avail_in == 0) return Failure::kNone;
      continue;
    }
    if (code != Z_OK && code != Z_BUF_ERROR) return Failure::kProtocol;
    if (had_input) between_members_ = false;
    // With room left in the output all that could be inflated has been.
    if (stream.avail_in == 0 && stream.avail_out > 0) return Failure::kNone;
  }
}

}  // namespace sluice::kube
