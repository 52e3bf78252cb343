#include "control/store/scripts.h"

#include <sys/random.h>

#include <array>
#include <cstdint>
#include <random>
#include <utility>

#include "control/store/endpoint.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kBatchCalls = 128;
constexpr std::size_t kBatchBytes = 8u << 20;

RedisCommand make_command(const Script& script, const ScriptCall& call, bool with_text) {
  RedisCommand command;
  command.reserve(3 + call.keys.size() + call.arguments.size());
  command.push_back(with_text ? "EVAL" : "EVALSHA");
  command.push_back(with_text ? script.text : script.sha1);
  command.push_back(std::to_string(call.keys.size()));
  command.insert(command.end(), call.keys.begin(), call.keys.end());
  command.insert(command.end(), call.arguments.begin(), call.arguments.end());
  return command;
}

std::size_t size_of(const ScriptCall& call) {
  std::size_t size = 0;
  for (const std::string& key : call.keys) size += key.size();
  for (const std::string& argument : call.arguments) size += argument.size();
  return size;
}

bool unknown_script(const RedisValue& value) {
  return value.is_error() && value.text.starts_with("NOSCRIPT");
}

// Calls [begin, end) of `calls`; those that Redis did not know the script for are sent again with
// it.
asio::awaitable<Status> run_batch(Redis& redis, const Script& script,
                                  const std::vector<ScriptCall>& calls, std::size_t begin,
                                  std::size_t end, std::vector<RedisValue>* values) {
  std::vector<RedisCommand> commands;
  for (std::size_t i = begin; i < end; ++i)
    commands.push_back(make_command(script, calls[i], false));
  auto replies = co_await redis.pipeline(std::move(commands));
  if (!replies) co_return Error{replies.error()};

  std::vector<std::size_t> again;
  std::vector<RedisCommand> full;
  for (std::size_t i = 0; i < replies->size(); ++i) {
    if (!unknown_script((*replies)[i])) continue;
    again.push_back(i);
    full.push_back(make_command(script, calls[begin + i], full.empty()));
  }
  if (!full.empty()) {
    auto second = co_await redis.pipeline(std::move(full));
    if (!second) co_return Error{second.error()};
    for (std::size_t i = 0; i < again.size(); ++i) (*replies)[again[i]] = std::move((*second)[i]);
  }
  for (RedisValue& value : *replies) values->push_back(std::move(value));
  co_return Ok{};
}

}  // namespace

asio::awaitable<Result<std::vector<RedisValue>>> run_script(Redis& redis, const Script& script,
                                                            std::vector<ScriptCall> calls) {
  std::vector<RedisValue> values;
  std::size_t begin = 0;
  while (begin < calls.size()) {
    std::size_t end = begin;
    std::size_t bytes = 0;
    while (end < calls.size() && end - begin < kBatchCalls &&
           (end == begin || bytes < kBatchBytes)) {
      bytes += size_of(calls[end++]);
    }
    const Status status = co_await run_batch(redis, script, calls, begin, end, &values);
    if (!status) co_return Error{status.error()};
    begin = end;
  }
  co_return values;
}

asio::awaitable<Result<RedisValue>> run_script_once(Redis& redis, const Script& script,
                                                    ScriptCall call) {
  std::vector<ScriptCall> calls;
  calls.push_back(std::move(call));
  auto values = co_await run_script(redis, script, std::move(calls));
  if (!values) co_return Error{values.error()};
  if (values->front().is_error()) {
    co_return Error{explain_error(std::string("script ") + script.name, values->front().text)};
  }
  co_return std::move(values->front());
}

std::string random_id() {
  std::array<std::uint8_t, 16> bytes{};
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    std::random_device device;
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(device());
  }
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : bytes) {
    text.push_back(kDigits[byte >> 4]);
    text.push_back(kDigits[byte & 15]);
  }
  return text;
}

}  // namespace sluice::store
