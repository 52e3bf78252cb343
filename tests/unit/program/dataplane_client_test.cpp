#include "control/program/dataplane_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/thread_pool.hpp>
#include <filesystem>
#include <optional>
#include <thread>

#include "proto/address.h"
#include "tests/unit/program/fake_dataplane.h"

namespace sluice {
namespace {

using boost::asio::awaitable;
using ::testing::HasSubstr;

class DataplaneClientTest : public ::testing::Test {
 protected:
  DataplaneClientTest() {
    char name[] = "/tmp/sluice-client-XXXXXX";
    directory_ = ::mkdtemp(name);
    path_ = directory_ + "/dataplane.sock";
  }
  ~DataplaneClientTest() override { std::filesystem::remove_all(directory_); }

  // Runs one awaitable to its end; the io_context returning early would leave no value.
  template <typename T>
  T run(awaitable<T> work) {
    std::optional<T> result;
    io_.restart();
    boost::asio::co_spawn(
        io_,
        [](awaitable<T> inner, std::optional<T>& out) -> awaitable<void> {
          out.emplace(co_await std::move(inner));
        }(std::move(work), result),
        boost::asio::detached);
    io_.run();
    return std::move(result.value());
  }

  Result<v1::HelloReply> connect() { return run(client_.connect(path_, "test")); }

  // The whole report by way of another thread.
  Result<v1::Report> read_beside() {
    v1::Report all;
    replies_ = 0;
    DataplaneClient::OnReport take = [&](v1::Report report) {
      EXPECT_NE(std::this_thread::get_id(), own_thread_);
      all.MergeFrom(report);
      ++replies_;
    };
    const Status read = run(client_.read_report(std::move(take), beside_.get_executor()));
    if (!read) return Error{read.error()};
    return all;
  }

  const std::thread::id own_thread_ = std::this_thread::get_id();
  int replies_ = 0;
  boost::asio::thread_pool beside_{1};
  std::string directory_, path_;
  boost::asio::io_context io_;
  DataplaneClient client_{io_.get_executor(), std::chrono::milliseconds(500)};
};

v1::ApplyBegin begin(std::uint64_t generation, std::uint64_t base, std::uint64_t seed = 7) {
  v1::ApplyBegin message;
  message.set_generation(generation);
  message.set_base(base);
  message.set_maglev_seed(seed);
  return message;
}

std::string one_vip(const char* address, unsigned port) {
  v1::ApplyPart part;
  const std::string bytes = IpAddress::parse(address)->bytes();
  part.add_upsert_addresses()->set_address(bytes);
  auto* vip = part.add_upsert_vips();
  vip->mutable_key()->set_address(bytes);
  vip->mutable_key()->set_protocol(v1::PROTOCOL_TCP);
  vip->mutable_key()->set_port(port);
  return part.SerializeAsString();
}

TEST_F(DataplaneClientTest, SaysHello) {
  test::FakeDataplane dataplane(path_);
  const auto hello = connect();
  ASSERT_TRUE(hello) << hello.error();
  EXPECT_EQ(hello->boot(), "boot-1");
  EXPECT_TRUE(client_.connected());
}

TEST_F(DataplaneClientTest, NobodyListeningIsAnErrorThatSaysWhatToCheck) {
  const auto hello = connect();
  ASSERT_FALSE(hello);
  EXPECT_THAT(hello.error(), HasSubstr(path_));
  EXPECT_THAT(hello.error(), HasSubstr("is sluice-dataplane running?"));
  EXPECT_FALSE(client_.connected());
}

TEST_F(DataplaneClientTest, APathTooLongForASocketIsRefused) {
  const auto hello = run(client_.connect(std::string(200, 'x'), "test"));
  ASSERT_FALSE(hello);
  EXPECT_THAT(hello.error(), HasSubstr("dataplane.socket"));
}

TEST_F(DataplaneClientTest, AnotherMajorIsRefused) {
  test::FakeDataplane dataplane(path_);
  dataplane.set_major(2);
  const auto hello = connect();
  ASSERT_FALSE(hello);
  EXPECT_THAT(hello.error(), HasSubstr("major 2"));
  EXPECT_FALSE(client_.connected());
}

TEST_F(DataplaneClientTest, AppliesAndReadsBackInSeveralReplies) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  const auto applied =
      run(client_.apply(begin(1, 0), {one_vip("192.0.2.1", 80), one_vip("2001:db8::1", 443)}));
  ASSERT_TRUE(applied) << applied.error();
  EXPECT_EQ(applied->generation(), 1u);
  const auto report = run(client_.report(true));
  ASSERT_TRUE(report) << report.error();
  EXPECT_EQ(report->generation(), 1u);
  EXPECT_EQ(report->maglev_seed(), 7u);
  EXPECT_EQ(report->vips_size(), 2);
  EXPECT_EQ(report->addresses_size(), 2);
  const auto beside = read_beside();
  ASSERT_TRUE(beside) << beside.error();
  EXPECT_GT(replies_, 1);
  EXPECT_EQ(beside->SerializeAsString(), report->SerializeAsString());
  const auto brief = run(client_.report(false));
  ASSERT_TRUE(brief);
  EXPECT_EQ(brief->vips_size(), 0);
}

TEST_F(DataplaneClientTest, ARefusedCommitLeavesTheConnectionAndNoTransaction) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  dataplane.refuse_commits("VIP id 3: no room");
  const auto refused = run(client_.apply(begin(1, 0), {one_vip("192.0.2.1", 80)}));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), "VIP id 3: no room");
  EXPECT_TRUE(client_.refused());
  EXPECT_TRUE(client_.connected());
  dataplane.refuse_commits("");
  EXPECT_TRUE(run(client_.apply(begin(1, 0), {one_vip("192.0.2.1", 80)})));
  EXPECT_EQ(dataplane.state().vips.size(), 1u);
}

