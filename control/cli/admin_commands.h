// `sluice check`, `source` and `export`.
#pragma once

#include <string>

#include "control/cli/context.h"

namespace sluice {

// Reads gateway.yaml (`file`, else the one of --config) and says what is wrong with it.
int check_config_command(const std::string& file);

int source_list_command(Context& context);
int source_accept_command(Context& context, const std::string& source);

// Objects of source manual as manifests, from Redis or from this gateway's copy on disk.
int export_command(Context& context, bool from_disk);

}  // namespace sluice
