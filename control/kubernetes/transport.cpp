#include "control/kubernetes/transport.h"

#include <sys/socket.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "control/kubernetes/tls.h"

namespace sluice::kube {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

HttpProblem problem(Failure failure, std::string text) {
  return {failure, std::move(text)};
}

}  // namespace

struct Transport::Sockets {
  Sockets(const asio::any_io_executor& executor, std::shared_ptr<ssl::context> context)
      : resolver(executor), plain(executor), tls_context(std::move(context)) {
    if (tls_context) tls.emplace(executor, *tls_context);
  }
  tcp::socket& lowest() { return tls ? tls->next_layer() : plain; }

  tcp::resolver resolver;
  tcp::socket plain;
  std::shared_ptr<ssl::context> tls_context;
  std::optional<ssl::stream<tcp::socket>> tls;
  std::array<char, 32 * 1024> chunk;
  bool closed = false;
};

// Closes the connection when its time is over, and when its scope is left before done(): then what
// was asked for may still come, and would be taken for an answer to something else.
class Transport::Deadline {
 public:
  Deadline(std::shared_ptr<Transport> transport, Clock::time_point time)
      : transport_(std::move(transport)),
        timer_(transport_->sockets_->lowest().get_executor(), time) {
    timer_.async_wait([expired = expired_, transport = transport_](error_code error) {
      if (error || *expired != State::kRunning) return;
      *expired = State::kExpired;
      transport->close();
    });
  }
  ~Deadline() {
    if (*expired_ == State::kRunning) *expired_ = State::kOver;
    if (!done_) transport_->close();
  }
  void done() { done_ = true; }
  bool expired() const { return *expired_ == State::kExpired; }

 private:
  enum class State { kRunning, kExpired, kOver };
  std::shared_ptr<Transport> transport_;
  asio::steady_timer timer_;
  std::shared_ptr<State> expired_ = std::make_shared<State>(State::kRunning);
  bool done_ = false;
};

Transport::Transport(asio::any_io_executor executor, std::shared_ptr<ssl::context> tls)
    : sockets_(std::make_unique<Sockets>(executor, std::move(tls))) {}

Transport::~Transport() = default;

void Transport::close() {
  sockets_->closed = true;
  sockets_->resolver.cancel();
  error_code ignored;
  sockets_->lowest().close(ignored);
}

bool Transport::stale() {
  tcp::socket& socket = sockets_->lowest();
  if (sockets_->closed || !socket.is_open()) return true;
  char byte = 0;
  const ssize_t size = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

asio::awaitable<Transport::Problem> Transport::connect(const ServerAccess& access,
                                                       Clock::time_point deadline) {
  const std::shared_ptr<Transport> self = shared_from_this();
  Deadline timer(self, deadline);
  const auto failed = [&](const std::string& what, const error_code& error) {
    return timer.expired() ? problem(Failure::kTimeout, what + " took too long")
                           : problem(Failure::kTransport, what + " failed: " + error.message());
  };
  error_code error;
  const auto found =
      co_await sockets_->resolver.async_resolve(access.host, access.port, awaiting(error));
  if (error || sockets_->closed) {
    co_return failed("resolving \"" + access.host + "\"",
                     error ? error : asio::error::operation_aborted);
  }
  error = asio::error::host_not_found;
  for (const auto& entry : found) {
    if (!access.tls && !entry.endpoint().address().is_loopback()) {
      co_return problem(Failure::kTransport,
                        "plain http is spoken to loopback addresses only; use https");
    }
    if (sockets_->closed) break;
    error_code ignored;
    sockets_->lowest().close(ignored);
    co_await sockets_->lowest().async_connect(entry.endpoint(), awaiting(error));
    if (!error) break;
  }
  if (error || sockets_->closed)
    co_return failed("connecting", error ? error : asio::error::operation_aborted);
  error_code ignored;
  sockets_->lowest().set_option(tcp::no_delay(true), ignored);
  sockets_->lowest().set_option(asio::socket_base::keep_alive(true), ignored);
  if (sockets_->tls) {
    if (auto bad = co_await handshake(access)) {
      if (timer.expired()) co_return problem(Failure::kTimeout, "the TLS handshake took too long");
      co_return bad;
    }
  }
  timer.done();
  co_return std::nullopt;
}

asio::awaitable<Transport::Problem> Transport::handshake(const ServerAccess& access) {
  const std::string& name = access.tls_server_name.empty() ? access.host : access.tls_server_name;
  const Status ready =
      prepare_tls(sockets_->tls->native_handle(), name, !access.skip_tls_verify, &verify_problem_);
  if (!ready) co_return problem(Failure::kTls, ready.error());
  error_code error;
  co_await sockets_->tls->async_handshake(ssl::stream_base::client, awaiting(error));
  if (!error) co_return std::nullopt;
  if (!verify_problem_.empty()) co_return problem(Failure::kTls, verify_problem_);
  // An answer that is no TLS, or an alert; else the connection was lost meanwhile.
  const bool tls = error.category() == asio::error::get_ssl_category();
  co_return problem(tls ? Failure::kTls : Failure::kTransport,
                    "the TLS handshake failed: " + error.message());
}

asio::awaitable<Transport::Problem> Transport::write(std::string_view bytes,
                                                     Clock::time_point deadline) {
  const std::shared_ptr<Transport> self = shared_from_this();
  if (sockets_->closed) co_return problem(Failure::kTransport, "the connection is closed");
  Deadline timer(self, deadline);
  error_code error;
  const auto buffer = asio::buffer(bytes.data(), bytes.size());
  if (sockets_->tls) {
    co_await asio::async_write(*sockets_->tls, buffer, awaiting(error));
  } else {
    co_await asio::async_write(sockets_->plain, buffer, awaiting(error));
  }
  if (timer.expired()) co_return problem(Failure::kTimeout, "sending took too long");
  if (error) co_return problem(Failure::kTransport, "cannot send: " + error.message());
  timer.done();
  co_return std::nullopt;
}

asio::awaitable<Transport::Read> Transport::read(Clock::time_point deadline) {
  const std::shared_ptr<Transport> self = shared_from_this();
  if (sockets_->closed)
    co_return Read{problem(Failure::kTransport, "the connection is closed"), {}};
  Deadline timer(self, deadline);
  error_code error;
  std::size_t size = 0;
  const auto buffer = asio::buffer(sockets_->chunk);
  if (sockets_->tls) {
    size = co_await sockets_->tls->async_read_some(buffer, awaiting(error));
  } else {
    size = co_await sockets_->plain.async_read_some(buffer, awaiting(error));
  }
  if (timer.expired()) co_return Read{problem(Failure::kTimeout, "no answer in time"), {}};
  // Without a close_notify too: where a message ends, HTTP itself says.
  const bool end = error == asio::error::eof || error == ssl::error::stream_truncated;
  if (error && !end) {
    const bool tls = error.category() == asio::error::get_ssl_category();
    co_return Read{problem(tls ? Failure::kTls : Failure::kTransport,
                           "the connection was lost: " + error.message()),
                   {}};
  }
  timer.done();
  co_return Read{std::nullopt, std::string_view(sockets_->chunk.data(), end ? 0 : size)};
}

}  // namespace sluice::kube
