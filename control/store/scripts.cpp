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

// Appends call i; how many bytes its words have.
std::size_t add_call(const Script& script, const FillWords& fill, std::size_t i, bool with_text,
                     CommandBatch* batch) {
  ScriptWords call;
  fill(i, &call);
  const std::string keys = std::to_string(call.keys.size());
  std::vector<std::string_view> words;
  words.reserve(3 + call.keys.size() + call.arguments.size());
  words.push_back(with_text ? "EVAL" : "EVALSHA");
  words.push_back(with_text ? script.text : script.sha1);
  words.push_back(keys);
  words.insert(words.end(), call.keys.begin(), call.keys.end());
  words.insert(words.end(), call.arguments.begin(), call.arguments.end());
  std::size_t size = 0;
  for (const std::string_view word : words) size += word.size();
  batch->add(words);
  return size;
}

bool unknown_script(const RedisValue& value) {
  return value.is_error() && value.text.starts_with("NOSCRIPT");
}

// Sends what is in `batch`, calls from `begin` on; those that Redis did not know the script for are
// sent again with it.
asio::awaitable<Status> run_batch(Redis& redis, const Script& script, const FillWords& fill,
                                  std::size_t begin, CommandBatch batch,
                                  std::vector<RedisValue>* values) {
  Redis::OnReply keep = [values](RedisValue value) { values->push_back(std::move(value)); };
  const Status first = co_await redis.pipeline(std::move(batch), std::move(keep));
  if (!first) co_return Error{first.error()};

  std::vector<std::size_t> again;
  CommandBatch full;
  for (std::size_t i = begin; i < values->size(); ++i) {
    if (!unknown_script((*values)[i])) continue;
    again.push_back(i);
    add_call(script, fill, i, again.size() == 1, &full);
  }
  if (again.empty()) co_return Ok{};
  auto next = again.begin();
  Redis::OnReply replace = [values, &next](RedisValue value) {
    (*values)[*next++] = std::move(value);
  };
  const Status second = co_await redis.pipeline(std::move(full), std::move(replace));
  if (!second) co_return Error{second.error()};
  co_return Ok{};
}

}  // namespace

asio::awaitable<Result<std::vector<RedisValue>>> run_script(Redis& redis, const Script& script,
                                                            std::size_t calls, FillWords fill) {
  std::vector<RedisValue> values;
  values.reserve(calls);
  while (values.size() < calls) {
    const std::size_t begin = values.size();
    CommandBatch batch;
    std::size_t bytes = 0;
    while (begin + batch.size() < calls && batch.size() < kBatchCalls && bytes < kBatchBytes) {
      bytes += add_call(script, fill, begin + batch.size(), false, &batch);
    }
    const Status status = co_await run_batch(redis, script, fill, begin, std::move(batch), &values);
    if (!status) co_return Error{status.error()};
  }
  co_return values;
}

asio::awaitable<Result<std::vector<RedisValue>>> run_script(Redis& redis, const Script& script,
                                                            std::vector<ScriptCall> calls) {
  FillWords fill = [&calls](std::size_t i, ScriptWords* words) {
    words->keys.assign(calls[i].keys.begin(), calls[i].keys.end());
    words->arguments.assign(calls[i].arguments.begin(), calls[i].arguments.end());
  };
  co_return co_await run_script(redis, script, calls.size(), std::move(fill));
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
