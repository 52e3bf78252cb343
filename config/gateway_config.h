// gateway.yaml: read, laid over the defaults, checked. Contract of the fields: proto/config.proto.
// Thread: any. Errors: one line for every mistake, "FILE:LINE:COLUMN: FIELD: VALUE is ...", which
// says what would be right; a configuration with a mistake is never returned.
#pragma once

#include <string>
#include <vector>

#include "config.pb.h"
#include "config/config_file.h"
#include "proto/result.h"

namespace sluice {

inline constexpr const char* kDefaultConfigFile = "/etc/sluice/gateway.yaml";

// The defaults (config/gateway.yaml, compiled in) with the file's values over them; lists replace
// lists. An empty path, or the default file where it does not exist: the defaults alone.
Result<v1::GatewayConfig> load_gateway_config(const std::string& path);
// The same from text; `file` is for messages.
Result<v1::GatewayConfig> parse_gateway_config(const std::string& text, const std::string& file);
// The defaults as text, with their comments.
const char* default_gateway_yaml();

// What sluice-dataplane needs beyond that: at least one port.
Status check_for_dataplane(const v1::GatewayConfig& config);

}  // namespace sluice
