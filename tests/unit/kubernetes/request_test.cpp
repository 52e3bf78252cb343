// Requests and their answers: connections kept and lost, errors told apart, bounds.
#include "client_fixture.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Answer ok(const std::string& body = "{}") {
  return {{http_answer(200, body)}};
}

using RequestTest = ClientTest;

TEST_F(RequestTest, AConnectionIsKept) {
  serve([](const SeenRequest& r) { return ok(std::to_string(r.connection)); });
  EXPECT_EQ(get().body, "1");
  EXPECT_EQ(get().body, "1");
  EXPECT_TRUE(server_->requests()[0].has("Host: 127.0.0.1:" + server_->port()));
  EXPECT_TRUE(server_->requests()[0].has("GET /x HTTP/1.1"));
  EXPECT_TRUE(server_->requests()[0].has("Accept-Encoding: gzip"));
}

TEST_F(RequestTest, ABodyIsSent) {
  serve([](const SeenRequest&) { return ok(); });
  Request request;
  request.method = "PATCH";
  request.target = "/p";
  request.content_type = "application/apply-patch+yaml";
  request.body = std::string(100'000, 'b');
  EXPECT_TRUE(run(client().request(request)).ok());
  EXPECT_EQ(server_->requests()[0].body, request.body);
  EXPECT_TRUE(server_->requests()[0].has("Content-Type: application/apply-patch+yaml"));
}

TEST_F(RequestTest, AConnectionTheServerClosedIsReplaced) {
  serve([](const SeenRequest& r) {
    Answer answer = ok(std::to_string(r.connection));
    answer.close = true;  // Though it said nothing of it.
    return answer;
  });
  EXPECT_EQ(get().body, "1");
  EXPECT_EQ(get().body, "2");
}

// The server closes just as the request comes: it was not seen as stale.
TEST_F(RequestTest, OnlyWhatMayBeRepeatedIsSentAgain) {
  serve([](const SeenRequest& r) {
    return r.connection == 1 && r.has("/second") ? Answer{{}, {}, true} : ok();
  });
  ASSERT_TRUE(get().ok());
  EXPECT_TRUE(get("/second").ok());
  EXPECT_EQ(server_->requests().size(), 3u);

  serve([](const SeenRequest& r) { return r.has("POST") ? Answer{{}, {}, true} : ok(); });
  client(access());
  ASSERT_TRUE(get().ok());
  Request post;
  post.method = "POST";
  post.target = "/events";
  const Response response = run(client().request(post));
  EXPECT_EQ(response.failure, Failure::kTransport);
  EXPECT_EQ(server_->requests().size(), 2u);
}

TEST_F(RequestTest, ErrorsAreToldApart) {
  serve([](const SeenRequest& r) {
    const int status = std::stoi(r.head.substr(r.head.find('/') + 1, 3));
    return Answer{
        {http_answer(status, R"({"kind":"Status","status":"Failure","reason":"Because","code":)" +
                                 std::to_string(status) +
                                 R"(,"message":"no\nway",)"
                                 R"("details":{"retryAfterSeconds":7}})")}};
  });
  for (const unsigned status : {400u, 401u, 403u, 404u, 409u, 410u, 422u, 429u, 500u, 504u}) {
    const Response response = get("/" + std::to_string(status));
    EXPECT_FALSE(response.ok());
    EXPECT_EQ(response.failure, Failure::kNone);
    EXPECT_EQ(response.status, status);
    EXPECT_EQ(response.reason, "Because");
    EXPECT_THAT(response.error,
                HasSubstr("answered " + std::to_string(status) + " Because: no way"));
    EXPECT_EQ(response.retry_after, 7s);
  }
  EXPECT_EQ(server_->connections(), 1) << "an error is an answer like others";
}

TEST_F(RequestTest, RetryAfterIsBounded) {
  std::string value;
  serve([&](const SeenRequest&) {
    return Answer{{http_answer(429, "slow down", "Retry-After: " + value + "\r\n")}};
  });
  value = "2";
  Response response = get();
  EXPECT_EQ(response.retry_after, 2s);
  EXPECT_THAT(response.error, HasSubstr("429: slow down"));
  value = "99999999999";
  EXPECT_EQ(get().retry_after, 3600s);
  for (const char* odd : {"-1", "soon", "", "99999999999999999999999"}) {
    value = odd;
    EXPECT_EQ(get().retry_after, std::nullopt) << odd;
  }
}

TEST_F(RequestTest, ARotatedTokenIsReadAfter401) {
  std::string valid = "one";
  serve([&](const SeenRequest& r) {
    return r.has("Bearer " + valid + "\r\n") ? ok() : Answer{{http_answer(401, "{}")}};
  });
  ServerAccess by_file = access();
  by_file.token_file = file("token", "one\n");
  client(by_file);
  EXPECT_TRUE(get().ok());
  valid = "two";
  Response response = get();
  EXPECT_EQ(response.status, 401u) << "the file says what it said";
  EXPECT_EQ(server_->requests().size(), 2u) << "and so it is not tried again";
  EXPECT_THAT(response.error, HasSubstr("still valid"));
  EXPECT_THAT(response.error, testing::Not(HasSubstr("one")));
  file("token", "two");
  EXPECT_TRUE(get().ok());
  valid = "three";
  file("token", "three");
  const Opened opened = run(client().stream({.target = "/watch"}));
  EXPECT_TRUE(opened.response.ok());
  EXPECT_NE(opened.stream, nullptr);
}

TEST_F(RequestTest, GzipIsInflated) {
  const std::string text(3'000'000, 'x');
  serve([&](const SeenRequest&) {
    return Answer{{http_answer(200, gzip(text), "Content-Encoding: gzip\r\n")}};
  });
  EXPECT_EQ(get().body, text);
  Request small;
  small.target = "/x";
  small.max_bytes = 2'999'999;
  const Response response = run(client().request(small));
  EXPECT_EQ(response.failure, Failure::kTooLarge);
}

TEST_F(RequestTest, AnEndlessBodyIsRefused) {
  Answer endless{{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"}};
  for (int i = 0; i < 1000; ++i) endless.pieces.push_back(chunk(std::string(10'000, 'x')));
  serve([&](const SeenRequest&) { return endless; });
  Request request;
  request.target = "/x";
  request.max_bytes = 1'000'000;
  const Response response = run(client().request(request));
  EXPECT_EQ(response.failure, Failure::kTooLarge);
  EXPECT_THAT(response.error, HasSubstr("larger than allowed"));
}

TEST_F(RequestTest, AnAnnouncedLengthCostsNothing) {
  serve([](const SeenRequest&) {
    return Answer{{"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\n{"}, {}, true};
  });
  const Response response = get();
  EXPECT_EQ(response.failure, Failure::kTransport);
  EXPECT_THAT(response.error, HasSubstr("cut off"));
}

TEST_F(RequestTest, WhatIsNoHttpIsRefused) {
  std::string bytes;
  serve([&](const SeenRequest&) { return Answer{{bytes}, {}, true}; });
  for (const char* garbage :
       {"garbage\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/3.0 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"}) {
    bytes = garbage;
    EXPECT_EQ(get().failure, Failure::kProtocol) << garbage;
  }
  bytes = "HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n";
  EXPECT_EQ(get().failure, Failure::kProtocol);
  bytes = "";
  EXPECT_EQ(get().failure, Failure::kTransport);
}

TEST_F(RequestTest, ASlowServerIsGivenUp) {
  serve([](const SeenRequest&) { return Answer{{"HTTP/1.1 ", "200 OK\r\n"}, 100ms}; });
  Request request;
  request.target = "/x";
  request.deadline = 150ms;
  const auto begin = std::chrono::steady_clock::now();
  const Response response = run(client().request(request));
  EXPECT_EQ(response.failure, Failure::kTimeout);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(RequestTest, NobodyThere) {
  serve([](const SeenRequest&) { return ok(); });
  ServerAccess gone = access();
  server_.reset();
  io_.poll();
  client(gone);
  const Response response = get();
  EXPECT_EQ(response.failure, Failure::kTransport);
  EXPECT_THAT(response.error, HasSubstr("https://127.0.0.1:" + gone.port + ": connecting failed"));
}

TEST_F(RequestTest, PlainHttpToLoopbackOnly) {
  HttpServer::Options options;
  options.tls = false;
  serve(options, [](const SeenRequest&) { return ok("plain"); });
  ServerAccess plain = access();
  plain.tls = false;
  client(plain);
  EXPECT_EQ(get().body, "plain");
  plain.host = "192.0.2.1";
  client(plain);
  const Response response = get();
  EXPECT_EQ(response.failure, Failure::kTransport);
  EXPECT_THAT(response.error, HasSubstr("loopback addresses only"));
}

TEST_F(RequestTest, APathPrefixIsPutBefore) {
  serve([](const SeenRequest&) { return ok(); });
  ServerAccess prefixed = access();
  prefixed.path_prefix = "/k8s/clusters/c-1";
  client(prefixed);
  EXPECT_TRUE(get("/api").ok());
  EXPECT_TRUE(server_->requests()[0].has("GET /k8s/clusters/c-1/api HTTP/1.1"));
}

TEST_F(RequestTest, NothingIsSmuggledIntoARequest) {
  serve([](const SeenRequest&) { return ok(); });
  for (const char* target : {"/a b", "/a\r\nX: y", "", "a"}) {
    EXPECT_FALSE(get(target).ok()) << target;
  }
  EXPECT_TRUE(server_->requests().empty());
  EXPECT_EQ(query_escape("a b&c=d/é~"), "a%20b%26c%3Dd%2F%C3%A9~");
}

TEST_F(RequestTest, ConnectionsAreLimited) {
  serve([&](const SeenRequest&) { return Answer{{http_answer(200, "x")}, 20ms}; });
  client(access(), {.max_connections = 2});
  int done = 0;
  for (int i = 0; i < 6; ++i) {
    Request request;
    request.target = "/x";
    boost::asio::co_spawn(io_, client().request(request),
                          [&](std::exception_ptr, Response response) {
                            EXPECT_TRUE(response.ok()) << response.error;
                            ++done;
                          });
  }
  while (done < 6) io_.run_one();
  EXPECT_EQ(server_->connections(), 2);
}

TEST_F(RequestTest, AClosedClientFailsAtOnce) {
  serve([](const SeenRequest&) { return Answer{{}, {}, false}; });  // Never answers.
  std::optional<Response> waiting;
  Request request;
  request.target = "/x";
  boost::asio::co_spawn(io_, client().request(request),
                        [&](std::exception_ptr, Response response) { waiting = response; });
  while (server_->requests().empty()) io_.run_one();
  client_.reset();
  while (!waiting) io_.run_one();
  EXPECT_EQ(waiting->failure, Failure::kTransport);
}

}  // namespace
}  // namespace sluice::kube
