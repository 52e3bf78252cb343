#include "control/store/stream.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "control/store/keys.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

StreamEntry::Op parse_op(const std::string& op) {
  if (op == "put") return StreamEntry::Op::kPut;
  if (op == "delete") return StreamEntry::Op::kDelete;
  if (op == "marker") return StreamEntry::Op::kMarker;
  if (op == "renew") return StreamEntry::Op::kRenew;
  return StreamEntry::Op::kOther;
}

// "ARRIVED SENT", microseconds since 1970; nullopt where it is anything else.
std::optional<ChangeTimes> parse_times(const std::string& text) {
  constexpr std::size_t kMaxDigits = 17;  // Up to the year 5138; differences fit.
  const std::size_t space = text.find(' ');
  if (space > kMaxDigits || text.size() - space - 1 > kMaxDigits) return std::nullopt;
  const auto arrived = keys::parse_number(std::string_view(text).substr(0, space));
  const auto sent = keys::parse_number(std::string_view(text).substr(space + 1));
  if (!arrived || !sent) return std::nullopt;
  const auto time = [](std::uint64_t microseconds) {
    return ChangeTimes::Time(std::chrono::microseconds(static_cast<std::int64_t>(microseconds)));
  };
  return ChangeTimes{time(*arrived), time(*sent)};
}

StreamEntry parse_entry(const RedisValue& value) {
  StreamEntry entry;
  entry.id = value.at(0).text;
  std::string source, kind, key, sequence;
  const std::vector<RedisValue>& fields = value.at(1).elements;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    const std::string& name = fields[i].text;
    const std::string& text = fields[i + 1].text;
    if (name == "source") source = text;
    if (name == "kind") kind = text;
    if (name == "key") key = text;
    if (name == "op") entry.op = parse_op(text);
    if (name == "sequence") sequence = text;
    if (name == "incarnation") entry.incarnation = text;
    if (name == "times") entry.times = parse_times(text);
  }
  const std::optional<std::uint64_t> number = keys::parse_number(sequence);
  const bool ours = source == keys::kLedgerSource || keys::valid_source(source);
  if (!ours || !number || entry.incarnation.empty()) return entry;
  if (entry.op == StreamEntry::Op::kPut || entry.op == StreamEntry::Op::kDelete) {
    entry.key = keys::parse_object(source, kind, key);
  }
  entry.source = std::move(source);
  entry.sequence = *number;
  return entry;
}

std::pair<std::uint64_t, std::uint64_t> parse_id(const std::string& id) {
  const std::size_t dash = id.find('-');
  if (dash == std::string::npos) return {0, 0};
  return {keys::parse_number(id.substr(0, dash)).value_or(0),
          keys::parse_number(id.substr(dash + 1)).value_or(0)};
}

}  // namespace

std::vector<StreamEntry> parse_entries(const RedisValue& reply) {
  std::vector<StreamEntry> entries;
  entries.reserve(reply.elements.size());
  for (const RedisValue& element : reply.elements) entries.push_back(parse_entry(element));
  return entries;
}

RedisCommand range_command(const std::string& after, const std::string& to) {
  RedisCommand command;
  command.push_back("XRANGE");
  command.push_back(std::string(keys::kStream));
  command.push_back("(" + after);
  command.push_back(to);
  command.push_back("COUNT");
  command.push_back(std::to_string(kStreamBatch));
  return command;
}

asio::awaitable<Result<std::vector<StreamEntry>>> read_range(Redis& redis, std::string after,
                                                             std::string to, std::size_t limit) {
  std::vector<StreamEntry> all;
  while (all.size() < limit) {
    auto reply = co_await redis.command(range_command(after, to));
    if (!reply) co_return Error{reply.error()};
    std::vector<StreamEntry> some = parse_entries(*reply);
    const bool last = some.size() < kStreamBatch;
    if (!some.empty()) after = some.back().id;
    std::ranges::move(some, std::back_inserter(all));
    if (last) break;
  }
  co_return all;
}

asio::awaitable<Result<std::vector<StreamEntry>>> read_new(Redis& redis, std::string after,
                                                           std::chrono::milliseconds wait) {
  RedisCommand command;
  command.push_back("XREAD");
  command.push_back("COUNT");
  command.push_back(std::to_string(kStreamBatch));
  command.push_back("BLOCK");
  command.push_back(std::to_string(wait.count()));
  command.push_back("STREAMS");
  command.push_back(std::string(keys::kStream));
  command.push_back(std::move(after));
  auto reply = co_await redis.blocking_command(std::move(command), wait);
  if (!reply) co_return Error{reply.error()};
  co_return parse_entries(reply->at(0).at(1));
}

asio::awaitable<Result<std::string>> last_entry(Redis& redis) {
  RedisCommand command;
  command.push_back("XREVRANGE");
  command.push_back(std::string(keys::kStream));
  command.push_back("+");
  command.push_back("-");
  command.push_back("COUNT");
  command.push_back("1");
  auto reply = co_await redis.command(std::move(command));
  if (!reply) co_return Error{reply.error()};
  if (reply->elements.empty()) co_return std::string(kStreamStart);
  co_return reply->at(0).at(0).text;
}

int compare_ids(const std::string& a, const std::string& b) {
  const auto x = parse_id(a);
  const auto y = parse_id(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

}  // namespace sluice::store
