// The built `sluice` against a private redis-server, as the user of config/redis-acl.conf that it
// is meant to be; and what clusters and gateways write there. Ownership: everything ends with the
// object. Thread: any, one. Errors: fail the test.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <fstream>
#include <sstream>
#include <utility>

#include "control/store/objects.h"
#include "control/store/publisher.h"
#include "control/store/source_hash.h"
#include "control/store/status.h"
#include "tests/support/redis_server.h"
#include "tests/unit/cli/process.h"

namespace sluice::test {

class CommandFixture : public ::testing::Test {
 protected:
  CommandFixture() {
    load_acl();
    const std::string password = folder_.write("password", "test-password\n");
    ::chmod(password.c_str(), 0600);
    socket_ = folder_.path() + "/dataplane.sock";
    config_ = folder_.write("gateway.yaml",
                            "gateway: {name: edge-1}\nredis: {address: \"" + redis_.address() +
                                "\", username: sluice-cli, passwordFile: " + password +
                                "}\ncontrol: {stateDirectory: " + folder_.path() +
                                "/state}\ndataplane: {socket: " + socket_ + "}\n");
  }

  std::vector<std::string> words(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {SLUICE_BINARY, "--config", config_});
    return arguments;
  }
  Finished sluice(std::vector<std::string> arguments, const std::string& input = "") {
    return run(words(std::move(arguments)), input);
  }
  void apply(const std::string& yaml) {
    const Finished result = sluice({"apply", "-f", "-"}, yaml);
    ASSERT_EQ(result.code, 0) << result.err;
  }

  // As the default user, who may do everything.
  template <typename T>
  T ask(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    io_.restart();
    boost::asio::co_spawn(
        io_,
        [](boost::asio::awaitable<T> inner, std::optional<T>& out) -> boost::asio::awaitable<void> {
          out.emplace(co_await std::move(inner));
        }(std::move(work), result),
        boost::asio::detached);
    io_.run();
    return std::move(result.value());
  }
  store::Redis& admin() {
    if (!admin_) admin_ = std::make_unique<store::Redis>(io_.get_executor(), admin_options());
    if (!admin_->connected()) {
      const Status status = ask(admin_->connect());
      EXPECT_TRUE(status) << status.error();
    }
    return *admin_;
  }
  // What a cluster's agent does.
  void publish(const std::string& source, std::vector<v1::Object> objects) {
    store::Publisher publisher(admin(), source, 1, "test");
    const auto report =
        ask(publisher.publish_all(store::all_kinds(), std::move(objects), "uid-of-" + source));
    ASSERT_TRUE(report) << report.error();
  }

  RedisServer redis_;
  TemporaryFolder folder_;
  std::string socket_, config_;

 private:
  store::RedisOptions admin_options() const {
    store::RedisOptions options;
    options.address = redis_.address();
    return options;
  }
  void load_acl() {
    std::ifstream file(SLUICE_SOURCE_DIR "/config/redis-acl.conf");
    EXPECT_TRUE(file);
    for (std::string line; std::getline(file, line);) {
      std::istringstream in(line);
      std::vector<std::string> command{"ACL", "SETUSER"};
      std::string word;
      in >> word;
      if (word != "user") continue;
      while (in >> word) command.push_back(word[0] == '>' ? std::string(">test-password") : word);
      EXPECT_EQ(redis_.command(command), "OK") << line;
    }
  }

  boost::asio::io_context io_{1};
  std::unique_ptr<store::Redis> admin_;
};

}  // namespace sluice::test
