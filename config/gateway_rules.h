// The rules of gateway.yaml: ranges, words, addresses, and what must fit together.
// Thread: any, pure. Errors: added to the report, with the place each value was read from.
#pragma once

#include <optional>
#include <string>

#include "config.pb.h"
#include "config/yaml_message.h"

namespace sluice {

void check_gateway_config(const v1::GatewayConfig& config, YamlReport* report);

// The `redis` part, as agent.yaml has it too.
void check_redis_config(const v1::Redis& redis, YamlReport* report);

// Where a program offers health and metrics: ADDRESS:PORT, [IPv6]:PORT, or nothing. Port 0: the
// system chooses one, and the log says which.
void check_listen(const std::string& path, const std::string& listen, YamlReport* report);

// "HOST:PORT" and "[IPv6]:PORT".
struct HostPort {
  std::string host;
  unsigned port = 0;
};
std::optional<HostPort> parse_host_port(const std::string& text);

}  // namespace sluice
