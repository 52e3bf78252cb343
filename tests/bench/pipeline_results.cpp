#include "pipeline_results.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

namespace sluice::bench {
namespace {

std::string json(const Spread& s) {
  return fmt::format(R"({{"min": {:.2f}, "median": {:.2f}, "max": {:.2f}}})", s.min, s.median,
                     s.max);
}

std::string json(const Measured& one) {
  const auto spread_of = [&](double Sample::*field) {
    return one.of([field](const Sample& s) { return s.*field; });
  };
  std::string text = fmt::format(
      R"(  {{"name": "{}", "cycles": {}, "reference": {}, "ratio": {}, "bytes_per_flow": {:.1f}, )"
      R"("hits": {:.6f}, "new": {:.6f})",
      one.name, json(spread_of(&Sample::cycles)), json(spread_of(&Sample::reference)),
      json(one.of([](const Sample& s) { return s.ratio(); })), one.bytes_per_flow,
      spread_of(&Sample::hits).min, spread_of(&Sample::fresh).min);
  if (one.flood) {
    text += fmt::format(R"(, "syn": {}, "established": {}, "over_parts": {}, "lost": {:.0f})",
                        json(spread_of(&Sample::syn)), json(spread_of(&Sample::established)),
                        json(one.of([](const Sample& s) { return s.over_parts(); })),
                        one.of([](const Sample& s) { return static_cast<double>(s.lost); }).max);
  }
  return text + "}";
}

}  // namespace

Spread spread(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

std::string table_heading() {
  return fmt::format("{:<36} {:>24} {:>9} {:>23} {:>8} {:>6} {:>6}\n", "cycles per packet",
                     "min / median / max", "reference", "ratio", "B/flow", "hits", "new");
}

std::string table_line(const Measured& one) {
  const Spread cycles = one.of([](const Sample& s) { return s.cycles; });
  const Spread ratio = one.of([](const Sample& s) { return s.ratio(); });
  const Spread reference = one.of([](const Sample& s) { return s.reference; });
  const double hits = one.of([](const Sample& s) { return s.hits; }).min;
  const double fresh = one.of([](const Sample& s) { return s.fresh; }).min;
  std::string line = fmt::format(
      "{:<36} {:>8.1f}{:>8.1f}{:>8.1f} {:>9.1f} {:>7.2f}{:>8.2f}{:>8.2f} {:>8.1f} {:>6.4f} "
      "{:>6.4f}\n",
      one.name, cycles.min, cycles.median, cycles.max, reference.median, ratio.min, ratio.median,
      ratio.max, one.bytes_per_flow, hits, fresh);
  if (one.flood) {
    line += fmt::format(
        "{:>36} SYN alone {:.1f}, established alone {:.1f}, mix by parts {:.3f}, lost {}\n", "",
        one.of([](const Sample& s) { return s.syn; }).median,
        one.of([](const Sample& s) { return s.established; }).median,
        one.of([](const Sample& s) { return s.over_parts(); }).median,
        one.of([](const Sample& s) { return static_cast<double>(s.lost); }).max);
  }
  return line;
}

std::string to_markdown(const std::vector<Measured>& all) {
  std::string text =
      "| benchmark | cycles: min | median | max | reference | ratio: min | median | max | bytes a "
      "flow | hits |\n|---|---|---|---|---|---|---|---|---|---|\n";
  for (const Measured& one : all) {
    const Spread cycles = one.of([](const Sample& s) { return s.cycles; });
    const Spread ratio = one.of([](const Sample& s) { return s.ratio(); });
    text += fmt::format(
        "| {} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {:.2f} | {:.2f} | {:.2f} | {:.1f} | {:.4f} |\n",
        one.name, cycles.min, cycles.median, cycles.max,
        one.of([](const Sample& s) { return s.reference; }).median, ratio.min, ratio.median,
        ratio.max, one.bytes_per_flow, one.of([](const Sample& s) { return s.hits; }).min);
  }
  return text;
}

std::string to_json(const std::vector<Measured>& all) {
  std::string text = "[\n";
  for (const Measured& one : all) text += json(one) + (&one == &all.back() ? "\n" : ",\n");
  return text + "]\n";
}

Status write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (!file) return Error{path + " cannot be written: " + std::strerror(errno)};
  return Ok{};
}

}  // namespace sluice::bench
