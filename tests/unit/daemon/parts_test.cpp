// Back-off, lock file, signal, pool seeds: the small parts of the daemon.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <filesystem>

#include "control/daemon/backoff.h"
#include "control/daemon/lock_file.h"
#include "control/daemon/pool_seeds.h"
#include "control/daemon/signal.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;

TEST(Backoff, DoublesUpToTheLimitWithJitter) {
  Backoff backoff(100ms, 1s, 1);
  for (const auto step : {100ms, 200ms, 400ms, 800ms, 1000ms, 1000ms}) {
    const auto wait = backoff.next();
    EXPECT_GE(wait, step / 2);
    EXPECT_LE(wait, step);
  }
  backoff.reset();
  EXPECT_LE(backoff.next(), 100ms);
}

TEST(Backoff, TwoGatewaysDoNotRetryInStep) {
  Backoff a(1000ms, 60s, 1), b(1000ms, 60s, 2);
  bool differ = false;
  for (int i = 0; i < 5; ++i) differ |= a.next() != b.next();
  EXPECT_TRUE(differ);
}

class LockFileTest : public ::testing::Test {
 protected:
  LockFileTest() {
    path_ = (std::filesystem::temp_directory_path() / "sluice-lock-XXXXXX").string();
    EXPECT_NE(::mkdtemp(path_.data()), nullptr);
  }
  ~LockFileTest() override { std::filesystem::remove_all(path_); }
  std::string path_;
};

TEST_F(LockFileTest, TheSecondIsRefusedUntilTheFirstIsGone) {
  {
    const auto first = LockFile::take(path_ + "/control.lock");
    ASSERT_TRUE(first) << first.error();
    const auto second = LockFile::take(path_ + "/control.lock");
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error(), HasSubstr("pid " + std::to_string(::getpid())));
  }
  EXPECT_TRUE(LockFile::take(path_ + "/control.lock"));
}

TEST_F(LockFileTest, ASymbolicLinkIsNotFollowed) {
  std::filesystem::create_symlink(path_ + "/victim", path_ + "/control.lock");
  EXPECT_FALSE(LockFile::take(path_ + "/control.lock"));
  EXPECT_FALSE(std::filesystem::exists(path_ + "/victim"));
}

TEST(Signal, NotificationsBeforeTheWaitAreNotLostAndCountAsOne) {
  boost::asio::io_context io;
  Signal signal(io.get_executor());
  signal.notify();
  signal.notify();
  std::vector<std::string> seen;
  const auto wait = [&]() -> boost::asio::awaitable<void> {
    const auto start = std::chrono::steady_clock::now();
    co_await signal.wait(10s);
    seen.push_back("first");
    co_await signal.wait(20ms);
    if (std::chrono::steady_clock::now() - start >= 20ms) seen.push_back("second timed out");
  };
  boost::asio::co_spawn(io, wait(), boost::asio::detached);
  io.run_for(5s);
  EXPECT_THAT(seen, ::testing::ElementsAre("first", "second timed out"));
}

TEST(PoolSeeds, OnlyThoseThatAreMissing) {
  std::vector<v1::PoolSeed> seeds(2);
  seeds[0].set_name("public");
  seeds[0].add_addresses("192.0.2.0/24");
  seeds[1].set_name("private");
  seeds[1].add_addresses("198.51.100.0/24");
  const std::map<std::string, ObjectPointer> existing{
      {"public", std::make_shared<const v1::Object>()}};
  const auto missing = missing_pools(seeds, existing);
  ASSERT_EQ(missing.size(), 1u);
  const v1::AddressPool& pool = missing[0].address_pool();
  EXPECT_EQ(pool.metadata().name(), "private");
  EXPECT_EQ(pool.metadata().generation(), 1);
  EXPECT_EQ(pool.metadata().uid().size(), 36u);
  EXPECT_EQ(pool.spec().addresses(0), "198.51.100.0/24");
}

}  // namespace
}  // namespace sluice
