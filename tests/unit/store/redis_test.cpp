#include <sys/stat.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/write.hpp>
#include <fstream>

#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class RedisTest : public StoreTest {
 protected:
  void password_file(const std::string& password, ::mode_t mode = 0600) {
    file = server.folder() + "/password";
    std::ofstream(file) << password << "\n";
    ::chmod(file.c_str(), mode);
  }
  RedisCommand echo(const std::string& text) { return {"ECHO", text}; }
  std::string file;
};

TEST_F(RedisTest, CommandAndPipeline) {
  ASSERT_TRUE(run(redis.command({"SET", "k", std::string("a\0b", 3)})));
  EXPECT_EQ(run(redis.command({"GET", "k"}))->text, std::string("a\0b", 3));
  const auto replies = run(redis.pipeline({{"INCR", "n"}, {"INCR", "k"}, {"INCR", "n"}}));
  ASSERT_TRUE(replies);
  EXPECT_EQ((*replies)[0].integer, 1);
  EXPECT_TRUE((*replies)[1].is_error());
  EXPECT_EQ((*replies)[2].integer, 2);
}

TEST_F(RedisTest, AnErrorReplyLeavesTheConnectionOpen) {
  const auto reply = run(redis.command({"NOSUCH"}));
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error(), HasSubstr("Redis refused NOSUCH"));
  EXPECT_TRUE(redis.connected());
}

TEST_F(RedisTest, CommandsOfSeveralCoroutinesTakeTurns) {
  std::vector<std::string> answers;
  for (int i = 0; i < 20; ++i) {
    boost::asio::co_spawn(
        io,
        [](Redis& r, std::string text,
           std::vector<std::string>& to) -> boost::asio::awaitable<void> {
          RedisCommand command;
          command.push_back("ECHO");
          command.push_back(text);
          auto reply = co_await r.command(std::move(command));
          to.push_back(reply ? reply->text : reply.error());
        }(redis, std::to_string(i), answers),
        boost::asio::detached);
  }
  ASSERT_TRUE(until([&] { return answers.size() == 20; }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(answers[static_cast<std::size_t>(i)], std::to_string(i));
}

TEST_F(RedisTest, ASlowRedisIsGivenUpAndTheNextConnectionIsClean) {
  RedisOptions impatient = options();
  impatient.timeout = std::chrono::milliseconds(150);
  Redis slow(io.get_executor(), impatient);
  ASSERT_TRUE(run(slow.connect()));
  server.pause();
  const auto reply = run(slow.command(echo("late")));
  server.resume();
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error(), HasSubstr("did not answer within 150 ms"));
  EXPECT_FALSE(slow.connected());
  EXPECT_FALSE(run(slow.command(echo("x"))));
  ASSERT_TRUE(run(slow.connect()));
  EXPECT_EQ(run(slow.command(echo("new")))->text, "new");
}

TEST_F(RedisTest, ALostConnectionIsAnErrorAndCanBeMadeAgain) {
  server.kill();
  EXPECT_FALSE(run(redis.command(echo("x"))));
  const Status failed = run(redis.connect());
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error(), HasSubstr("is it running"));
  server.start();
  ASSERT_TRUE(run(redis.connect()));
}

TEST_F(RedisTest, ABlockingReadWaitsLongerThanTheTimeout) {
  RedisOptions impatient = options();
  impatient.timeout = std::chrono::milliseconds(300);
  Redis blocking(io.get_executor(), impatient);
  ASSERT_TRUE(run(blocking.connect()));
  const auto reply =
      run(blocking.blocking_command({"BLPOP", "nothing", "0.5"}, std::chrono::milliseconds(500)));
  ASSERT_TRUE(reply) << reply.error();
  EXPECT_TRUE(reply->is_nil());
}

TEST_F(RedisTest, AReplyBeyondTheBoundEndsTheConnection) {
  RedisOptions small = options();
  small.max_reply_bytes = 10000;
  Redis bounded(io.get_executor(), small);
  ASSERT_TRUE(run(bounded.connect()));
  server.set("big", std::string(20000, 'x'));
  const auto reply = run(bounded.command({"GET", "big"}));
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error(), HasSubstr("more than 10000 bytes"));
  EXPECT_FALSE(bounded.connected());
}

