#include "control/store/replication.h"

#include "control/store/endpoint.h"

namespace sluice::store {

std::string info_field(const std::string& info, const std::string& field) {
  // Each line is "field:value\r\n", and none before the first begins with the field's name.
  const std::string start = "\n" + field + ":";
  std::size_t at = info.find(start);
  if (at == std::string::npos) return {};
  at += start.size();
  return info.substr(at, info.find_first_of("\r\n", at) - at);
}

RedisCommand replication_command() {
  RedisCommand command;
  command.push_back("INFO");
  command.push_back("replication");
  return command;
}

Result<Replication> parse_replication(const RedisValue& reply) {
  if (reply.is_error()) return Error{explain_error("INFO", reply.text)};
  Replication replication;
  replication.master = info_field(reply.text, "role") == "master";
  replication.id = info_field(reply.text, "master_replid");
  if (replication.id.empty()) return Error{"Redis' INFO replication lacks master_replid"};
  return replication;
}

boost::asio::awaitable<Result<Replication>> read_replication(Redis& redis) {
  auto reply = co_await redis.command(replication_command());
  if (!reply) co_return Error{reply.error()};
  co_return parse_replication(*reply);
}

}  // namespace sluice::store
