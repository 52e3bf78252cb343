// TlsStream: TLS over a connected socket, as a client that verifies the server.
// Purpose: keeps OpenSSL out of the rest. Ownership: refers to the socket, which must outlive it;
// the files of TlsOptions are read when it is made, so that renewed ones count from the next
// connection on. Thread: the socket's. Errors: plain words that name the setting to look at; TLS
// 1.2 at least. Source: RFC 8446, RFC 9525, OpenSSL 3.0.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

class TlsStream {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // `host`: what the certificate must be for, where options.server_name is empty.
  static Result<std::unique_ptr<TlsStream>> make(Socket& socket, const TlsOptions& options,
                                                 const std::string& host);
  ~TlsStream();

  // Errors begin with what the server did: "has a certificate that ...".
  boost::asio::awaitable<Status> handshake();
  boost::asio::awaitable<void> write(std::string_view bytes, boost::system::error_code& error);
  boost::asio::awaitable<std::size_t> read(char* bytes, std::size_t size,
                                           boost::system::error_code& error);
  // What an error of read() or write() means; empty: nothing more than its own message.
  static std::string explain(const boost::system::error_code& error);

 private:
  struct Impl;
  explicit TlsStream(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::store
