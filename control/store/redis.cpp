#include "control/store/redis.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <deque>
#include <utility>

#include "config.pb.h"
#include "control/store/endpoint.h"
#include "control/store/reply.h"

namespace sluice::store {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

const RedisValue& RedisValue::at(std::size_t index) const {
  static const RedisValue nil;
  return index < elements.size() ? elements[index] : nil;
}

RedisOptions redis_options(const v1::Redis& config) {
  RedisOptions options;
  options.address = config.address();
  options.username = config.username();
  options.password_file = config.password_file();
  if (config.timeout_ms() != 0) options.timeout = std::chrono::milliseconds(config.timeout_ms());
  return options;
}

// Shared with the deadline's handler, which may run after the Redis is gone.
class Redis::Connection {
 public:
  Connection(const asio::any_io_executor& executor, const RedisOptions& options)
      : socket(executor), parser(options.max_reply_bytes, options.max_reply_elements) {}

  void close() {
    error_code ignored;
    socket.close(ignored);
  }

  asio::generic::stream_protocol::socket socket;
  ReplyParser parser;
  std::array<char, 64 * 1024> chunk;
  bool expired = false;
  bool ready = false;  // Greeted; until then connected() is false.
};

namespace {

// Closes the connection when its time is over, and also when its scope is left before done(): then
// a reply may be on its way that nobody waits for, and the next command would take it for its own.
template <typename Connection>
class Deadline {
 public:
  Deadline(std::shared_ptr<Connection> connection, std::chrono::milliseconds time)
      : connection_(std::move(connection)), timer_(connection_->socket.get_executor(), time) {
    timer_.async_wait([running = running_, connection = connection_](error_code error) {
      if (error || !*running) return;
      connection->expired = true;
      connection->close();
    });
  }
  ~Deadline() {
    *running_ = false;
    if (!done_) connection_->close();
  }
  void done() { done_ = true; }

 private:
  std::shared_ptr<Connection> connection_;
  asio::steady_timer timer_;
  std::shared_ptr<bool> running_ = std::make_shared<bool>(true);
  bool done_ = false;
};

}  // namespace

// One command at a time: the others wait in the order they came.
struct Redis::Queue {
  struct Waiter {
    explicit Waiter(const asio::any_io_executor& executor)
        : timer(executor, asio::steady_timer::time_point::max()) {}
    asio::steady_timer timer;
    bool granted = false;
  };
  std::deque<std::shared_ptr<Waiter>> waiting;
  bool busy = false;
};

class Redis::Turn {
 public:
  explicit Turn(std::shared_ptr<Queue> queue) : queue_(std::move(queue)) {}
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    if (waiter_ && !waiter_->granted) {
      std::erase(queue_->waiting, waiter_);
    } else if (waiter_ || taken_) {
      pass_on();
    }
  }
  asio::awaitable<void> take(asio::any_io_executor executor) {
    if (!queue_->busy) {
      queue_->busy = taken_ = true;
      co_return;
    }
    waiter_ = std::make_shared<Queue::Waiter>(executor);
    queue_->waiting.push_back(waiter_);
    error_code woken;
    while (!waiter_->granted) co_await waiter_->timer.async_wait(awaiting(woken));
  }

 private:
  void pass_on() {
    queue_->busy = !queue_->waiting.empty();
    if (!queue_->busy) return;
    const std::shared_ptr<Queue::Waiter> next = queue_->waiting.front();
    queue_->waiting.pop_front();
    next->granted = true;
    next->timer.cancel();
  }

  std::shared_ptr<Queue> queue_;
  std::shared_ptr<Queue::Waiter> waiter_;
  bool taken_ = false;
};

Redis::Redis(asio::any_io_executor executor, RedisOptions options)
    : executor_(std::move(executor)),
      options_(std::move(options)),
      queue_(std::make_shared<Queue>()) {}

Redis::~Redis() {
  close();
}

bool Redis::connected() const {
  return connection_ && connection_->ready && connection_->socket.is_open();
}

void Redis::close() {
  if (connection_) connection_->close();
  connection_.reset();
}

asio::awaitable<Status> Redis::connect() {
  Turn turn(queue_);
  co_await turn.take(executor_);
  close();
  Status status = co_await open();
  if (status) status = co_await greet();
  if (status) status = co_await check_server();
  if (status) {
    connection_->ready = true;
  } else {
    close();
  }
  co_return status;
}

asio::awaitable<Status> Redis::open() {
  const Result<Endpoint> endpoint = parse_endpoint(options_.address);
  if (!endpoint) co_return Error{endpoint.error()};
  std::vector<asio::generic::stream_protocol::endpoint> candidates;
  error_code error;
  if (!endpoint->path.empty()) {
    candidates.emplace_back(asio::local::stream_protocol::endpoint(endpoint->path));
  } else {
    asio::ip::tcp::resolver resolver(executor_);
    const auto found =
        co_await resolver.async_resolve(endpoint->host, endpoint->port, awaiting(error));
    if (error) {
      co_return Error{"cannot resolve \"" + endpoint->host +
                      "\" (redis.address): " + error.message()};
    }
    for (const auto& entry : found) candidates.emplace_back(entry.endpoint());
  }
  for (const auto& candidate : candidates) {
    connection_ = std::make_shared<Connection>(executor_, options_);
    const std::shared_ptr<Connection> connection = connection_;
    Deadline deadline(connection, options_.timeout);
    co_await connection->socket.async_connect(candidate, awaiting(error));
    if (connection->expired) error = asio::error::timed_out;
    if (error) continue;
    deadline.done();
    if (endpoint->path.empty()) {
      connection->socket.set_option(asio::ip::tcp::no_delay(true), error);
      connection->socket.set_option(asio::socket_base::keep_alive(true), error);
    }
    co_return Ok{};
  }
  co_return Error{"cannot connect to Redis at " + options_.address + ": " + error.message() +
                  "; is it running, and is redis.address right?"};
}

