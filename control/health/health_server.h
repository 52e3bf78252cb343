// HealthServer: a small HTTP listener for /healthz, /readyz and /metrics.
// Ownership: the answers' callback must outlive it. Thread: the executor's, one. Bounds: 16
// connections, one request each, headers of 8 KiB, 5 seconds. Errors: listen() says why the address
// cannot be used; a bad request is answered and closed.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "proto/result.h"

namespace sluice {

struct HealthAnswer {
  unsigned status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
};

class HealthServer {
 public:
  using Answer = std::function<HealthAnswer(std::string_view path)>;  // 404 is its to say.

  HealthServer(boost::asio::any_io_executor executor, Answer answer);
  ~HealthServer();
  HealthServer(const HealthServer&) = delete;
  HealthServer& operator=(const HealthServer&) = delete;

  // "HOST:PORT", "[IPv6]:PORT"; HOST an address. [::] is every IPv4 address on a host without IPv6.
  Status listen(const std::string& address);
  std::uint16_t port() const;  // 0: does not listen.
  void stop();

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice
