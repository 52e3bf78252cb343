// Ages as kubectl shows them ("45s", "3m12s", "5h", "12d"), and RFC 3339 instants.
// Thread: any, pure. Units: whole seconds.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

using SystemTime = std::chrono::system_clock::time_point;

// More than a second in the future: "<invalid>".
std::string age_text(std::chrono::seconds age);
// "2026-01-02T03:04:05Z", with an optional fraction (cut) and any offset; else nothing.
std::optional<SystemTime> parse_rfc3339(std::string_view text);
std::string rfc3339_text(SystemTime time);
// Age of an RFC 3339 instant; "<unknown>" where it is absent or unreadable.
std::string age_since(std::string_view rfc3339, SystemTime now);
std::string age_since_unix_ms(std::int64_t unix_ms, SystemTime now);

}  // namespace sluice
