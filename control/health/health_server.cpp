#include "control/health/health_server.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/v6_only.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <utility>

namespace sluice {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr int kMaxConnections = 16;
constexpr unsigned kMaxHeader = 8 << 10;
constexpr auto kDeadline = std::chrono::seconds(5);
constexpr auto kPause = std::chrono::milliseconds(100);  // After a failed accept.

}  // namespace

class HealthServer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::any_io_executor executor, Answer answer)
      : acceptor_(executor), pause_(executor), answer_(std::move(answer)) {}

  Status listen(const std::string& address);
  asio::awaitable<void> accept();
  asio::awaitable<void> serve(tcp::socket socket);
  void stop() {
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
  }

  tcp::acceptor acceptor_;

 private:
  error_code open(const tcp::endpoint& endpoint);

  asio::steady_timer pause_;
  const Answer answer_;
  int connections_ = 0;
};

error_code HealthServer::Impl::open(const tcp::endpoint& endpoint) {
  error_code error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error && endpoint.protocol() == tcp::v6())
    acceptor_.set_option(asio::ip::v6_only(false), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(kMaxConnections, error);
  error_code ignored;
  if (error) acceptor_.close(ignored);
  return error;
}

Status HealthServer::Impl::listen(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  error_code error;
  const auto ip = asio::ip::make_address(host, error);
  if (error) {
    return Error{"listen \"" + address + "\": \"" + host +
                 "\" is not an address; [::] and 0.0.0.0 stand for all"};
  }
  const auto port = static_cast<std::uint16_t>(std::stoul("0" + address.substr(colon + 1)));
  error = open({ip, port});
  if (error && ip.is_v6() && ip.is_unspecified()) error = open({tcp::v4(), port});
  if (error) return Error{"listen \"" + address + "\": " + error.message()};
  asio::co_spawn(
      acceptor_.get_executor(),
      [self = shared_from_this()]() -> asio::awaitable<void> { co_await self->accept(); },
      asio::detached);
  return Ok{};
}

asio::awaitable<void> HealthServer::Impl::accept() {
  while (acceptor_.is_open()) {
    error_code error;
    tcp::socket socket =
        co_await acceptor_.async_accept(asio::redirect_error(asio::use_awaitable, error));
    if (!acceptor_.is_open()) co_return;
    if (error) {
      pause_.expires_after(kPause);
      co_await pause_.async_wait(asio::redirect_error(asio::use_awaitable, error));
      continue;
    }
    if (connections_ >= kMaxConnections) continue;  // Closes it.
    ++connections_;
    asio::co_spawn(
        acceptor_.get_executor(),
        [self = shared_from_this(), peer = std::move(socket)]() mutable -> asio::awaitable<void> {
          co_await self->serve(std::move(peer));
          --self->connections_;
        },
        asio::detached);
  }
}

asio::awaitable<void> HealthServer::Impl::serve(tcp::socket socket) {
  beast::tcp_stream stream(std::move(socket));
  stream.expires_after(kDeadline);
  beast::flat_buffer buffer(2 * kMaxHeader);
  http::request_parser<http::empty_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(0);
  error_code error;
  co_await http::async_read(stream, buffer, parser,
                            asio::redirect_error(asio::use_awaitable, error));
  http::response<http::string_body> response;
  response.version(11);
  if (error && error.category() != http::make_error_code(http::error::bad_target).category())
    co_return;  // Nobody is there to be answered.
  HealthAnswer answer;
  if (error) {
    answer = {400, "text/plain; charset=utf-8", "not a request that is understood here\n"};
  } else if (parser.get().method() != http::verb::get &&
             parser.get().method() != http::verb::head) {
    answer = {405, "text/plain; charset=utf-8", "GET and HEAD only\n"};
  } else {
    const std::string_view target(parser.get().target().data(), parser.get().target().size());
    answer = answer_(target.substr(0, target.find('?')));
  }
  response.result(answer.status);
  response.set(http::field::content_type, answer.content_type);
  response.body() = std::move(answer.body);
  response.keep_alive(false);
  response.prepare_payload();
  if (!error && parser.get().method() == http::verb::head) response.body().clear();
  co_await http::async_write(stream, response, asio::redirect_error(asio::use_awaitable, error));
  stream.socket().shutdown(tcp::socket::shutdown_send, error);
}

HealthServer::HealthServer(asio::any_io_executor executor, Answer answer)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(answer))) {}

HealthServer::~HealthServer() {
  stop();
}

Status HealthServer::listen(const std::string& address) {
  return impl_->listen(address);
}

std::uint16_t HealthServer::port() const {
  error_code error;
  const auto endpoint = impl_->acceptor_.local_endpoint(error);
  return error ? std::uint16_t{0} : endpoint.port();
}

void HealthServer::stop() {
  impl_->stop();
}

}  // namespace sluice
