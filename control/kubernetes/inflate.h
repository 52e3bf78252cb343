// Inflater: gzip (RFC 1952) in pieces, by zlib. Several members in a row are one text.
// Ownership: its own state. Thread: one. Bounds: each call gives at most what it is told.
// Errors: kTooLarge, kProtocol; nothing may be fed after one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "control/kubernetes/api_client.h"

namespace sluice::kube {

class Inflater {
 public:
  Inflater();
  ~Inflater();

  // Appends what the bytes inflate to; kTooLarge when that is more than `max`.
  Failure feed(std::string_view bytes, std::size_t max, std::string* out);
  // Whether what was fed ends where a member does.
  bool whole() const { return between_members_; }

 private:
  struct State;
  std::unique_ptr<State> state_;
  bool between_members_ = false;
};

}  // namespace sluice::kube