asio::awaitable<Status> Redis::greet() {
  if (options_.password_file.empty()) co_return Ok{};
  Result<std::string> password = read_password_file(options_.password_file);
  if (!password) co_return Error{password.error()};
  RedisCommand command;
  command.push_back("AUTH");
  if (!options_.username.empty()) command.push_back(options_.username);
  command.push_back(*password);
  std::string bytes;
  append_command(command, &bytes);
  auto replies = co_await exchange(std::move(bytes), 1, options_.timeout);
  if (!replies) co_return Error{replies.error()};
  if (replies->front().is_error()) co_return Error{explain_error("AUTH", replies->front().text)};
  co_return Ok{};
}

asio::awaitable<Status> Redis::check_server() {
  std::string bytes;
  RedisCommand role;
  role.push_back("ROLE");
  append_command(role, &bytes);
  RedisCommand info;
  info.push_back("INFO");
  info.push_back("memory");
  append_command(info, &bytes);
  auto replies = co_await exchange(std::move(bytes), 2, options_.timeout);
  if (!replies) co_return Error{replies.error()};
  const RedisValue& answer = (*replies)[0];
  if (answer.is_error()) co_return Error{explain_error("ROLE", answer.text)};
  if (answer.at(0).text != "master") {
    co_return Error{"Redis at " + options_.address + " is a " + answer.at(0).text +
                    ", not a master: point redis.address at the master"};
  }
  const std::string& memory = (*replies)[1].text;
  const std::string field = "maxmemory_policy:";
  const std::size_t at = memory.find(field);
  if ((*replies)[1].is_error() || at == std::string::npos) co_return Ok{};
  const std::size_t begin = at + field.size();
  const std::string policy = memory.substr(begin, memory.find('\r', begin) - begin);
  if (policy != "noeviction") {
    spdlog::warn(
        "redis may evict keys address={} maxmemory-policy={} hint=\"set maxmemory-policy "
        "noeviction\"",
        options_.address, policy);
  }
  co_return Ok{};
}

asio::awaitable<Result<std::vector<RedisValue>>> Redis::exchange(std::string bytes,
                                                                 std::size_t replies,
                                                                 std::chrono::milliseconds time) {
  const std::shared_ptr<Connection> connection = connection_;
  if (!connection || !connection->socket.is_open()) {
    co_return Error{"not connected to Redis at " + options_.address};
  }
  Deadline deadline(connection, time);
  error_code error;
  const auto failed = [&](const std::string& why) {
    if (!connection->expired) return Error{"Redis at " + options_.address + ": " + why};
    return Error{"Redis at " + options_.address + " did not answer within " +
                 std::to_string(time.count()) + " ms"};
  };
  co_await asio::async_write(connection->socket, asio::buffer(bytes), awaiting(error));
  if (error) co_return failed("cannot send: " + error.message());

  std::vector<RedisValue> values;
  while (values.size() < replies) {
    Result<std::optional<RedisValue>> next = connection->parser.next();
    if (!next) co_return failed(next.error());
    if (next->has_value()) {
      values.push_back(std::move(**next));
      continue;
    }
    const std::size_t size = co_await connection->socket.async_read_some(
        asio::buffer(connection->chunk), awaiting(error));
    if (error) co_return failed("connection lost: " + error.message());
    const Status fed = connection->parser.feed({connection->chunk.data(), size});
    if (!fed) co_return failed(fed.error());
  }
  deadline.done();
  co_return values;
}

asio::awaitable<Result<RedisValue>> Redis::command(RedisCommand command) {
  return blocking_command(std::move(command), std::chrono::milliseconds(0));
}

asio::awaitable<Result<RedisValue>> Redis::blocking_command(RedisCommand command,
                                                            std::chrono::milliseconds wait) {
  Turn turn(queue_);
  co_await turn.take(executor_);
  if (!connected()) co_return Error{"not connected to Redis at " + options_.address};
  std::string bytes;
  append_command(command, &bytes);
  auto replies = co_await exchange(std::move(bytes), 1, options_.timeout + wait);
  if (!replies) co_return Error{replies.error()};
  if (replies->front().is_error()) {
    co_return Error{explain_error(command.front(), replies->front().text)};
  }
  co_return std::move(replies->front());
}

asio::awaitable<Result<std::vector<RedisValue>>> Redis::pipeline(
    std::vector<RedisCommand> commands) {
  Turn turn(queue_);
  co_await turn.take(executor_);
  if (!connected()) co_return Error{"not connected to Redis at " + options_.address};
  if (commands.empty()) co_return std::vector<RedisValue>{};
  std::string bytes;
  for (const RedisCommand& command : commands) append_command(command, &bytes);
  co_return co_await exchange(std::move(bytes), commands.size(), options_.timeout);
}

}  // namespace sluice::store
