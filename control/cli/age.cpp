#include "control/cli/age.h"

#include <cstdio>
#include <ctime>

namespace sluice {

using namespace std::chrono;

namespace {

// "3m" or "3m12s": the smaller unit is left out when it is zero.
std::string two_units(std::int64_t large, char large_unit, std::int64_t small, char small_unit) {
  std::string text = std::to_string(large) + large_unit;
  if (small != 0) text += std::to_string(small) + small_unit;
  return text;
}

// A decimal number of exactly `digits` digits at `at`, which is moved past it.
std::optional<int> number(std::string_view text, std::size_t& at, std::size_t digits) {
  int value = 0;
  for (std::size_t i = 0; i < digits; ++i, ++at) {
    if (at >= text.size() || text[at] < '0' || text[at] > '9') return std::nullopt;
    value = value * 10 + (text[at] - '0');
  }
  return value;
}

bool expect(std::string_view text, std::size_t& at, char c) {
  if (at >= text.size() || text[at] != c) return false;
  ++at;
  return true;
}

// "Z", "+01:00" or "-05:30" up to the end.
std::optional<seconds> parse_offset(std::string_view text, std::size_t at) {
  if (text.substr(at) == "Z" || text.substr(at) == "z") return seconds(0);
  if (at >= text.size() || (text[at] != '+' && text[at] != '-')) return std::nullopt;
  const int sign = text[at++] == '-' ? -1 : 1;
  const auto h = number(text, at, 2);
  if (!h || !expect(text, at, ':')) return std::nullopt;
  const auto m = number(text, at, 2);
  if (!m || at != text.size() || *h > 23 || *m > 59) return std::nullopt;
  return sign * (hours(*h) + minutes(*m));
}

}  // namespace

std::string age_text(seconds age) {
  const std::int64_t s = age.count();
  if (s < -1) return "<invalid>";
  if (s < 0) return "0s";
  if (s < 120) return std::to_string(s) + "s";
  const std::int64_t m = s / 60, h = s / 3600, d = h / 24;
  if (m < 10) return two_units(m, 'm', s % 60, 's');
  if (m < 180) return std::to_string(m) + "m";
  if (h < 8) return two_units(h, 'h', m % 60, 'm');
  if (h < 48) return std::to_string(h) + "h";
  if (d < 8) return two_units(d, 'd', h % 24, 'h');
  if (d < 2 * 365) return std::to_string(d) + "d";
  if (d < 8 * 365) return two_units(d / 365, 'y', d % 365, 'd');
  return std::to_string(d / 365) + "y";
}

std::optional<SystemTime> parse_rfc3339(std::string_view text) {
  std::size_t at = 0;
  const auto year = number(text, at, 4);
  if (!year || !expect(text, at, '-')) return std::nullopt;
  const auto month = number(text, at, 2);
  if (!month || !expect(text, at, '-')) return std::nullopt;
  const auto day = number(text, at, 2);
  if (!day || !(expect(text, at, 'T') || expect(text, at, 't'))) return std::nullopt;
  const auto hour = number(text, at, 2);
  if (!hour || !expect(text, at, ':')) return std::nullopt;
  const auto minute = number(text, at, 2);
  if (!minute || !expect(text, at, ':')) return std::nullopt;
  const auto second = number(text, at, 2);
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  if (expect(text, at, '.'))
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
  const auto offset = parse_offset(text, at);
  const year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                            std::chrono::day(*day)};
  if (!offset || !date.ok()) return std::nullopt;
  return sys_days(date) + hours(*hour) + minutes(*minute) + seconds(*second) - *offset;
}

std::string rfc3339_text(SystemTime time) {
  const std::time_t seconds = system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, size};
}

std::string age_since(std::string_view rfc3339, SystemTime now) {
  const auto time = parse_rfc3339(rfc3339);
  return time ? age_text(duration_cast<seconds>(now - *time)) : "<unknown>";
}

std::string age_since_unix_ms(std::int64_t unix_ms, SystemTime now) {
  if (unix_ms <= 0) return "<unknown>";
  return age_text(duration_cast<seconds>(now - SystemTime(milliseconds(unix_ms))));
}

}  // namespace sluice
