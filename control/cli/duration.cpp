#include "control/cli/duration.h"

#include <algorithm>
#include <charconv>
#include <string>

namespace sluice {
namespace {

constexpr double kMostMs = 168.0 * 3600 * 1000;

double unit_ms(std::string_view unit) {
  if (unit == "ms") return 1;
  if (unit == "s") return 1000;
  if (unit == "m") return 60'000;
  if (unit == "h") return 3'600'000;
  return 0;
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  const Error wrong{"\"" + std::string(text) +
                    "\" is not a duration from 0 to 168h, such as 30s, 1m30s or 500ms"};
  if (text == "0") return std::chrono::milliseconds(0);
  double total = 0;
  if (text.empty()) return wrong;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !(number >= 0)) return wrong;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const auto unit_end = std::min(text.find_first_of("0123456789."), text.size());
    const double unit = unit_ms(text.substr(0, unit_end));
    if (unit == 0) return wrong;
    total += number * unit;
    if (!(total <= kMostMs)) return wrong;
    text.remove_prefix(unit_end);
  }
  return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

}  // namespace sluice
