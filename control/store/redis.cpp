#include "control/store/redis.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstdlib>
#include <deque>
#include <utility>

#include "config.pb.h"
#include "control/store/connection.h"
#include "control/store/endpoint.h"
#include "control/store/replication.h"
#include "control/store/reply.h"
#include "control/store/sentinel.h"

namespace sluice::store {

namespace asio = boost::asio;
using boost::system::error_code;

namespace {

constexpr int kOldestVersion = 7;
constexpr std::size_t kSlice = 8 * 1024;  // Fed to the parser at once.

auto awaiting(error_code& error) {
  return asio::redirect_error(asio::use_awaitable, error);
}

}  // namespace

const RedisValue& RedisValue::at(std::size_t index) const {
  static const RedisValue nil;
  return index < elements.size() ? elements[index] : nil;
}

void CommandBatch::add(std::span<const std::string_view> words) {
  append_command(words, &bytes_);
  ++size_;
}

void CommandBatch::add(const RedisCommand& command) {
  append_command(command, &bytes_);
  ++size_;
}

RedisOptions redis_options(const v1::Redis& config) {
  RedisOptions options;
  options.address = config.address();
  options.username = config.username();
  options.password_file = config.password_file();
  if (config.timeout_ms() != 0) options.timeout = std::chrono::milliseconds(config.timeout_ms());
  options.tls = {config.tls().enabled(), config.tls().ca(), config.tls().certificate(),
                 config.tls().key(), config.tls().server_name()};
  const v1::RedisSentinel& sentinel = config.sentinel();
  options.sentinel.addresses.assign(sentinel.addresses().begin(), sentinel.addresses().end());
  options.sentinel.master = sentinel.master();
  options.sentinel.username = sentinel.username();
  options.sentinel.password_file = sentinel.password_file();
  return options;
}

std::string target_text(const RedisOptions& options) {
  if (options.sentinel.addresses.empty()) return options.address;
  std::string text = "master " + options.sentinel.master + " of Sentinels";
  for (const std::string& address : options.sentinel.addresses) text += " " + address;
  return text;
}

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

struct Redis::Sentinels {
  const std::string& next(const std::vector<std::string>& addresses) {
    return addresses[turn++ % addresses.size()];
  }
  std::size_t turn = 0;
  std::uint64_t epoch = 0;  // Largest one seen.
  std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();
  bool asking = false;
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
      queue_(std::make_shared<Queue>()),
      sentinels_(std::make_shared<Sentinels>()) {}

Redis::~Redis() {
  close();
}

bool Redis::connected() const {
  return connection_ && connection_->ready() && connection_->is_open();
}

void Redis::close() {
  ++closed_;
  drop();
}

void Redis::drop() {
  if (connection_) connection_->close();
  connection_.reset();
}

asio::awaitable<Status> Redis::connect() {
  Turn turn(queue_);
  co_await turn.take(executor_);
  close();
  if (options_.sentinel.addresses.empty()) co_return co_await connect_to(options_.address);
  co_return co_await connect_by_sentinel();
}

asio::awaitable<Status> Redis::connect_to(std::string address) {
  peer_ = std::move(address);
  Status status = co_await RedisConnection::open(executor_, options_, peer_, connection_);
  if (status) status = co_await greet();
  if (status && !options_.any_role) status = co_await check_server();
  if (status) {
    connection_->set_ready();
  } else {
    drop();
  }
  co_return status;
}

asio::awaitable<Status> Redis::connect_by_sentinel() {
  std::string errors;
  const std::uint64_t closed = closed_;
  const std::vector<std::string>& sentinels = options_.sentinel.addresses;
  for (std::size_t i = 0; i < sentinels.size(); ++i) {
    const std::string& asked = sentinels_->next(sentinels);
    auto master = co_await ask_sentinel(executor_, options_, asked);
    if (closed_ != closed) co_return Error{"the connection to Redis was closed"};
    Status status = master ? Status(Ok{}) : Status(Error{master.error()});
    if (master && master->epoch < sentinels_->epoch) {
      status = Error{"Sentinel at " + asked + " does not know of the last failover yet"};
    }
    if (status) {
      sentinels_->epoch = master->epoch;
      status = co_await connect_to(master->address);
    }
    if (status) co_return status;
    errors += (errors.empty() ? "" : "; ") + status.error();
  }
  sentinels_->epoch = 0;  // Sentinels that were set up anew count from the beginning.
  co_return Error{"no Sentinel led to a master: " + errors};
}

void Redis::recheck_sentinels() {
  const auto now = std::chrono::steady_clock::now();
  if (options_.sentinel.addresses.empty() || sentinels_->asking ||
      now - sentinels_->asked < options_.sentinel.recheck) {
    return;
  }
  sentinels_->asked = now;
  sentinels_->asking = true;
  asio::co_spawn(executor_, recheck(executor_, options_, sentinels_, connection_, peer_),
                 asio::detached);
}

// Apart from the commands, and from the Redis itself, which may go meanwhile.
asio::awaitable<void> Redis::recheck(asio::any_io_executor executor, RedisOptions options,
                                     std::shared_ptr<Sentinels> sentinels,
                                     std::shared_ptr<RedisConnection> connection,
                                     std::string peer) {
  const std::string asked = sentinels->next(options.sentinel.addresses);
  auto master = co_await ask_sentinel(executor, options, asked);
  sentinels->asking = false;
  // Sentinels that do not answer change nothing.
  if (!master || master->epoch <= sentinels->epoch || master->address == peer) co_return;
  sentinels->epoch = master->epoch;
  connection->close("it is no longer the master, says the Sentinel at " + asked + ": " +
                    master->address + " is");
}

asio::awaitable<Status> Redis::greet() {
  if (options_.password_file.empty()) co_return Ok{};
  Result<std::string> password = read_password_file(options_.password_file);
  if (!password) co_return Error{password.error()};
  RedisCommand command;
  command.push_back("AUTH");
  if (!options_.username.empty()) command.push_back(options_.username);
  command.push_back(*password);
  CommandBatch batch;
  batch.add(command);
  auto replies = co_await exchange(std::move(batch), options_.timeout);
  if (!replies) co_return Error{replies.error()};
  if (replies->front().is_error()) co_return Error{explain_error("AUTH", replies->front().text)};
  co_return Ok{};
}

asio::awaitable<Status> Redis::check_server() {
  CommandBatch batch;
  RedisCommand role;
  role.push_back("ROLE");
  batch.add(role);
  for (const char* section : {"memory", "server"}) {
    RedisCommand info;
    info.push_back("INFO");
    info.push_back(section);
    batch.add(info);
  }
  auto replies = co_await exchange(std::move(batch), options_.timeout);
  if (!replies) co_return Error{replies.error()};
  const RedisValue& answer = (*replies)[0];
  if (answer.is_error()) co_return Error{explain_error("ROLE", answer.text)};
  if (answer.at(0).text != "master") {
    co_return Error{"Redis at " + peer_ + " is a " + answer.at(0).text +
                    ", not a master: point redis.address at the master"};
  }
  const std::string policy = info_field((*replies)[1].text, "maxmemory_policy");
  if (!policy.empty() && policy != "noeviction") {
    spdlog::warn(
        "redis may evict keys address={} maxmemory-policy={} "
        "hint=\"set maxmemory-policy noeviction\"",
        peer_, policy);
  }
  const std::string version = info_field((*replies)[2].text, "redis_version");
  if (!version.empty() && std::atoi(version.c_str()) < kOldestVersion) {
    spdlog::warn("redis is older than supported address={} version={} supported={}", peer_, version,
                 kOldestVersion);
  }
  co_return Ok{};
}

asio::awaitable<Result<std::vector<RedisValue>>> Redis::exchange(CommandBatch commands,
                                                                 std::chrono::milliseconds time) {
  std::vector<RedisValue> values;
  values.reserve(commands.size());
  OnReply keep = [&values](RedisValue value) { values.push_back(std::move(value)); };
  const Status status = co_await exchange(std::move(commands), time, std::move(keep));
  if (!status) co_return Error{status.error()};
  co_return values;
}

asio::awaitable<Status> Redis::exchange(CommandBatch commands, std::chrono::milliseconds time,
                                        OnReply on_reply) {
  const std::shared_ptr<RedisConnection> connection = connection_;
  if (!connection || !connection->is_open()) {
    co_return Error{"not connected to Redis at " + target_text(options_)};
  }
  Deadline deadline(connection, time);
  error_code error;
  const auto failed = [&](const std::string& why) {
    if (!connection->expired()) return Error{"Redis at " + peer_ + ": " + why};
    return Error{"Redis at " + peer_ + " did not answer within " + std::to_string(time.count()) +
                 " ms"};
  };
  co_await connection->write(commands.bytes_, error);
  if (error) co_return failed(connection->why_lost(error));

  std::size_t left = commands.size();
  while (left > 0) {
    std::string_view bytes = co_await connection->read(error);
    if (error) co_return failed(connection->why_lost(error));
    for (; !bytes.empty(); bytes.remove_prefix(std::min(kSlice, bytes.size()))) {
      const Status fed = connection->parser().feed(bytes.substr(0, kSlice));
      if (!fed) co_return failed(fed.error());
      while (left > 0) {
        Result<std::optional<RedisValue>> next = connection->parser().next();
        if (!next) co_return failed(next.error());
        if (!next->has_value()) break;
        --left;
        on_reply(std::move(**next));
      }
    }
  }
  deadline.done();
  co_return Ok{};
}

asio::awaitable<Result<RedisValue>> Redis::command(RedisCommand command) {
  return blocking_command(std::move(command), std::chrono::milliseconds(0));
}

asio::awaitable<Result<RedisValue>> Redis::blocking_command(RedisCommand command,
                                                            std::chrono::milliseconds wait) {
  Turn turn(queue_);
  co_await turn.take(executor_);
  if (!connected()) co_return Error{"not connected to Redis at " + target_text(options_)};
  recheck_sentinels();
  CommandBatch batch;
  batch.add(command);
  auto replies = co_await exchange(std::move(batch), options_.timeout + wait);
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
  if (!connected()) co_return Error{"not connected to Redis at " + target_text(options_)};
  recheck_sentinels();
  CommandBatch batch;
  for (const RedisCommand& command : commands) batch.add(command);
  co_return co_await exchange(std::move(batch), options_.timeout);
}

asio::awaitable<Status> Redis::pipeline(CommandBatch commands, OnReply on_reply) {
  Turn turn(queue_);
  co_await turn.take(executor_);
  if (!connected()) co_return Error{"not connected to Redis at " + target_text(options_)};
  recheck_sentinels();
  co_return co_await exchange(std::move(commands), options_.timeout, std::move(on_reply));
}

}  // namespace sluice::store
