#include "control/kubernetes/api_client.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "control/kubernetes/api_json.h"
#include "control/kubernetes/connection_pool.h"

namespace sluice::kube {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

namespace {

constexpr std::size_t kShownMessage = 500;
constexpr std::int64_t kLongestRetryAfter = 3600;  // Seconds.

std::string printable(std::string_view text) {
  std::string out(text.substr(0, kShownMessage));
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
  }
  return out;
}

void fail(const HttpProblem& problem, const ServerAccess& access, Response* response) {
  response->failure = problem.failure;
  response->error = access.url() + ": " + problem.text;
}

// The header's seconds; its other form, a date, is not what the API server sends.
std::optional<std::chrono::seconds> bounded_seconds(std::optional<std::int64_t> seconds) {
  if (!seconds || *seconds < 0) return std::nullopt;
  return std::chrono::seconds(std::min(*seconds, kLongestRetryAfter));
}

std::optional<std::int64_t> parse_number(const std::string& text) {
  std::int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, code] = std::from_chars(text.data(), end, value);
  if (code != std::errc() || stop != end) return std::nullopt;
  return value;
}

const char* advice(unsigned status) {
  switch (status) {
    case 401:
      return "; are token or client certificate still valid, and for this cluster?";
    case 403:
      return "; the account's ClusterRole does not allow it";
    default:
      return "";
  }
}

// What the server said, from a whole answer.
Response answered(AnswerReader& answer, const ServerAccess& access) {
  Response response;
  response.status = answer.status();
  response.content_type = answer.field("Content-Type");
  response.body = std::move(answer.body());
  response.retry_after = bounded_seconds(parse_number(answer.field("Retry-After")));
  if (response.ok()) return response;
  std::string message;
  if (const auto status = decode_status(response.body)) {
    response.reason = status->reason;
    message = status->message;
    if (!response.retry_after) response.retry_after = bounded_seconds(status->retry_after_seconds);
  } else {
    message = response.body;
  }
  response.error = access.url() + " answered " + std::to_string(response.status) +
                   (response.reason.empty() ? "" : " " + printable(response.reason)) +
                   (message.empty() ? "" : ": " + printable(message)) + advice(response.status);
  return response;
}

struct Exchange {
  Transport::Problem problem;
  bool untouched = false;  // Nothing came back: the server may never have seen the request.
};

// Sends, and reads until `enough`.
template <typename Enough>
asio::awaitable<Exchange> exchange(std::shared_ptr<Transport> transport, const std::string& text,
                                   AnswerReader& answer, Clock::time_point deadline,
                                   Enough enough) {
  if (auto problem = co_await transport->write(text, deadline)) {
    co_return Exchange{problem, problem->failure == Failure::kTransport};
  }
  while (!enough()) {
    const Transport::Read read = co_await transport->read(deadline);
    if (read.problem) {
      co_return Exchange{read.problem,
                         !answer.begun() && read.problem->failure == Failure::kTransport};
    }
    const bool untouched = read.bytes.empty() && !answer.begun();
    const auto problem = read.bytes.empty() ? answer.feed_end() : answer.feed(read.bytes);
    if (problem) co_return Exchange{problem, untouched};
  }
  co_return Exchange{};
}

}  // namespace

class ApiStream::Impl {
 public:
  Impl(std::shared_ptr<Transport> connection, std::unique_ptr<AnswerReader> reader,
       std::chrono::milliseconds longest_wait, std::string server)
      : transport(std::move(connection)),
        answer(std::move(reader)),
        idle(longest_wait),
        url(std::move(server)) {}

  std::shared_ptr<Transport> transport;
  std::unique_ptr<AnswerReader> answer;
  std::chrono::milliseconds idle;
  std::string url;
  std::string piece;
  std::optional<HttpProblem> problem;  // The one that ended it.
};

