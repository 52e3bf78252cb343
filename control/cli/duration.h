// Durations as kubectl's flags take them: "30s", "1m30s", "500ms", "2h", "0". Thread: any, pure.
// Bounds: at most 168 hours. Errors: say what is right. Source: Go's time.ParseDuration.
#pragma once

#include <chrono>
#include <string_view>

#include "proto/result.h"

namespace sluice {

Result<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace sluice
