#include "control/store/sentinel.h"

#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"

namespace sluice::store {

namespace asio = boost::asio;

Result<SentinelMaster> parse_sentinel_master(const RedisValue& reply) {
  std::string host, port;
  SentinelMaster master;
  for (std::size_t i = 0; i + 1 < reply.elements.size(); i += 2) {
    const std::string& field = reply.elements[i].text;
    const std::string& value = reply.elements[i + 1].text;
    if (field == "ip") host = value;
    if (field == "port") port = value;
    if (field == "config-epoch") master.epoch = keys::parse_number(value).value_or(0);
  }
  const bool v6 = host.find(':') != std::string::npos;
  master.address = (v6 ? "[" + host + "]" : host) + ":" + port;
  if (!parse_endpoint(master.address)) {
    return Error{"answers \"" + master.address + "\" for the master's address"};
  }
  return master;
}

asio::awaitable<Result<SentinelMaster>> ask_sentinel(asio::any_io_executor executor,
                                                     RedisOptions options, std::string sentinel) {
  RedisOptions own;
  own.address = std::move(sentinel);
  own.username = options.sentinel.username;
  own.password_file = options.sentinel.password_file;
  own.tls = options.tls;
  own.timeout = options.timeout;
  own.any_role = true;
  Redis redis(std::move(executor), std::move(own));
  const Status connected = co_await redis.connect();
  if (!connected) co_return Error{connected.error()};
  RedisCommand command;
  command.push_back("SENTINEL");
  command.push_back("master");
  command.push_back(options.sentinel.master);
  auto reply = co_await redis.command(std::move(command));
  if (!reply) {
    co_return Error{"Sentinel at " + redis.options().address + ": " + reply.error() +
                    "; is redis.sentinel.master right?"};
  }
  Result<SentinelMaster> master = parse_sentinel_master(*reply);
  if (!master) co_return Error{"Sentinel at " + redis.options().address + " " + master.error()};
  co_return master;
}

}  // namespace sluice::store