ApiStream::ApiStream(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApiStream::~ApiStream() {
  close();
}

void ApiStream::close() {
  impl_->transport->close();
}

asio::awaitable<Piece> ApiStream::read() {
  Impl& s = *impl_;
  Piece piece;
  s.piece.clear();
  while (!s.problem) {
    if (!s.answer->body().empty()) {
      s.piece.swap(s.answer->body());
      piece.bytes = s.piece;
      co_return piece;
    }
    if (s.answer->done()) {
      s.transport->close();
      piece.end = true;
      co_return piece;
    }
    const Transport::Read read = co_await s.transport->read(Clock::now() + s.idle);
    s.problem = read.problem;
    if (!s.problem) {
      s.problem = read.bytes.empty() ? s.answer->feed_end() : s.answer->feed(read.bytes);
    }
    // What came before the problem is still good.
    if (s.problem && !s.answer->body().empty()) {
      s.piece.swap(s.answer->body());
      piece.bytes = s.piece;
      co_return piece;
    }
  }
  s.transport->close();
  piece.failure = s.problem->failure;
  piece.error = s.url + ": " + s.problem->text;
  co_return piece;
}

class ApiClient::Impl : public std::enable_shared_from_this<ApiClient::Impl> {
 public:
  Impl(asio::any_io_executor executor, ServerAccess access, ApiClientOptions options)
      : pool(std::make_shared<ConnectionPool>(std::move(executor), std::move(access),
                                              std::move(options))) {}

  const ServerAccess& access() const { return pool->credentials().access(); }

  asio::awaitable<Response> request(Request request);
  asio::awaitable<Opened> stream(StreamRequest request);

  std::shared_ptr<ConnectionPool> pool;

 private:
  struct Attempt {
    Response response;
    bool again = false;   // On another connection, at once.
    bool denied = false;  // By what shows who we are or who they are.
  };
  asio::awaitable<Attempt> attempt(const Request& request, bool fresh, Clock::time_point deadline);
  asio::awaitable<Opened> open(const Request& request, const StreamRequest& how,
                               Clock::time_point deadline);
  Result<std::string> text_of(const Request& request);
  // Whether there are other credentials to try with. After a 401 or a refused certificate.
  bool renew_credentials();
};

Result<std::string> ApiClient::Impl::text_of(const Request& request) {
  const Result<std::string> token = pool->credentials().token(Clock::now());
  if (!token) return Error{token.error()};
  return request_text(request, access(), *token, pool->options().user_agent);
}

bool ApiClient::Impl::renew_credentials() {
  const bool token = pool->credentials().reread_token(Clock::now());
  return pool->reread_tls() || token;
}

asio::awaitable<ApiClient::Impl::Attempt> ApiClient::Impl::attempt(const Request& request,
                                                                   bool fresh,
                                                                   Clock::time_point deadline) {
  Attempt result;
  const Result<std::string> text = text_of(request);
  if (!text) {
    fail({Failure::kCredentials, text.error()}, access(), &result.response);
    co_return result;
  }
  const ConnectionPool::Connection connection = co_await pool->get(fresh, deadline);
  AnswerReader answer(request.max_bytes);
  Exchange done{connection.problem, false};
  if (!done.problem) {
    done = co_await exchange(connection.transport, *text, answer, deadline,
                             [&] { return answer.done(); });
  }
  if (done.problem) {
    if (connection.transport) connection.transport->close();
    fail(*done.problem, access(), &result.response);
    if (answer.header_done()) result.response.status = answer.status();
    result.again = connection.reused && done.untouched && request.repeatable;
    result.denied = done.problem->failure == Failure::kTls;
    co_return result;
  }
  if (answer.keep_alive()) {
    pool->put_back(connection);
  } else {
    connection.transport->close();
  }
  result.response = answered(answer, access());
  result.denied = result.response.status == 401;
  co_return result;
}

asio::awaitable<Response> ApiClient::Impl::request(Request request) {
  const auto self = shared_from_this();
  const Clock::time_point deadline = Clock::now() + request.deadline;
  request.repeatable |=
      request.method == "GET" || request.method == "PUT" || request.method == "DELETE";
  ConnectionPool::Place place(pool);
  if (!co_await place.take(deadline)) {
    Response response;
    fail({Failure::kTimeout, "all connections were in use until the deadline"}, access(),
         &response);
    co_return response;
  }
  bool fresh = false;
  bool renewed = false;
  for (;;) {
    Attempt result = co_await attempt(request, fresh, deadline);
    if (result.again && !fresh) {
      fresh = true;
    } else if (result.denied && !renewed && renew_credentials()) {
      fresh = renewed = true;
    } else {
      co_return std::move(result.response);
    }
  }
}

asio::awaitable<Opened> ApiClient::Impl::open(const Request& request, const StreamRequest& how,
                                              Clock::time_point deadline) {
  Opened opened;
  const Result<std::string> text = text_of(request);
  if (!text) {
    fail({Failure::kCredentials, text.error()}, access(), &opened.response);
    co_return opened;
  }
  const ConnectionPool::Connection connection = co_await pool->get(true, deadline);
  auto answer = std::make_unique<AnswerReader>(std::size_t(-1));
  Exchange done{connection.problem, false};
  // Of an error the whole answer is wanted, within bounds.
  const auto enough = [&] {
    if (!answer->header_done()) return false;
    return answer->done() || answer->status() / 100 == 2 ||
           answer->body().size() > kDefaultBodyBytes;
  };
  if (!done.problem) {
    done = co_await exchange(connection.transport, *text, *answer, deadline, enough);
  }
  if (done.problem) {
    if (connection.transport) connection.transport->close();
    fail(*done.problem, access(), &opened.response);
    co_return opened;
  }
  if (answer->status() / 100 != 2) {
    connection.transport->close();
    opened.response = answered(*answer, access());
    co_return opened;
  }
  opened.response.status = answer->status();
  opened.response.content_type = answer->field("Content-Type");
  opened.stream = std::make_unique<ApiStream>(std::make_unique<ApiStream::Impl>(
      connection.transport, std::move(answer), how.idle, access().url()));
  co_return opened;
}

asio::awaitable<Opened> ApiClient::Impl::stream(StreamRequest how) {
  const auto self = shared_from_this();
  const Clock::time_point deadline = Clock::now() + how.deadline;
  Request request;
  request.target = how.target;
  request.accept = how.accept;
  Opened opened = co_await open(request, how, deadline);
  const bool denied = opened.response.status == 401 || opened.response.failure == Failure::kTls;
  if (denied && renew_credentials()) opened = co_await open(request, how, deadline);
  co_return opened;
}

ApiClient::ApiClient(asio::any_io_executor executor, ServerAccess access, ApiClientOptions options)
    : impl_(std::make_shared<Impl>(std::move(executor), std::move(access), std::move(options))) {}

ApiClient::~ApiClient() {
  close();
}

asio::awaitable<Response> ApiClient::request(Request request) {
  return impl_->request(std::move(request));
}

asio::awaitable<Opened> ApiClient::stream(StreamRequest request) {
  return impl_->stream(std::move(request));
}

const ServerAccess& ApiClient::access() const {
  return impl_->access();
}

void ApiClient::close() {
  impl_->pool->close();
}

std::string query_escape(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                            (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (unreserved) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

}  // namespace sluice::kube
