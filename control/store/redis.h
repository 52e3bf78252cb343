// Redis: one connection to a Redis server, over Asio, with hiredis' parser. Purpose: commands,
// pipelines and blocking reads with a deadline each, over TCP, TLS or a Unix socket, to an address
// or to the master that Sentinels name; nothing here knows our keys. Ownership: the caller keeps
// the Redis alive while a coroutine of it runs. Thread: the executor's, one; several coroutines may
// use one connection, they take turns in the order they came. Errors: a text for people that says
// what to check. After a transport error, a time-out or a broken reply the connection is closed
// (connected() is false) and the caller calls connect() again; an error reply of the server leaves
// it open. Cancellation: a cancelled command closes the connection, since its reply would be taken
// for another's. Source: RESP2, redis.io/docs/reference/protocol-spec; Redis 7.0.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"

namespace sluice::v1 {
class Redis;
}

namespace sluice::store {

struct TlsOptions {
  bool enabled = false;
  std::string ca;           // PEM file; empty: the system's authorities.
  std::string certificate;  // PEM files of the client's certificate and key;
                            // empty: none.
  std::string key;
  std::string server_name;  // That the server's certificate must be for; empty:
                            // the address' host.
};

struct SentinelOptions {
  std::vector<std::string> addresses;  // None: Sentinel is not used.
  std::string master;                  // Its name at the Sentinels.
  std::string username;
  std::string password_file;
  // While connected, one of them is asked this often whether the master is still the same: one that
  // was cut off from its Sentinels does not know that it was replaced.
  std::chrono::milliseconds recheck{5000};
};

struct RedisOptions {
  std::string address;        // "HOST:PORT", "[IPv6]:PORT" or "unix:/path"; not used
                              // with Sentinels.
  std::string username;       // ACL user; empty: the default user.
  std::string password_file;  // Mode 0600, its first line is the password; empty: none.
  std::chrono::milliseconds timeout{3000};    // For connecting, and for each command or pipeline.
  std::size_t max_reply_bytes = 64u << 20;    // A longer reply ends the connection.
  std::size_t max_reply_elements = 4u << 20;  // Of one array.
  TlsOptions tls;
  SentinelOptions sentinel;
  bool any_role = false;  // Takes replicas and Sentinels too.
};
// Where it connects to, for logs: the address, or the Sentinels' and the
// master's name.
std::string target_text(const RedisOptions& options);
RedisOptions redis_options(const v1::Redis& config);

// One reply, or one element of one.
struct RedisValue {
  enum class Type { kNil, kInteger, kString, kStatus, kError, kArray };
  Type type = Type::kNil;
  std::int64_t integer = 0;
  std::string text;  // Of a string, a status or an error.
  std::vector<RedisValue> elements;

  bool is_nil() const { return type == Type::kNil; }
  bool is_error() const { return type == Type::kError; }
  bool is_string() const { return type == Type::kString; }
  bool is_array() const { return type == Type::kArray; }
  // Element, or a nil value where there is none: replies come from outside.
  const RedisValue& at(std::size_t index) const;
};

using RedisCommand = std::vector<std::string>;

// Commands to be sent together; each word is copied once, to where it is sent from.
class CommandBatch {
 public:
  void add(std::span<const std::string_view> words);
  void add(const RedisCommand& command);
  std::size_t size() const { return size_; }  // Commands.

 private:
  friend class Redis;
  std::string bytes_;
  std::size_t size_ = 0;
};

class RedisConnection;

class Redis {
 public:
  Redis(boost::asio::any_io_executor executor, RedisOptions options);
  ~Redis();
  Redis(const Redis&) = delete;
  Redis& operator=(const Redis&) = delete;

  // Connects, authenticates, and checks that the server is a master. All
  // addresses of a name are tried, and all Sentinels. Warns in the log when its
  // maxmemory-policy would let it evict our keys. An open connection is closed
  // first.
  boost::asio::awaitable<Status> connect();
  bool connected() const;
  void close();  // Whatever waits for a reply gets an error.

  // An error reply is an Error: "Redis refused SET: ...".
  boost::asio::awaitable<Result<RedisValue>> command(RedisCommand command);
  // All sent at once, one reply each in their order; error replies are values
  // (is_error()).
  boost::asio::awaitable<Result<std::vector<RedisValue>>> pipeline(
      std::vector<RedisCommand> commands);
  // `on_reply` gets each reply as it comes; those after a lost connection never do.
  using OnReply = std::function<void(RedisValue)>;
  boost::asio::awaitable<Status> pipeline(CommandBatch commands, OnReply on_reply);
  // A command that may wait `wait` at the server (XREAD BLOCK): the deadline is
  // that much later. Use a connection of its own for it.
  boost::asio::awaitable<Result<RedisValue>> blocking_command(RedisCommand command,
                                                              std::chrono::milliseconds wait);

  const RedisOptions& options() const { return options_; }
  const std::string& peer() const { return peer_; }  // Address last connected to.
  boost::asio::any_io_executor executor() const { return executor_; }

 private:
  struct Queue;
  struct Sentinels;
  class Turn;

  void drop();
  void recheck_sentinels();
  static boost::asio::awaitable<void> recheck(boost::asio::any_io_executor executor,
                                              RedisOptions options,
                                              std::shared_ptr<Sentinels> sentinels,
                                              std::shared_ptr<RedisConnection> connection,
                                              std::string peer);
  boost::asio::awaitable<Status> connect_to(std::string address);
  boost::asio::awaitable<Status> connect_by_sentinel();
  boost::asio::awaitable<Status> greet();
  boost::asio::awaitable<Status> check_server();
  boost::asio::awaitable<Result<std::vector<RedisValue>>> exchange(CommandBatch commands,
                                                                   std::chrono::milliseconds time);
  boost::asio::awaitable<Status> exchange(CommandBatch commands, std::chrono::milliseconds time,
                                          OnReply on_reply);

  boost::asio::any_io_executor executor_;
  RedisOptions options_;
  std::shared_ptr<Queue> queue_;
  std::shared_ptr<RedisConnection> connection_;
  std::string peer_;
  std::uint64_t closed_ = 0;  // Calls of close(), so that a connect() in between ends.
  std::shared_ptr<Sentinels> sentinels_;
};

}  // namespace sluice::store
