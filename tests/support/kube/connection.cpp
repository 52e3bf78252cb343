// One connection of the server: TLS or plain, requests, streams, faults.
#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <type_traits>

#include "tests/support/kube/http_text.h"
#include "tests/support/kube/server_state.h"
#include "tests/support/kube/watch.h"

namespace sluice::test::kube {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using asio::ip::tcp;
using TlsStream = asio::ssl::stream<tcp::socket>;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxBody = 3 * 1024 * 1024;  // As the real server.
constexpr std::size_t kWatchBatch = 256 * 1024;

template <class Stream>
class OneConnection : public Connection,
                      public std::enable_shared_from_this<OneConnection<Stream>> {
 public:
  OneConnection(std::shared_ptr<Server::State> state, Stream stream)
      : state_(std::move(state)),
        stream_(std::move(stream)),
        socket_(stream_.lowest_layer()),
        wake_(state_->executor) {
    plain = !std::is_same_v<Stream, TlsStream>;
    state_->connections.push_back(this);
    place_ = std::prev(state_->connections.end());
    ++state_->counters.open_connections;
  }
  ~OneConnection() override {
    state_->connections.erase(place_);
    --state_->counters.open_connections;
  }

  void close() override {
    boost::system::error_code ignored;
    closed_ = true;
    socket_.shutdown(tcp::socket::shutdown_both, ignored);
    socket_.close(ignored);
    wake_.cancel();
  }
  void wake() override { wake_.cancel(); }
  void end_watch(bool cut) override {
    if (cut) return close();
    ended_ = true;
    wake_.cancel();
  }

  asio::awaitable<void> run() {
    const auto keep = this->shared_from_this();
    boost::system::error_code error;
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      co_await stream_.async_handshake(asio::ssl::stream_base::server,
                                       asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return close();
      user_ = certificate_user();
    }
    socket_.set_option(tcp::no_delay(true), error);
    while (!closed_ && co_await one_request()) {
    }
    close();
  }

 private:
  User certificate_user() {
    User user;
    user.name.clear();
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      X509* certificate = SSL_get1_peer_certificate(stream_.native_handle());
      if (certificate == nullptr) return user;
      X509_NAME* name = X509_get_subject_name(certificate);
      char text[256];
      if (X509_NAME_get_text_by_NID(name, NID_commonName, text, sizeof text) > 0) user.name = text;
      if (X509_NAME_get_text_by_NID(name, NID_organizationName, text, sizeof text) > 0) {
        user.groups.emplace_back(text);
      }
      X509_free(certificate);
    }
    return user;
  }

