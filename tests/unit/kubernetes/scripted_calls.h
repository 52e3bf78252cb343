// ScriptedCalls: an API server that answers what a test has written down, in order. Streams give
// their pieces, then end, break, time out, or stay open until they are closed.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/kubernetes/api_calls.h"

namespace sluice::kube {

enum class After { kEnd, kCut, kSilence, kOpen };

struct ScriptedAnswer {
  Response response;
  std::vector<std::string> pieces;  // Of a stream.
  After after = After::kEnd;
};

inline ScriptedAnswer body(std::string text) {
  ScriptedAnswer answer;
  answer.response.status = 200;
  answer.response.body = std::move(text);
  return answer;
}
inline ScriptedAnswer pieces(std::vector<std::string> all, After after = After::kOpen) {
  ScriptedAnswer answer;
  answer.response.status = 200;
  answer.pieces = std::move(all);
  answer.after = after;
  return answer;
}
inline ScriptedAnswer refusal(unsigned status, const std::string& error = "refused") {
  ScriptedAnswer answer;
  answer.response.status = status;
  answer.response.error = error;
  return answer;
}
inline ScriptedAnswer breakdown(Failure failure) {
  ScriptedAnswer answer;
  answer.response.failure = failure;
  answer.response.error = "no way";
  return answer;
}

class ScriptedStream final : public ByteStream {
 public:
  ScriptedStream(boost::asio::any_io_executor executor, ScriptedAnswer answer)
      : timer_(executor), answer_(std::move(answer)) {}

  boost::asio::awaitable<Piece> read() override {
    // Each read comes to itself later, as bytes from a network do.
    timer_.expires_after(std::chrono::milliseconds(0));
    boost::system::error_code ignored;
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
    Piece piece;
    if (next_ < answer_.pieces.size()) {
      piece.bytes = answer_.pieces[next_++];
      co_return piece;
    }
    if (answer_.after == After::kEnd) {
      piece.end = true;
      co_return piece;
    }
    if (answer_.after == After::kOpen) {
      while (!closed_) {
        timer_.expires_after(std::chrono::seconds(60));
        co_await timer_.async_wait(
            boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
      }
    }
    piece.failure = answer_.after == After::kSilence ? Failure::kTimeout : Failure::kTransport;
    piece.error = "cut";
    co_return piece;
  }
  void close() override {
    closed_ = true;
    timer_.cancel();
  }

 private:
  boost::asio::steady_timer timer_;
  ScriptedAnswer answer_;
  std::size_t next_ = 0;
  bool closed_ = false;
};

class ScriptedCalls final : public ApiCalls {
 public:
  explicit ScriptedCalls(boost::asio::any_io_executor executor) : executor_(executor) {}

  boost::asio::awaitable<Response> request(Request request) override {
    requests.push_back(request);
    if (respond) co_return respond(request);
    co_return take(request.target, false).response;
  }
  boost::asio::awaitable<OpenedBytes> open(StreamRequest request) override {
    Request seen;
    seen.method = "STREAM";
    seen.target = request.target;
    requests.push_back(seen);
    ScriptedAnswer answer = take(request.target, true);
    OpenedBytes opened;
    opened.response = answer.response;
    if (opened.response.ok())
      opened.stream = std::make_unique<ScriptedStream>(executor_, std::move(answer));
    co_return opened;
  }

  std::deque<ScriptedAnswer> script;  // What comes after its end stays silent, or is refused.
  std::function<Response(const Request&)> respond;
  std::vector<Request> requests;

 private:
  ScriptedAnswer take(const std::string&, bool stream) {
    if (script.empty()) return stream ? pieces({}) : refusal(500, "the script has ended");
    ScriptedAnswer answer = std::move(script.front());
    script.pop_front();
    return answer;
  }
  boost::asio::any_io_executor executor_;
};

}  // namespace sluice::kube
