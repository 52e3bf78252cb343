// HTTP/1.1 without any socket: the text of a request, and an answer read from its bytes.
// Ownership: its own state. Thread: one. Bounds: header 64 KiB; body as told. Errors: a Failure and
// a sentence, sticky. Source: RFC 9112; parsed by Boost.Beast.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/kubernetes/api_client.h"

namespace sluice::kube {

struct HttpProblem {
  Failure failure = Failure::kProtocol;
  std::string text;
};

// An Error for what would not be one request: spaces or control characters in its parts.
Result<std::string> request_text(const Request& request, const ServerAccess& access,
                                 const std::string& token, const std::string& user_agent);

class AnswerReader {
 public:
  // Of the body, inflated; counted from the beginning.
  explicit AnswerReader(std::size_t max_bytes);
  ~AnswerReader();

  std::optional<HttpProblem> feed(std::string_view bytes);
  // The peer closed: an error unless the answer ends so.
  std::optional<HttpProblem> feed_end();

  bool begun() const;  // Any byte was fed.
  bool header_done() const;
  bool done() const;
  bool keep_alive() const;  // The connection may be used again; only after done().
  unsigned status() const;  // After header_done(), as the next.
  std::string field(std::string_view name) const;  // Empty: there is none.
  // Bytes of the body not taken yet; the caller clears it as it takes them.
  std::string& body();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::kube
