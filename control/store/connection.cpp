#include "control/store/connection.h"

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>
#include <vector>

#include "control/store/endpoint.h"
#include "control/store/resolve.h"

namespace sluice::store {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

Deadline::Deadline(std::shared_ptr<RedisConnection> connection, std::chrono::milliseconds time)
    : connection_(std::move(connection)), timer_(connection_->executor(), time) {
  timer_.async_wait([running = running_, shared = connection_](error_code error) {
    if (!error && *running) shared->expire();
  });
}

Deadline::~Deadline() {
  *running_ = false;
  if (!done_) connection_->close();
}

RedisConnection::RedisConnection(const asio::any_io_executor& executor, const RedisOptions& options)
    : socket_(executor), parser_(options.max_reply_bytes, options.max_reply_elements) {}

void RedisConnection::close() {
  error_code ignored;
  socket_.close(ignored);
}

void RedisConnection::close(std::string reason) {
  reason_ = std::move(reason);
  close();
}

void RedisConnection::expire() {
  expired_ = true;
  close();
}

asio::awaitable<void> RedisConnection::write(std::string_view bytes, error_code& error) {
  if (tls_) {
    co_await tls_->write(bytes, error);
  } else {
    co_await asio::async_write(socket_, asio::buffer(bytes), awaiting(error));
  }
}

asio::awaitable<std::string_view> RedisConnection::read(error_code& error) {
  std::size_t size = 0;
  if (tls_) {
    size = co_await tls_->read(chunk_.data(), chunk_.size(), error);
  } else {
    size = co_await socket_.async_read_some(asio::buffer(chunk_), awaiting(error));
  }
  co_return std::string_view(chunk_.data(), size);
}

std::string RedisConnection::why_lost(const error_code& error) const {
  if (!reason_.empty()) return reason_;
  const std::string meaning = TlsStream::explain(error);
  if (!meaning.empty()) return "it " + meaning;
  std::string text = "connection lost: " + error.message();
  if (!ready_ && !tls_) text += "; does it want TLS (redis.tls.enabled)?";
  // Its alert is lost where the connection was reset before it was read.
  if (!ready_ && tls_) text += "; does it want a certificate of ours (redis.tls.certificate)?";
  return text;
}

asio::awaitable<Status> RedisConnection::connect(Endpoint endpoint, const TlsOptions* tls,
                                                 std::string host) {
  error_code error;
  co_await socket_.async_connect(endpoint, awaiting(error));
  if (expired_) error = asio::error::timed_out;
  if (error) {
    co_return Error{"cannot be connected to: " + error.message() +
                    "; is it running, and is its address right?"};
  }
  if (endpoint.protocol().family() != AF_UNIX) {
    socket_.set_option(asio::ip::tcp::no_delay(true), error);
    socket_.set_option(asio::socket_base::keep_alive(true), error);
  }
  if (tls == nullptr) co_return Ok{};
  auto made = TlsStream::make(socket_, *tls, host);
  if (!made) co_return Error{"cannot be connected to: " + made.error()};
  tls_ = std::move(*made);
  const Status done = co_await tls_->handshake();
  if (expired_) {
    co_return Error{"does not answer the TLS handshake; is it a port for TLS (tls-port)?"};
  }
  co_return done;
}

asio::awaitable<Status> RedisConnection::open(asio::any_io_executor executor, RedisOptions options,
                                              std::string address,
                                              std::shared_ptr<RedisConnection>& into) {
  const Result<store::Endpoint> place = parse_endpoint(address);
  if (!place) co_return Error{place.error()};
  const bool local = !place->path.empty();
  std::vector<Endpoint> candidates;
  if (local) {
    candidates.emplace_back(asio::local::stream_protocol::endpoint(place->path));
  } else {
    auto found = co_await resolve(executor, place->host, place->port, options.timeout);
    if (!found) co_return Error{"Redis at " + address + ": " + found.error()};
    for (const auto& one : *found) candidates.emplace_back(one);
  }
  Status status = Error{"has no address"};
  for (const Endpoint& candidate : candidates) {
    const auto connection = std::make_shared<RedisConnection>(executor, options);
    into = connection;
    Deadline deadline(connection, options.timeout);
    const bool with_tls = options.tls.enabled && !local;
    status =
        co_await connection->connect(candidate, with_tls ? &options.tls : nullptr, place->host);
    if (into != connection)
      co_return Error{"the connection to Redis at " + address + " was closed"};
    if (!status) continue;
    deadline.done();
    co_return Ok{};
  }
  co_return Error{"Redis at " + address + " " + status.error()};
}

}  // namespace sluice::store
