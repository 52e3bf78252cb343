// What gateway.yaml and agent.yaml share: a file laid over the defaults that are compiled in.
// Thread: any. Errors: one line for every mistake, with file, line and field.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/yaml_message.h"
#include "proto/result.h"

namespace sluice {

struct ConfigDefaults {
  const char* text;
  const char* name;  // For messages.
};

// The text of the file; nothing for an empty path, or for the default file where it does not exist.
Result<std::optional<std::string>> read_config_file(const std::string& path,
                                                    const char* default_path);
// The defaults with the text's values (if there is one) over them; lists replace lists. Mistakes in
// fields are added to the report; a text that is not YAML is an Error.
Status read_config_over(const ConfigDefaults& defaults, const std::string* text,
                        const std::string& file, google::protobuf::Message* config,
                        YamlReport* report);
// All errors of the report, one a line.
std::string config_errors(const YamlReport& report);

// Paths of the fields that differ, for instance "dataplane.workers"; a changed list is one path.
std::vector<std::string> changed_fields(const google::protobuf::Message& before,
                                        const google::protobuf::Message& after);

}  // namespace sluice
