// Transport: one connection to the API server, TCP or TLS over it.
// Ownership: shared, since a deadline's handler may outlive its user. Thread: the executor's.
// Errors: HttpProblem, its kind and a sentence. Once closed it stays closed.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "control/kubernetes/http_message.h"

namespace sluice::kube {

class Transport : public std::enable_shared_from_this<Transport> {
 public:
  using Clock = std::chrono::steady_clock;
  using Problem = std::optional<HttpProblem>;

  // `tls` null: plain TCP.
  Transport(boost::asio::any_io_executor executor, std::shared_ptr<boost::asio::ssl::context> tls);
  ~Transport();

  boost::asio::awaitable<Problem> connect(const ServerAccess& access, Clock::time_point deadline);
  boost::asio::awaitable<Problem> write(std::string_view bytes, Clock::time_point deadline);
  // Some bytes, valid until the next read; none at the end of what the peer sends.
  struct Read {
    Problem problem;
    std::string_view bytes;
  };
  boost::asio::awaitable<Read> read(Clock::time_point deadline);

  // Whether an idle connection is of no more use: closed by the peer, or it says what nobody asked.
  bool stale();
  void close();

 private:
  class Deadline;
  struct Sockets;
  boost::asio::awaitable<Problem> handshake(const ServerAccess& access);

  std::unique_ptr<Sockets> sockets_;
  std::string verify_problem_;
};

}  // namespace sluice::kube
