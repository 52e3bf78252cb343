// agent.yaml: read, laid over the defaults, checked. Contract of the fields: AgentConfig in
// proto/config.proto. Thread: any. Errors: as of gateway_config.h.
#pragma once

#include <string>

#include "config.pb.h"
#include "config/config_file.h"
#include "proto/result.h"

namespace sluice {

inline constexpr const char* kDefaultAgentConfigFile = "/etc/sluice/agent.yaml";

// What the command line says over the file; empty: the file's.
struct AgentOverrides {
  std::string cluster{};
  std::string kubeconfig{};
  std::string redis{};
  std::string listen{};
};

// The defaults (config/agent.yaml, compiled in) with the file's values over them, and the command
// line's over those. An empty path, or the default file where it does not exist: without a file.
Result<v1::AgentConfig> load_agent_config(const std::string& path,
                                          const AgentOverrides& overrides = {});
// The same from text; `file` is for messages.
Result<v1::AgentConfig> parse_agent_config(const std::string& text, const std::string& file,
                                           const AgentOverrides& overrides = {});
// The defaults as text, with their comments.
const char* default_agent_yaml();

}  // namespace sluice
