#include "pipeline_plot.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace sluice::bench {
namespace {

constexpr double kLeft = 70, kRight = 650, kTop = 50, kBottom = 400;

struct Point {
  double flows = 0, cycles = 0;
};
using Lines = std::map<std::string, std::vector<Point>>;  // By "MODE/FAMILY".

double number_of(const std::string& flows) {
  const double count = std::strtod(flows.c_str(), nullptr);
  return count * (flows.back() == 'k' ? 1e3 : flows.back() == 'M' ? 1e6 : 1);
}

Lines lines_of(const std::vector<Measured>& all) {
  Lines lines;
  for (const Measured& one : all) {
    const auto hit = one.name.find("/hit/");
    const std::string flows = hit == std::string::npos ? "" : one.name.substr(hit + 5);
    if (flows.empty() || flows.find('/') != std::string::npos) continue;
    const auto first = one.name.find('/') + 1;
    lines[one.name.substr(first, hit - first)].push_back(
        {number_of(flows), one.of([](const Sample& s) { return s.cycles; }).median});
  }
  return lines;
}

struct Axes {
  double flows_min = 1e3, flows_max = 1e7, cycles_max = 100;
  double x(double flows) const {
    return kLeft + (kRight - kLeft) * std::log(flows / flows_min) / std::log(flows_max / flows_min);
  }
  double y(double cycles) const { return kBottom - (kBottom - kTop) * cycles / cycles_max; }
};

std::string text(double x, double y, const char* anchor, const std::string& words) {
  return fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     words);
}

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return fmt::format(
      "<line x1=\"{:.0f}\" y1=\"{:.0f}\" x2=\"{:.0f}\" y2=\"{:.0f}\" style=\"{}\"/>\n", x1, y1, x2,
      y2, style);
}

std::string grid(const Axes& axes) {
  std::string svg = text((kLeft + kRight) / 2, kBottom + 40, "middle", "established flows") +
                    text(kLeft - 50, kTop - 20, "start", "cycles per packet, established flow");
  const double step = axes.cycles_max / 5;
  for (double cycles = 0; cycles <= axes.cycles_max; cycles += step) {
    svg += line(kLeft, axes.y(cycles), kRight, axes.y(cycles), "stroke:#ddd") +
           text(kLeft - 8, axes.y(cycles) + 4, "end", fmt::format("{:.0f}", cycles));
  }
  for (const auto& [flows, label] : std::map<double, const char*>{
           {1e3, "1k"}, {1e4, "10k"}, {1e5, "100k"}, {1e6, "1M"}, {1e7, "10M"}}) {
    svg += line(axes.x(flows), kTop, axes.x(flows), kBottom, "stroke:#ddd") +
           text(axes.x(flows), kBottom + 18, "middle", label);
  }
  return svg;
}

}  // namespace

std::string to_svg(const std::vector<Measured>& all) {
  static const char* const kColours[] = {"#0b6fb8", "#c8432b", "#2c8a3d",
                                         "#8b4fae", "#b8860b", "#14807f"};
  const Lines lines = lines_of(all);
  Axes axes;
  for (const auto& [name, points] : lines) {
    for (const Point& point : points)
      axes.cycles_max = std::max(axes.cycles_max, std::ceil(point.cycles / 50) * 50);
  }
  std::string svg =
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 820 460\" "
      "font-family=\"sans-serif\" "
      "font-size=\"13\">\n<rect width=\"820\" height=\"460\" fill=\"white\"/>\n" +
      grid(axes);
  std::map<std::string, const char*> colours;  // By mode.
  double legend = kTop;
  for (auto [name, points] : lines) {
    const std::string mode = name.substr(0, name.find('/'));
    const char* colour =
        colours.try_emplace(mode, kColours[colours.size() % std::size(kColours)]).first->second;
    const bool ipv6 = name.ends_with("ipv6");
    const std::string style = fmt::format("fill:none;stroke-width:2;stroke:{}{}", colour,
                                          ipv6 ? ";stroke-dasharray:6 4" : "");
    std::sort(points.begin(), points.end(),
              [](const Point& a, const Point& b) { return a.flows < b.flows; });
    svg += "<polyline points=\"";
    for (const Point& point : points)
      svg += fmt::format("{:.1f},{:.1f} ", axes.x(point.flows), axes.y(point.cycles));
    svg += fmt::format("\" style=\"{}\"/>\n", style);
    svg += line(kRight + 15, legend - 4, kRight + 45, legend - 4, style.c_str()) +
           text(kRight + 52, legend, "start", name);
    legend += 20;
  }
  std::vector<double> references;
  for (const Measured& one : all)
    references.push_back(one.of([](const Sample& s) { return s.reference; }).median);
  const double reference = spread(references).median;
  constexpr const char* kGrey = "stroke:#777;stroke-width:2";
  svg += line(kLeft, axes.y(reference), kRight, axes.y(reference), kGrey) +
         line(kRight + 15, legend - 4, kRight + 45, legend - 4, kGrey) +
         text(kRight + 52, legend, "start", "5tswap");
  return svg + "</svg>\n";
}

}  // namespace sluice::bench
