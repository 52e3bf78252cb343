#include "control/store/status.h"

#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/objects.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kBatch = 512;

Status first_error(const std::vector<RedisCommand>& commands,
                   const std::vector<RedisValue>& replies) {
  for (std::size_t i = 0; i < replies.size(); ++i) {
    if (replies[i].is_error()) return Error{explain_error(commands[i].front(), replies[i].text)};
  }
  return Ok{};
}

// All commands, in bounded pipelines; the first error reply is the result.
asio::awaitable<Status> run_all(Redis& redis, std::vector<RedisCommand> commands) {
  for (std::size_t begin = 0; begin < commands.size(); begin += kBatch) {
    std::vector<RedisCommand> some;
    for (std::size_t i = begin; i < commands.size() && i < begin + kBatch; ++i) {
      some.push_back(std::move(commands[i]));
    }
    auto replies = co_await redis.pipeline(some);
    if (!replies) co_return Error{replies.error()};
    const Status status = first_error(some, *replies);
    if (!status) co_return status;
  }
  co_return Ok{};
}

}  // namespace

asio::awaitable<Status> write_presence(Redis& redis, v1::GatewayPresence presence,
                                       std::chrono::milliseconds ttl) {
  if (!keys::valid_name(presence.name())) {
    co_return Error{"gateway.name \"" + presence.name() +
                    "\": expected 1 to 253 letters, digits, '.', '-' or '_'"};
  }
  presence.mutable_header()->set_major(kMajor);
  presence.mutable_header()->set_minor(kMinor);
  std::vector<RedisCommand> commands(2);
  commands[0].push_back("SADD");
  commands[0].push_back(std::string(keys::kGateways));
  commands[0].push_back(presence.name());
  commands[1].push_back("SET");
  commands[1].push_back(keys::gateway(presence.name()));
  commands[1].push_back(encode(presence));
  commands[1].push_back("PX");
  commands[1].push_back(std::to_string(ttl.count()));
  co_return co_await run_all(redis, std::move(commands));
}

asio::awaitable<Result<std::vector<Gateway>>> list_gateways(Redis& redis) {
  auto names = co_await list_set(redis, std::string(keys::kGateways), keys::valid_name);
  if (!names) co_return Error{names.error()};
  std::vector<std::string> all;
  for (const std::string& name : *names) all.push_back(keys::gateway(name));
  auto values = co_await fetch(redis, all);
  if (!values) co_return Error{values.error()};
  std::vector<Gateway> gateways(names->size());
  for (std::size_t i = 0; i < gateways.size(); ++i) {
    const Fetched& value = (*values)[i];
    gateways[i].alive = value.state == Fetched::State::kPresent &&
                        gateways[i].presence.ParseFromString(value.bytes) &&
                        gateways[i].presence.header().major() == kMajor;
    if (!gateways[i].alive) gateways[i].presence.Clear();
    gateways[i].name = (*names)[i];
  }
  co_return gateways;
}

asio::awaitable<Result<std::map<StatusKey, v1::ServiceStatus>>> read_statuses(
    Redis& redis, std::string gateway, std::vector<StatusKey> services) {
  std::vector<std::string> names;
  for (const StatusKey& key : services) {
    names.push_back(keys::status(gateway, key.source, key.ns, key.name));
  }
  auto values = co_await fetch(redis, names);
  if (!values) co_return Error{values.error()};
  std::map<StatusKey, v1::ServiceStatus> statuses;
  for (std::size_t i = 0; i < services.size(); ++i) {
    v1::ServiceStatus status;
    if ((*values)[i].state != Fetched::State::kPresent) continue;
    if (!status.ParseFromString((*values)[i].bytes) || status.header().major() != kMajor) continue;
    statuses[services[i]] = std::move(status);
  }
  co_return statuses;
}

StatusWriter::StatusWriter(Redis& redis, std::string gateway)
    : redis_(redis), gateway_(std::move(gateway)) {}

asio::awaitable<Status> StatusWriter::recall(std::vector<StatusKey> services) {
  std::vector<std::string> names;
  for (const StatusKey& key : services)
    names.push_back(keys::status(gateway_, key.source, key.ns, key.name));
  auto values = co_await fetch(redis_, names);
  if (!values) co_return Error{values.error()};
  for (std::size_t i = 0; i < services.size(); ++i) {
    Fetched& value = (*values)[i];
    if (value.state != Fetched::State::kPresent) continue;
    written_[services[i]] = {std::move(value.bytes), true};
  }
  co_return Ok{};
}

asio::awaitable<Status> StatusWriter::update(std::vector<v1::ServiceStatus> statuses,
                                             std::vector<StatusKey> gone) {
  std::map<StatusKey, std::string> changed;
  std::vector<RedisCommand> commands;
  for (v1::ServiceStatus& status : statuses) {
    status.mutable_header()->set_major(kMajor);
    status.mutable_header()->set_minor(kMinor);
    status.set_gateway(gateway_);
    StatusKey key{status.source(), status.namespace_(), status.name()};
    std::string bytes = encode(status);
    const auto written = written_.find(key);
    if (written != written_.end() && written->second.sure && written->second.bytes == bytes)
      continue;
    RedisCommand& command = commands.emplace_back();
    command.push_back("SET");
    command.push_back(keys::status(gateway_, key.source, key.ns, key.name));
    command.push_back(bytes);
    changed[std::move(key)] = std::move(bytes);
  }
  for (const StatusKey& key : gone) {
    if (!written_.contains(key)) continue;
    RedisCommand& command = commands.emplace_back();
    command.push_back("DEL");
    command.push_back(keys::status(gateway_, key.source, key.ns, key.name));
  }
  const Status status = co_await run_all(redis_, std::move(commands));
  if (!status) co_return status;
  for (auto& [key, bytes] : changed) written_[key] = {std::move(bytes), true};
  for (const StatusKey& key : gone) written_.erase(key);
  co_return Ok{};
}

void StatusWriter::forget() {
  for (auto& [key, written] : written_) written.sure = false;
}

std::optional<v1::ServiceStatus> StatusWriter::last(const StatusKey& service) const {
  const auto at = written_.find(service);
  v1::ServiceStatus status;
  if (at == written_.end() || !status.ParseFromString(at->second.bytes) ||
      status.header().major() != kMajor)
    return std::nullopt;
  return status;
}

std::vector<StatusKey> StatusWriter::services() const {
  std::vector<StatusKey> services;
  for (const auto& [key, written] : written_) services.push_back(key);
  return services;
}

}  // namespace sluice::store
