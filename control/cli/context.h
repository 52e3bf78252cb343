// Context: what the commands share: options, configuration, and connections made when first needed.
// Ownership: main's. Thread: one; awaitables are run to their end, one at a time.
// Errors: Redis and the dataplane are optional for some commands, so a failed connection is a
// Result; its text says what to start or check.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "config.pb.h"
#include "control/program/dataplane_client.h"
#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice {

// Exit codes of every command.
inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;  // Refused, not found, not reachable.
inline constexpr int kExitUsage = 2;

struct GlobalOptions {
  std::string config_file;
  std::string redis;   // Over redis.address.
  std::string socket;  // Over dataplane.socket.
};

class Context {
 public:
  explicit Context(GlobalOptions options) : options_(std::move(options)) {}

  // gateway.yaml with the options over it.
  Result<const v1::GatewayConfig*> config();
  Result<store::Redis*> redis();
  Result<DataplaneClient*> dataplane();

  template <typename T>
  T run(boost::asio::awaitable<T> work) {
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

 private:
  GlobalOptions options_;
  boost::asio::io_context io_{1};
  std::optional<v1::GatewayConfig> config_;
  std::unique_ptr<store::Redis> redis_;
  std::unique_ptr<DataplaneClient> dataplane_;
};

// "Error: TEXT" on stderr; kExitFailed.
int fail(const std::string& text);
// "Warning: TEXT" on stderr.
void warn(const std::string& text);
// "sluice VERSION", as headers name the writer.
std::string writer_name();

}  // namespace sluice
