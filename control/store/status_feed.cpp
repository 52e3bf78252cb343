#include "control/store/status_feed.h"

#include <spdlog/spdlog.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <utility>

#include "control/store/keys.h"
#include "control/store/objects.h"
#include "control/store/stream.h"

namespace sluice::store {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

struct Entry {
  std::string id;
  std::optional<StatusKey> key;
  std::uint64_t sequence = 0;  // 0: not ours.
  std::string incarnation;
};

Entry parse_entry(const std::string& source, const RedisValue& value) {
  Entry entry;
  entry.id = value.at(0).text;
  const std::vector<RedisValue>& fields = value.at(1).elements;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    const std::string& text = fields[i + 1].text;
    if (fields[i].text == "sequence") entry.sequence = keys::parse_number(text).value_or(0);
    if (fields[i].text == "incarnation") entry.incarnation = text;
    if (fields[i].text != "key") continue;
    if (auto key = keys::parse_object(source, kind_name(v1::KIND_SERVICE), text))
      entry.key = StatusKey{std::move(key->source), std::move(key->ns), std::move(key->name)};
  }
  return entry;
}

RedisCommand last_entry_command(const std::string& stream) {
  RedisCommand command;
  for (const char* word : {"XREVRANGE", stream.c_str(), "+", "-", "COUNT", "1"})
    command.push_back(word);
  return command;
}

RedisCommand read_command(const std::string& stream, const std::string& after, milliseconds wait) {
  RedisCommand command;
  command.push_back("XREAD");
  command.push_back("COUNT");
  command.push_back(std::to_string(kStreamBatch));
  command.push_back("BLOCK");
  command.push_back(std::to_string(wait.count()));
  command.push_back("STREAMS");
  command.push_back(stream);
  command.push_back(after);
  return command;
}

}  // namespace

struct StatusFeed::State {
  State(asio::any_io_executor executor, RedisOptions options, std::string source_name,
        StatusObserver& status_observer, StatusFeedTiming how_often)
      : redis(executor, std::move(options)),
        timer(executor),
        source(std::move(source_name)),
        stream(keys::status_stream(source)),
        observer(status_observer),
        timing(how_often) {}

  asio::awaitable<void> run();
  asio::awaitable<Status> session();
  asio::awaitable<Status> compare();
  asio::awaitable<bool> ledger_rebuilt();
  void take(const Entry& entry);
  void all_may_have_changed();
  void move_to(const Entry& entry);

  Redis redis;
  asio::steady_timer timer;
  std::string source, stream;
  StatusObserver& observer;
  StatusFeedTiming timing;
  bool stopping = false;
  // Of the last entry seen.
  std::string id = kStreamStart, incarnation;
  std::uint64_t sequence = 0;
  std::string ledger;  // Its incarnation when it was last seen ready.
  std::optional<steady_clock::time_point> told_all;
};

void StatusFeed::State::all_may_have_changed() {
  told_all = steady_clock::now();
  observer.on_any_status_changed();
}

void StatusFeed::State::move_to(const Entry& entry) {
  id = entry.id.empty() ? kStreamStart : entry.id;
  incarnation = entry.incarnation;
  sequence = entry.sequence;
}

void StatusFeed::State::take(const Entry& entry) {
  const bool next = entry.incarnation == incarnation && entry.sequence == sequence + 1;
  move_to(entry);
  if (next && entry.key) {
    observer.on_status_changed(*entry.key);
  } else {
    all_may_have_changed();
  }
}

// A ledger that cannot be read (a foreign key in its place) is none.
asio::awaitable<bool> StatusFeed::State::ledger_rebuilt() {
  const RedisCommand command{"HMGET", std::string(keys::kLedger), "incarnation", "ready"};
  auto reply = co_await redis.command(command);
  if (!reply) co_return false;
  const std::string& now = reply->at(0).text;
  if (reply->at(1).text != "1" || now == ledger) co_return false;
  ledger = now;
  co_return true;
}

// XREAD is silent about a stream that was trimmed, emptied or restored: its end tells.
asio::awaitable<Status> StatusFeed::State::compare() {
  auto reply = co_await redis.command(last_entry_command(stream));
  if (!reply) co_return Error{reply.error()};
  const Entry last = parse_entry(source, reply->at(0));
  const bool follows = last.incarnation == incarnation && last.sequence >= sequence &&
                       (last.sequence > sequence || last.id == id || last.id.empty());
  if (!follows) move_to(last);
  const bool rebuilt = co_await ledger_rebuilt();
  if (!follows || rebuilt || !told_all || steady_clock::now() - *told_all >= timing.reread)
    all_may_have_changed();
  co_return Ok{};
}

asio::awaitable<Status> StatusFeed::State::session() {
  if (Status s = co_await redis.connect(); !s) co_return s;
  while (!stopping) {
    if (Status s = co_await compare(); !s) co_return s;
    auto reply =
        co_await redis.blocking_command(read_command(stream, id, timing.block), timing.block);
    if (!reply) co_return Error{reply.error()};
    for (const RedisValue& entry : reply->at(0).at(1).elements) take(parse_entry(source, entry));
  }
  co_return Ok{};
}

asio::awaitable<void> StatusFeed::State::run() {
  std::string said;
  while (!stopping) {
    const Status ended = co_await session();
    redis.close();
    if (stopping) break;
    if (!ended && ended.error() != said) {
      said = ended.error();
      spdlog::warn("statuses of gateways cannot be followed source={} error=\"{}\"", source, said);
    }
    timer.expires_after(timing.retry);
    boost::system::error_code ignored;
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
}

StatusFeed::StatusFeed(asio::any_io_executor executor, RedisOptions options, std::string source,
                       StatusObserver& observer, StatusFeedTiming timing)
    : state_(std::make_unique<State>(std::move(executor), std::move(options), std::move(source),
                                     observer, timing)) {}

StatusFeed::~StatusFeed() = default;

asio::awaitable<void> StatusFeed::run() {
  return state_->run();
}

void StatusFeed::stop() {
  state_->stopping = true;
  state_->redis.close();
  state_->timer.cancel();
}

asio::awaitable<Result<std::map<IpAddress, v1::Address>>> read_addresses(
    Redis& redis, std::vector<IpAddress> addresses) {
  std::vector<std::string> names;
  for (const IpAddress& address : addresses) names.push_back(keys::address(address));
  const auto values = co_await fetch(redis, std::move(names));
  if (!values) co_return Error{values.error()};
  std::map<IpAddress, v1::Address> records;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    v1::Address record;
    if ((*values)[i].state == Fetched::State::kPresent &&
        record.ParseFromString((*values)[i].bytes) && record.address() == addresses[i].bytes())
      records[addresses[i]] = std::move(record);
  }
  co_return records;
}

}  // namespace sluice::store
