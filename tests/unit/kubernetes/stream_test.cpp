// Streams: a watch's body as it arrives.
#include "client_fixture.h"
#include "control/kubernetes/api_json.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const std::string kHead = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const std::string kChunked = kHead + "Transfer-Encoding: chunked\r\n\r\n";

struct Whole {
  std::string bytes;
  Piece last;
  int pieces = 0;
};

class StreamTest : public ClientTest {
 protected:
  boost::asio::awaitable<Whole> read_all(StreamRequest request) {
    Whole whole;
    Opened opened = co_await client().stream(request);
    if (!opened.stream) {
      whole.last.failure = opened.response.failure;
      whole.last.error = opened.response.error;
      co_return whole;
    }
    for (;;) {
      whole.last = co_await opened.stream->read();
      if (!whole.last.ok() || whole.last.end) co_return whole;
      whole.bytes += whole.last.bytes;
      ++whole.pieces;
    }
  }
  Whole read_all() { return run(read_all({.target = "/watch"})); }
};

TEST_F(StreamTest, PiecesComeAsTheyAreSent) {
  serve([](const SeenRequest&) {
    return Answer{{kChunked, chunk("one\n"), chunk("two\n"), chunk("")}, 20ms};
  });
  const Whole whole = read_all();
  EXPECT_EQ(whole.bytes, "one\ntwo\n");
  EXPECT_GE(whole.pieces, 2) << "the first was not held back";
  EXPECT_TRUE(whole.last.end);
}

TEST_F(StreamTest, AnywhereACutIsNoDifference) {
  const std::string events = "{\"a\":1}\n{\"b\":22}\n";
  const std::string plain =
      kChunked + chunk(events.substr(0, 3)) + chunk(events.substr(3)) + chunk("");
  const std::string zipped = gzip(events);
  const std::string packed = kHead +
                             "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" +
                             chunk(zipped.substr(0, 5)) + chunk(zipped.substr(5)) + chunk("");
  HttpServer::Options options;
  options.tls = false;
  std::string text;
  std::size_t cut = 0;
  serve(options, [&](const SeenRequest&) {
    return Answer{{text.substr(0, cut), text.substr(cut)}};
  });
  ServerAccess without_tls = access();
  without_tls.tls = false;
  client(without_tls);
  for (const std::string& sent : {plain, packed}) {
    text = sent;
    for (cut = 0; cut <= text.size(); ++cut) {
      const Whole whole = read_all();
      ASSERT_EQ(whole.bytes, events) << cut;
      ASSERT_TRUE(whole.last.end) << cut << whole.last.error;
    }
  }
}

TEST_F(StreamTest, ACutOffBodyIsNoEnd) {
  serve([](const SeenRequest&) { return Answer{{kChunked, chunk("one\n"), "8\r\nha"}, {}, true}; });
  const Whole whole = read_all();
  EXPECT_EQ(whole.bytes, "one\nha");
  EXPECT_EQ(whole.last.failure, Failure::kTransport);
  EXPECT_THAT(whole.last.error, HasSubstr("cut off"));
}

TEST_F(StreamTest, GarbageAfterGoodBytes) {
  serve([](const SeenRequest&) { return Answer{{kChunked, chunk("good"), "zz\r\n"}, 20ms}; });
  const Whole whole = read_all();
  EXPECT_EQ(whole.bytes, "good");
  EXPECT_EQ(whole.last.failure, Failure::kProtocol);
}

TEST_F(StreamTest, SilenceHasAnEnd) {
  serve([](const SeenRequest&) { return Answer{{kChunked, chunk("x")}}; });
  const Whole whole = run(read_all({.target = "/watch", .idle = 100ms}));
  EXPECT_EQ(whole.bytes, "x");
  EXPECT_EQ(whole.last.failure, Failure::kTimeout);
}

TEST_F(StreamTest, ThatNeverBeginsIsGivenUp) {
  serve([](const SeenRequest&) { return Answer{}; });
  const Whole whole = run(read_all({.target = "/watch", .deadline = 100ms}));
  EXPECT_EQ(whole.last.failure, Failure::kTimeout);
}

TEST_F(StreamTest, AnErrorAnswerIsWhole) {
  serve([](const SeenRequest&) {
    return Answer{{http_answer(
        410, R"({"kind":"Status","reason":"Expired","code":410,"message":"too old"})")}};
  });
  const Opened opened = run(client().stream({.target = "/watch"}));
  EXPECT_EQ(opened.stream, nullptr);
  EXPECT_EQ(opened.response.status, 410u);
  EXPECT_EQ(opened.response.reason, "Expired");
  EXPECT_TRUE(decode_status(opened.response.body).has_value());
}

TEST_F(StreamTest, AnEndlessErrorAnswerIsBounded) {
  Answer endless{{"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n"}};
  for (int i = 0; i < 100; ++i) endless.pieces.push_back(chunk(std::string(100'000, 'x')));
  serve([&](const SeenRequest&) { return endless; });
  const Opened opened = run(client().stream({.target = "/watch"}));
  EXPECT_EQ(opened.response.status, 500u);
  EXPECT_LT(opened.response.body.size(), 6u << 20);
}

TEST_F(StreamTest, AStreamHasAConnectionOfItsOwn) {
  serve([](const SeenRequest& r) {
    return r.has("/watch") ? Answer{{kChunked, chunk("x")}} : Answer{{http_answer(200, "y")}};
  });
  const Opened opened = run(client().stream({.target = "/watch"}));
  ASSERT_NE(opened.stream, nullptr);
  EXPECT_EQ(get().body, "y");
  EXPECT_EQ(server_->connections(), 2);
}

TEST_F(StreamTest, ClosingEndsARead) {
  serve([](const SeenRequest&) { return Answer{{kChunked}}; });
  Opened opened = run(client().stream({.target = "/watch"}));
  ASSERT_NE(opened.stream, nullptr);
  std::optional<Piece> piece;
  boost::asio::co_spawn(io_, opened.stream->read(),
                        [&](std::exception_ptr, Piece read) { piece = read; });
  io_.restart();
  io_.poll();
  EXPECT_FALSE(piece.has_value());
  client_->close();
  while (!piece) io_.run_one();
  EXPECT_EQ(piece->failure, Failure::kTransport);
}

}  // namespace
}  // namespace sluice::kube
