// A blocking TLS client that shows the bytes it was sent. Errors: std::exception.
#pragma once

#include <memory>
#include <string>

#include "tests/support/kube/server.h"

namespace sluice::test::kube {

class RawClient {
 public:
  explicit RawClient(const ServerThread& server);
  ~RawClient();
  // "GET /api/v1/services" with a token; `more` are further header lines with their CRLF.
  void send(const std::string& method_and_target, const std::string& token = "admin-token",
            const std::string& more = "", const std::string& body = "");
  // Reads on until the text is there, `bytes` are there, or the connection ends; all so far.
  const std::string& read_until(const std::string& text);
  const std::string& read_bytes(std::size_t bytes);
  const std::string& read_all();
  bool ended() const { return ended_; }

 private:
  bool read_some();
  struct Parts;
  std::unique_ptr<Parts> parts_;
  std::string received_;
  bool ended_ = false;
};

// One request on a connection of its own: everything that came.
std::string fetch(const ServerThread& server, const std::string& method_and_target,
                  const std::string& token = "admin-token", const std::string& more = "",
                  const std::string& body = "");

}  // namespace sluice::test::kube
