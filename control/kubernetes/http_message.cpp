#include "control/kubernetes/http_message.h"

#include <algorithm>
#include <boost/beast/core/buffers_range.hpp>
#include <boost/beast/http/parser.hpp>
#include <utility>

#include "control/kubernetes/inflate.h"

namespace sluice::kube {

namespace beast = boost::beast;
namespace http = beast::http;
using beast::error_code;

namespace {

constexpr std::uint32_t kHeaderBytes = 64u << 10;

// A body whose bytes are taken away as they come. Nothing is reserved by what the peer announces.
struct PieceBody {
  using value_type = std::string;
  class reader {
   public:
    template <bool kIsRequest, typename Fields>
    reader(http::header<kIsRequest, Fields>&, value_type& body) : body_(body) {}
    void init(const boost::optional<std::uint64_t>&, error_code& error) { error = {}; }
    template <typename Buffers>
    std::size_t put(const Buffers& buffers, error_code& error) {
      std::size_t size = 0;
      for (const auto buffer : beast::buffers_range_ref(buffers)) {
        body_.append(static_cast<const char*>(buffer.data()), buffer.size());
        size += buffer.size();
      }
      error = {};
      return size;
    }
    void finish(error_code& error) { error = {}; }

   private:
    value_type& body_;
  };
};

bool plain(std::string_view text, bool spaces) {
  return std::all_of(text.begin(), text.end(),
                     [&](char c) { return (c > ' ' && c < 127) || (spaces && c == ' '); });
}

}  // namespace

Result<std::string> request_text(const Request& request, const ServerAccess& access,
                                 const std::string& token, const std::string& user_agent) {
  if (!plain(request.method, false) || !request.target.starts_with('/') ||
      !plain(request.target, false) || !plain(request.content_type, true) ||
      !plain(request.accept, true) || !plain(user_agent, true) || !plain(token, false)) {
    return Error{"a request that is not plain text: " + request.method + " " +
                 request.target.substr(0, 200)};
  }
  const bool bracketed = access.host.find(':') != std::string::npos;
  std::string text = request.method + " " + access.path_prefix + request.target + " HTTP/1.1\r\n";
  text +=
      "Host: " + (bracketed ? "[" + access.host + "]" : access.host) + ":" + access.port + "\r\n";
  text += "User-Agent: " + user_agent + "\r\n";
  if (!request.accept.empty()) text += "Accept: " + request.accept + "\r\n";
  text += "Accept-Encoding: gzip\r\n";
  if (!token.empty()) text += "Authorization: Bearer " + token + "\r\n";
  if (!request.content_type.empty()) text += "Content-Type: " + request.content_type + "\r\n";
  if (!request.body.empty() || request.method != "GET") {
    text += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  return text + "\r\n" + request.body;
}

class AnswerReader::Impl {
 public:
  explicit Impl(std::size_t max_bytes) : left(max_bytes) {
    parser.eager(true);
    parser.header_limit(kHeaderBytes);
    parser.body_limit(boost::none);
  }

  std::optional<HttpProblem> feed(std::string_view bytes) {
    begun |= !bytes.empty();
    pending.append(bytes);
    while (!pending.empty() && !parser.is_done()) {
      error_code error;
      const std::size_t used = parser.put(boost::asio::buffer(pending), error);
      pending.erase(0, used);
      if (const auto problem = take_body()) return problem;
      if (error == http::error::need_more) break;
      if (error) return fail(Failure::kProtocol, "what came is not HTTP: " + error.message());
      if (parser.is_header_done() && parser.get().result_int() < 200) {
        return fail(Failure::kProtocol, "an answer of status " +
                                            std::to_string(parser.get().result_int()) +
                                            " that was not asked for");
      }
      if (used == 0) break;
    }
    return check_whole();
  }

  std::optional<HttpProblem> feed_end() {
    error_code error;
    // Without a byte the parser would take it for a whole message.
    if (parser.is_header_done() && !parser.is_done()) parser.put_eof(error);
    if (error || !parser.is_done()) {
      return fail(Failure::kTransport,
                  begun ? "the answer was cut off" : "the connection was closed without an answer");
    }
    return check_whole();
  }

  http::response_parser<PieceBody> parser;
  std::string pending;  // Not understood yet.
  std::string out;
  std::size_t left;
  bool begun = false;
  std::unique_ptr<Inflater> inflater;

 private:
  static HttpProblem fail(Failure failure, std::string text) { return {failure, std::move(text)}; }

  std::optional<HttpProblem> take_body() {
    std::string raw = std::exchange(parser.get().body(), {});
    if (raw.empty()) return std::nullopt;
    const std::size_t before = out.size();
    Failure failure = Failure::kNone;
    if (beast::iequals(parser.get()[http::field::content_encoding], "gzip")) {
      if (!inflater) inflater = std::make_unique<Inflater>();
      failure = inflater->feed(raw, left, &out);
    } else if (raw.size() > left) {
      failure = Failure::kTooLarge;
    } else {
      out.empty() ? out.swap(raw) : void(out.append(raw));
    }
    if (failure == Failure::kTooLarge) return fail(failure, "the answer is larger than allowed");
    if (failure != Failure::kNone) return fail(failure, "the answer is not the gzip it says");
    left -= out.size() - before;
    return std::nullopt;
  }

  std::optional<HttpProblem> check_whole() {
    if (!parser.is_done() || !inflater || inflater->whole()) return std::nullopt;
    return fail(Failure::kProtocol, "the answer's gzip is cut off");
  }
};

AnswerReader::AnswerReader(std::size_t max_bytes) : impl_(std::make_unique<Impl>(max_bytes)) {}
AnswerReader::~AnswerReader() = default;

std::optional<HttpProblem> AnswerReader::feed(std::string_view bytes) {
  return impl_->feed(bytes);
}
std::optional<HttpProblem> AnswerReader::feed_end() {
  return impl_->feed_end();
}
bool AnswerReader::begun() const {
  return impl_->begun;
}
bool AnswerReader::header_done() const {
  return impl_->parser.is_header_done();
}
bool AnswerReader::done() const {
  return impl_->parser.is_done();
}
// What follows an answer nobody asked for belongs to no request of ours.
bool AnswerReader::keep_alive() const {
  return done() && impl_->pending.empty() && !impl_->parser.need_eof() &&
         impl_->parser.keep_alive();
}
unsigned AnswerReader::status() const {
  return impl_->parser.get().result_int();
}
std::string AnswerReader::field(std::string_view name) const {
  const auto value = impl_->parser.get()[{name.data(), name.size()}];
  return {value.data(), value.size()};
}
std::string& AnswerReader::body() {
  return impl_->out;
}

}  // namespace sluice::kube
