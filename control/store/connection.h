// RedisConnection: the transport of a Redis: a socket, TLS on it where wanted,
// and the parser of what comes. Ownership: shared with the handler of a
// deadline, which may run after the Redis is gone. Thread: the executor's.
// Errors: open() says what to look at; read() and write() give the code,
// why_lost() its meaning.
#pragma once

#include <array>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/system/error_code.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "control/store/redis.h"
#include "control/store/reply.h"
#include "control/store/tls.h"
#include "proto/result.h"

namespace sluice::store {

class RedisConnection {
 public:
  // Tries every address of `address`, each for options.timeout. `into` is the
  // one being tried, so that its owner can close it, and in the end the open
  // one.
  static boost::asio::awaitable<Status> open(boost::asio::any_io_executor executor,
                                             RedisOptions options, std::string address,
                                             std::shared_ptr<RedisConnection>& into);

  RedisConnection(const boost::asio::any_io_executor& executor, const RedisOptions& options);
  RedisConnection(const RedisConnection&) = delete;
  RedisConnection& operator=(const RedisConnection&) = delete;

  boost::asio::awaitable<void> write(std::string_view bytes, boost::system::error_code& error);
  // What came; of use until the next read.
  boost::asio::awaitable<std::string_view> read(boost::system::error_code& error);
  std::string why_lost(const boost::system::error_code& error) const;

  bool is_open() const { return socket_.is_open(); }
  void close();
  void close(std::string reason);
  void expire();  // close() because a deadline passed.
  bool expired() const { return expired_; }
  void set_ready() { ready_ = true; }
  bool ready() const { return ready_; }  // Greeted.
  ReplyParser& parser() { return parser_; }
  boost::asio::any_io_executor executor() { return socket_.get_executor(); }

 private:
  using Endpoint = boost::asio::generic::stream_protocol::endpoint;
  boost::asio::awaitable<Status> connect(Endpoint endpoint, const TlsOptions* tls,
                                         std::string host);

  boost::asio::generic::stream_protocol::socket socket_;
  std::unique_ptr<TlsStream> tls_;
  ReplyParser parser_;
  std::array<char, 64 * 1024> chunk_;
  std::string reason_;  // Why it was closed from here.
  bool expired_ = false;
  bool ready_ = false;
};

// Closes the connection when its time is over, and also when its scope is left
// before done(): then a reply may be on its way that nobody waits for, and the
// next command would take it for its own.
class Deadline {
 public:
  Deadline(std::shared_ptr<RedisConnection> connection, std::chrono::milliseconds time);
  ~Deadline();
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;
  void done() { done_ = true; }

 private:
  std::shared_ptr<RedisConnection> connection_;
  boost::asio::steady_timer timer_;
  std::shared_ptr<bool> running_ = std::make_shared<bool>(true);
  bool done_ = false;
};

}  // namespace sluice::store