TEST_F(RedisTest, AReplicaIsRefused) {
  server.command({"REPLICAOF", "127.0.0.1", "1"});
  const Status status = run(redis.connect());
  ASSERT_FALSE(status);
  EXPECT_THAT(status.error(), HasSubstr("not a master"));
  EXPECT_FALSE(redis.connected());
}

TEST_F(RedisTest, ThePasswordComesFromAFileAndIsNeverInAnError) {
  server.command({"CONFIG", "SET", "requirepass", "right-secret"});
  Redis none(io.get_executor(), options());
  EXPECT_THAT(run(none.connect()).error(), HasSubstr("set redis.passwordFile"));
  password_file("wrong-secret");
  RedisOptions with = options();
  with.password_file = file;
  Redis wrong(io.get_executor(), with);
  const Status refused = run(wrong.connect());
  EXPECT_THAT(refused.error(), HasSubstr("check redis.username and redis.passwordFile"));
  EXPECT_THAT(refused.error(), testing::Not(HasSubstr("secret")));
  password_file("right-secret");
  Redis right(io.get_executor(), with);
  const Status accepted = run(right.connect());
  EXPECT_TRUE(accepted) << accepted.error();
}

TEST_F(RedisTest, APasswordFileOthersCanReadIsRefused) {
  password_file("secret", 0644);
  RedisOptions with = options();
  with.password_file = file;
  Redis client(io.get_executor(), with);
  EXPECT_THAT(run(client.connect()).error(), HasSubstr("chmod 0600"));
}

TEST_F(RedisTest, WhatIsNotRedisIsNamed) {
  namespace asio = boost::asio;
  const std::string path = server.folder() + "/other.sock";
  asio::local::stream_protocol::acceptor acceptor(io, asio::local::stream_protocol::endpoint(path));
  asio::local::stream_protocol::socket peer(io);
  acceptor.async_accept(peer, [&](boost::system::error_code) {
    asio::write(peer, asio::buffer(std::string("HTTP/1.1 400 Bad Request\r\n\r\n")));
  });
  RedisOptions other = options();
  other.address = "unix:" + path;
  Redis client(io.get_executor(), other);
  EXPECT_THAT(run(client.connect()).error(), HasSubstr("does not speak Redis' protocol"));
}

TEST_F(RedisTest, ACancelledCommandClosesTheConnection) {
  boost::asio::cancellation_signal cancel;
  bool ended = false;
  server.pause();
  boost::asio::co_spawn(
      io,
      [](Redis& r) -> boost::asio::awaitable<void> {
        RedisCommand command;
        command.push_back("PING");
        static_cast<void>(co_await r.command(std::move(command)));
      }(redis),
      boost::asio::bind_cancellation_slot(cancel.slot(),
                                          [&](std::exception_ptr) { ended = true; }));
  pass(std::chrono::milliseconds(20));
  cancel.emit(boost::asio::cancellation_type::terminal);
  EXPECT_TRUE(until([&] { return ended; }));
  server.resume();
  EXPECT_FALSE(redis.connected());
  ASSERT_TRUE(run(redis.connect()));
  EXPECT_EQ(run(redis.command(echo("clean")))->text, "clean");
}

TEST_F(RedisTest, ScriptsAreLoadedAgainAfterAScriptFlush) {
  Publisher publisher = manual();
  ASSERT_TRUE(run(publisher.upsert(services(3))));
  server.command({"SCRIPT", "FLUSH"});
  const auto changes = run(publisher.upsert({service("a"), service("b"), service("c")}));
  ASSERT_TRUE(changes) << changes.error();
  EXPECT_THAT(*changes, testing::Each(Change::kCreated));
  EXPECT_EQ(hash().sequence, 6u);
}

}  // namespace
}  // namespace sluice::store
