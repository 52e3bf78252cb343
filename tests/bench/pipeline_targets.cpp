#include "pipeline_targets.h"

#include <spdlog/fmt/fmt.h>

#include <optional>
#include <regex>

namespace sluice::bench {
namespace {

enum class Kind {
  ratio,   // To the reference.
  growth,  // Cycles with 10M flows by those with 1k.
  family,  // Cycles of IPv6 by those of IPv4.
  mix,     // Cycles of the flood by those of its parts.
  lost,    // Established flows lost, and packets of them that did not find theirs.
  bytes,   // Memory per flow.
};

struct Target {
  const char *what, *names;
  Kind kind;
  double bound, aim;
};

#define DIRECT "pipeline/(dsr-mac|ipip|gue)"
constexpr Target kTargets[] = {
    {"direct return, IPv4", DIRECT "/ipv4/hit/1k", Kind::ratio, 3.0, 2.5},
    {"direct return, IPv4", DIRECT "/ipv4/hit/10M", Kind::ratio, 5.0, 4.0},
    {"growth from 1k flows", DIRECT "/ipv4/hit/10M", Kind::growth, 2.0, 1.5},
    {"IPv6 by IPv4", DIRECT "/ipv6/hit/(1k|10M)", Kind::family, 1.5, 1.3},
    {"new direct-return flow", DIRECT "/ipv4/new/1M", Kind::ratio, 8.0, 6.0},
    {"full NAT, each way", "pipeline/nat/ipv4/(hit|reply)/1M", Kind::ratio, 6.0, 5.0},
    {"new full-NAT flow", "pipeline/nat/ipv4/new/1M", Kind::ratio, 20.0, 12.0},
    {"flood: mix by its parts", "pipeline/.*/flood/.*", Kind::mix, 1.15, 0},
    {"flood: established lost", "pipeline/.*/flood/.*", Kind::lost, 0, 0},
    {"bytes per flow, IPv4", DIRECT "/ipv4/hit/.*M", Kind::bytes, 24, 0},
    {"bytes per flow, IPv6", DIRECT "/ipv6/hit/.*M", Kind::bytes, 48, 0},
};
#undef DIRECT

double cycles(const Measured& one) {
  return one.of([](const Sample& s) { return s.cycles; }).median;
}

// That of the benchmark whose name has `to` in the place of `from`.
std::optional<double> cycles_of_other(const std::vector<Measured>& all, std::string name,
                                      const std::string& from, const std::string& to) {
  name.replace(name.find(from), from.size(), to);
  for (const Measured& other : all) {
    if (other.name == name) return cycles(other);
  }
  return std::nullopt;
}

std::optional<double> value_of(Kind kind, const Measured& one, const std::vector<Measured>& all) {
  const auto by = [&](const char* from, const char* to) -> std::optional<double> {
    const auto other = cycles_of_other(all, one.name, from, to);
    if (!other) return std::nullopt;
    return cycles(one) / *other;
  };
  switch (kind) {
    case Kind::ratio:
      return one.of([](const Sample& s) { return s.ratio(); }).median;
    case Kind::growth:
      return by("/10M", "/1k");
    case Kind::family:
      return by("/ipv6/", "/ipv4/");
    case Kind::mix:
      return one.of([](const Sample& s) { return s.over_parts(); }).median;
    case Kind::lost:
      return one.of([](const Sample& s) { return static_cast<double>(s.lost) + 1 - s.hits; }).max;
    case Kind::bytes:
      return one.bytes_per_flow;
  }
  return std::nullopt;
}

}  // namespace

std::vector<Compared> compare_with_targets(const std::vector<Measured>& all) {
  std::vector<Compared> compared;
  for (const Target& target : kTargets) {
    const std::regex names(target.names);
    for (const Measured& one : all) {
      if (!std::regex_match(one.name, names)) continue;
      if (const auto value = value_of(target.kind, one, all))
        compared.push_back({target.what, one.name, *value, target.bound, target.aim});
    }
  }
  return compared;
}

std::string to_text(const std::vector<Compared>& compared) {
  std::string text = fmt::format("{:<26} {:<36} {:>9} {:>8} {:>6}\n", "target", "measured by",
                                 "measured", "at most", "aim");
  for (const Compared& one : compared) {
    text += fmt::format("{:<26} {:<36} {:>9.2f} {:>8.2f} {:>6} {}\n", one.what, one.name, one.value,
                        one.bound, one.aim == 0 ? "" : fmt::format("{:.2f}", one.aim),
                        one.met() ? "PASS" : "over");
  }
  return text;
}

}  // namespace sluice::bench