TEST_F(DataplaneClientTest, ARefusedBeginLeavesTheConnection) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  ASSERT_TRUE(run(client_.apply(begin(5, 0), {})));
  const auto refused = run(client_.apply(begin(5, 5), {}));
  ASSERT_FALSE(refused);
  EXPECT_TRUE(client_.refused());
  EXPECT_TRUE(run(client_.apply(begin(6, 5), {})));
}

TEST_F(DataplaneClientTest, APartTooLargeIsNotSent) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  v1::ApplyPart part;
  part.add_upsert_backends()->set_name(std::string((1 << 20) + 1, 'x'));
  const auto refused = run(client_.apply(begin(1, 0), {part.SerializeAsString()}));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("1 MiB"));
  EXPECT_TRUE(dataplane.transactions().empty());
  EXPECT_TRUE(client_.connected());
}

TEST_F(DataplaneClientTest, SilenceTimesOutAndCloses) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  dataplane.be_silent(true);
  const auto report = run(client_.report(true));
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error(), HasSubstr("no answer in time"));
  EXPECT_FALSE(client_.refused());
  EXPECT_FALSE(client_.connected());
  dataplane.be_silent(false);
  EXPECT_TRUE(connect());  // The same client connects again.
}

TEST_F(DataplaneClientTest, ARestartEndsTheConnectionAndShowsAnotherBoot) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  dataplane.restart();
  EXPECT_FALSE(run(client_.report(false)));
  EXPECT_FALSE(client_.connected());
  const auto again = connect();
  ASSERT_TRUE(again);
  EXPECT_EQ(again->boot(), "boot-2");
}

struct BadAnswer {
  const char* name;
  std::string bytes;
  const char* says;
};
class BadAnswerTest : public DataplaneClientTest, public ::testing::WithParamInterface<BadAnswer> {
 protected:
  void expect_refused(const Result<v1::Report>& report) {
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error(), HasSubstr(GetParam().says));
    EXPECT_FALSE(client_.connected());
  }
};

TEST_P(BadAnswerTest, EndsTheConnectionWithAReason) {
  test::FakeDataplane dataplane(path_);
  ASSERT_TRUE(connect());
  dataplane.answer_raw(GetParam().bytes);
  expect_refused(run(client_.report(true)));
  dataplane.answer_raw("");
  ASSERT_TRUE(connect());
  dataplane.answer_raw(GetParam().bytes);
  expect_refused(read_beside());
  EXPECT_EQ(replies_, 0);
}

INSTANTIATE_TEST_SUITE_P(
    DataplaneClient, BadAnswerTest,
    ::testing::Values(BadAnswer{"oversized", std::string("\x7f\xff\xff\xff", 4), "limit"},
                      BadAnswer{"garbage", std::string("\0\0\0\x03\xff\xff\xff", 7), "parse"},
                      BadAnswer{"cut", std::string("\0\0\0\x7f\x08\x01", 6), "no answer in time"},
                      BadAnswer{"other_id", std::string("\0\0\0\x02\x08\x63", 6),
                                "another request"}),
    [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace sluice