  // False: no more on this connection.
  asio::awaitable<bool> one_request() {
    http::request_parser<http::string_body> parser;
    parser.body_limit(kMaxBody);
    boost::system::error_code error;
    co_await http::async_read(stream_, buffer_, parser,
                              asio::redirect_error(asio::use_awaitable, error));
    budget_ = -1;
    if (error == http::error::body_limit) {
      co_await send(
          whole(failure(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"),
                false, false));
      co_return false;
    }
    if (error) co_return false;
    const http::request<http::string_body>& message = parser.get();
    Request request;
    request.method = std::string(message.method_string());
    request.target = std::string(message.target());
    request.authorization = std::string(message[http::field::authorization]);
    request.content_type = std::string(message[http::field::content_type]);
    request.user_agent = std::string(message[http::field::user_agent]);
    request.gzip = message[http::field::accept_encoding].find("gzip") != std::string::npos;
    request.body = message.body();
    request.trusted = !std::is_same_v<Stream, TlsStream>;
    request.certificate_user = user_;
    const bool keep = message.keep_alive();
    ++state_->counters.requests;
    co_return co_await respond(request) && keep;
  }

  asio::awaitable<bool> respond(const Request& request) {
    const Target target = parse_target(request.target);
    if (request.trusted && !target.path.empty() && target.path[0] == "admin") {
      if (state_->server == nullptr) co_return false;
      const Answer answer = admin(*state_, request);
      std::string bytes = whole(answer, false, false);
      co_return co_await send(std::move(bytes));
    }
    const ResourcePath path = resource_path(target);
    const std::string verb = path.place.resource == nullptr ? "" : verb_of(request, target, path);
    Fault fault;
    fault.kind = Fault::Kind::kDelay;
    // Drivers on the plain port see no faults.
    if (!request.trusted) fault = state_->faults.take(request.target, verb);
    if (fault.kind != Fault::Kind::kDelay) {
      if (fault.kind == Fault::Kind::kCut) {
        budget_ = static_cast<std::int64_t>(fault.bytes);
      } else if (fault.kind == Fault::Kind::kDrop) {
        state_->answer(request);
        co_return false;
      } else {
        co_return co_await misbehave(fault, path, verb);
      }
    } else if (fault.delay.count() > 0) {
      wake_.expires_after(fault.delay);
      const std::uint64_t epoch = state_->faults.epoch();
      while (!closed_ && Clock::now() < wake_.expiry() && epoch == state_->faults.epoch()) {
        co_await pause();
      }
    }
    if (state_->replay != nullptr && !request.trusted) {
      if (const Replay::Recording* recording = state_->replay->find(request, target)) {
        co_return co_await play(*recording);
      }
    }
    Outcome outcome = state_->answer(request);
    count(verb, outcome);
    if (outcome.watch) co_return co_await watch(std::move(*outcome.watch));
    const bool head = request.method == "HEAD";
    std::string bytes = whole(outcome.answer, outcome.list && request.gzip, head);
    co_return co_await send(std::move(bytes));
  }

  void count(const std::string& verb, const Outcome& outcome) {
    Server::Counters& counters = state_->counters;
    if (verb == "list") ++counters.lists;
    if (verb == "watch") ++counters.watches;
    if (verb == "create" || verb == "update" || verb == "patch" || verb == "delete") {
      ++counters.writes;
    }
    if (!outcome.answer.ok()) ++counters.refused;
  }

  std::string whole(const Answer& answer, bool may_compress, bool head_only) {
    const bool gzip = may_compress && answer.body.size() > state_->options.gzip_above;
    const std::string packed = gzip ? compressed(answer.body) : std::string();
    const std::string& body = gzip ? packed : answer.body;
    const bool chunked = body.size() > kSmallAnswer;
    std::string out = head_of(answer, gzip, chunked, body.size());
    if (budget_ >= 0) budget_ += static_cast<std::int64_t>(out.size());  // Counts the body alone.
    if (head_only) return out;
    if (!chunked) return out + body;
    for (std::size_t i = 0; i < body.size(); i += kChunk) {
      out += chunk(std::string_view(body).substr(i, kChunk));
    }
    return out + kLastChunk;
  }

  // False: the connection is done for.
  asio::awaitable<bool> send(std::string bytes) {
    const bool cut = budget_ >= 0 && static_cast<std::int64_t>(bytes.size()) > budget_;
    if (cut) bytes.resize(static_cast<std::size_t>(budget_));
    if (budget_ >= 0) budget_ -= static_cast<std::int64_t>(bytes.size());
    boost::system::error_code error;
    co_await asio::async_write(stream_, asio::buffer(bytes),
                               asio::redirect_error(asio::use_awaitable, error));
    co_return !error && !cut && !closed_;
  }

  asio::awaitable<void> pause() {
    boost::system::error_code ignored;
    co_await wake_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  // Sees the client go while a stream is silent.
  void watch_for_end() {
    asio::co_spawn(
        state_->executor,
        [self = this->shared_from_this()]() -> asio::awaitable<void> {
          char byte = 0;
          boost::system::error_code error;
          co_await self->stream_.async_read_some(asio::buffer(&byte, 1),
                                                 asio::redirect_error(asio::use_awaitable, error));
          self->close();  // Nothing is to come during a stream.
        },
        asio::detached);
  }

  asio::awaitable<bool> watch(WatchRequest request) {
    Answer answer;
    std::string out = head_of(answer, false, true, 0);
    if (budget_ >= 0) budget_ += static_cast<std::int64_t>(out.size());
    Watch source(state_->store, std::move(request), state_->options.bookmarks, Clock::now());
    watching = true;
    ended_ = false;
    ++state_->counters.open_watches;
    watch_for_end();
    std::uint64_t counted = 0;
    while (!closed_) {
      bool more = source.next(out, kWatchBatch, Clock::now());
      if (more && ended_) {
        out += kLastChunk;
        more = false;
      }
      state_->counters.events += source.events() - counted;
      counted = source.events();
      if (!out.empty()) {
        if (!co_await send(std::move(out)) || !more) break;
        out.clear();
        continue;
      }
      wake_.expires_at(source.due());
      co_await pause();
    }
    watching = false;
    --state_->counters.open_watches;
    co_return false;  // The end-watcher may have read on: the client opens another.
  }

  asio::awaitable<bool> play(const Replay::Recording& recording) {
    if (recording.watch) {
      watching = true;
      ended_ = false;
      watch_for_end();
    }
    bool good = true;
    for (const Replay::Piece& piece : recording.pieces) {
      const auto held = [&] {
        const std::uint64_t hold = state_->replay->hold();
        return hold != 0 && piece.version > hold;
      };
      while (good && !closed_ && !ended_ && held()) {
        wake_.expires_at(Clock::time_point::max());
        co_await pause();
      }
      if (!good || closed_ || ended_) break;
      good = co_await send(piece.bytes);
    }
    if (recording.end == Replay::End::kIdle) {
      while (!closed_ && !ended_) {
        wake_.expires_at(Clock::time_point::max());
        co_await pause();
      }
    }
    const bool watched = watching;
    watching = false;
    co_return good && !watched && recording.end == Replay::End::kKeep;
  }

  asio::awaitable<bool> misbehave(const Fault& fault, const ResourcePath& path,
                                  const std::string& verb) {
    Answer answer;
    std::string bytes = "SSH-2.0-OpenSSH_9.2\r\n\xff\xfe\r\n";
    switch (fault.kind) {
      case Fault::Kind::kStatus:
        answer = asked_for(fault, path);
        bytes = whole(answer, false, false);
        ++state_->counters.refused;
        co_return co_await send(std::move(bytes));
      case Fault::Kind::kGarbage:
        answer.body = "\x01\x02{\"kind\":[[[}}}, garbage\n";
        bytes = whole(answer, false, false);
        co_return co_await send(std::move(bytes));
      case Fault::Kind::kNotHttp:
        co_await send(std::move(bytes));
        co_return false;
      case Fault::Kind::kHang:
        watch_for_end();
        while (!closed_) {
          wake_.expires_at(Clock::time_point::max());
          co_await pause();
        }
        co_return false;
      default:
        co_return co_await endless(path, verb);
    }
  }

  asio::awaitable<bool> endless(const ResourcePath& path, const std::string& verb) {
    std::string first, item;
    endless_text(path, verb == "watch", first, item);
    if (!co_await send(std::move(first))) co_return false;
    while (co_await send(item)) {
    }
    co_return false;
  }

  std::shared_ptr<Server::State> state_;
  Stream stream_;
  typename Stream::lowest_layer_type& socket_;
  asio::steady_timer wake_;
  boost::beast::flat_buffer buffer_;
  std::list<Connection*>::iterator place_;
  User user_{"", {}};
  bool closed_ = false, ended_ = false;
  std::int64_t budget_ = -1;  // Bytes until the connection is cut; -1: it is not.
};

}  // namespace

void accept_connections(std::shared_ptr<Server::State> state, bool plain) {
  asio::co_spawn(
      state->executor,
      [state, plain]() -> asio::awaitable<void> {
        tcp::acceptor& acceptor = plain ? state->plain_acceptor : state->acceptor;
        while (acceptor.is_open()) {
          boost::system::error_code error;
          tcp::socket socket =
              co_await acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
          if (error == asio::error::operation_aborted || error == asio::error::bad_descriptor) {
            co_return;
          }
          if (error) continue;
          if (plain) {
            auto one = std::make_shared<OneConnection<tcp::socket>>(state, std::move(socket));
            // It keeps the connection until it has begun and holds itself.
            asio::co_spawn(
                state->executor, [one] { return one->run(); }, asio::detached);
          } else {
            auto one = std::make_shared<OneConnection<TlsStream>>(
                state, TlsStream(std::move(socket), *state->tls));
            // It keeps the connection until it has begun and holds itself.
            asio::co_spawn(
                state->executor, [one] { return one->run(); }, asio::detached);
          }
        }
      },
      asio::detached);
}

}  // namespace sluice::test::kube
