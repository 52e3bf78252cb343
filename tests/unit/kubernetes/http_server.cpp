#include "http_server.h"

#include <zlib.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace sluice::kube {

namespace asio = boost::asio;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

std::string http_answer(int status, const std::string& body, const std::string& headers) {
  return "HTTP/1.1 " + std::to_string(status) + " X\r\n" + headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

std::string chunk(const std::string& bytes) {
  char size[32];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + bytes + "\r\n";
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

struct HttpServer::State {
  State(asio::io_context& io, Options wanted, Handler answer_with)
      : options(std::move(wanted)),
        handler(std::move(answer_with)),
        acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)) {}

  static asio::awaitable<void> accept(std::shared_ptr<State> state) {
    for (;;) {
      error_code error;
      tcp::socket socket(state->acceptor.get_executor());
      co_await state->acceptor.async_accept(socket, awaiting(error));
      if (error) co_return;
      const int number = ++state->connections;
      if (state->options.tls) {
        asio::co_spawn(state->acceptor.get_executor(), encrypted(state, std::move(socket), number),
                       asio::detached);
      } else {
        asio::co_spawn(state->acceptor.get_executor(), plain(state, std::move(socket), number),
                       asio::detached);
      }
    }
  }

  static asio::awaitable<void> plain(std::shared_ptr<State> state, tcp::socket socket, int number) {
    co_await serve(state, socket, number);
  }

  static asio::awaitable<void> encrypted(std::shared_ptr<State> state, tcp::socket socket,
                                         int number) {
    ssl::context context(ssl::context::tls_server);
    context.use_certificate_chain(asio::buffer(state->options.identity.certificate));
    context.use_private_key(asio::buffer(state->options.identity.key), ssl::context::pem);
    if (!state->options.client_authority.empty()) {
      context.add_certificate_authority(asio::buffer(state->options.client_authority));
      context.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
    }
    ssl::stream<tcp::socket> stream(std::move(socket), context);
    error_code error;
    co_await stream.async_handshake(ssl::stream_base::server, awaiting(error));
    if (!error) co_await serve(state, stream, number);
  }

  template <typename Stream>
  static asio::awaitable<void> serve(std::shared_ptr<State> state, Stream& stream, int number) {
    std::string buffer;
    asio::steady_timer timer(state->acceptor.get_executor());
    for (;;) {
      error_code error;
      const std::size_t head = co_await asio::async_read_until(stream, asio::dynamic_buffer(buffer),
                                                               "\r\n\r\n", awaiting(error));
      if (error) co_return;
      SeenRequest request;
      request.connection = number;
      request.head = buffer.substr(0, head);
      buffer.erase(0, head);
      std::size_t length = 0;
      if (const auto at = request.head.find("Content-Length: "); at != std::string::npos) {
        length = std::stoul(request.head.substr(at + 16));
      }
      if (buffer.size() < length) {
        co_await asio::async_read(stream, asio::dynamic_buffer(buffer),
                                  asio::transfer_exactly(length - buffer.size()), awaiting(error));
        if (error) co_return;
      }
      request.body = buffer.substr(0, length);
      buffer.erase(0, length);
      state->requests.push_back(request);
      const Answer answer = state->handler(request);
      for (const std::string& piece : answer.pieces) {
        if (answer.pause.count() > 0) {
          timer.expires_after(answer.pause);
          co_await timer.async_wait(awaiting(error));
        }
        co_await asio::async_write(stream, asio::buffer(piece), awaiting(error));
        if (error) co_return;
      }
      if (answer.close) co_return;
    }
  }

  Options options;
  Handler handler;
  tcp::acceptor acceptor;
  int connections = 0;
  std::vector<SeenRequest> requests;
};

HttpServer::HttpServer(asio::io_context& io, Options options, Handler handler)
    : state_(std::make_shared<State>(io, std::move(options), std::move(handler))) {
  asio::co_spawn(io, State::accept(state_), asio::detached);
}

HttpServer::~HttpServer() {
  error_code ignored;
  state_->acceptor.close(ignored);
}

std::string HttpServer::port() const {
  return std::to_string(state_->acceptor.local_endpoint().port());
}
void HttpServer::present(const testing_certificates::Identity& identity) {
  state_->options.identity = identity;
}
int HttpServer::connections() const {
  return state_->connections;
}
const std::vector<SeenRequest>& HttpServer::requests() const {
  return state_->requests;
}

}  // namespace sluice::kube
