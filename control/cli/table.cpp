#include "control/cli/table.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

constexpr std::size_t kGap = 3;

// Columns a terminal gives the text: UTF-8 continuation bytes take none.
std::size_t width(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

}  // namespace

std::string printable(std::string text) {
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) c = '?';
  }
  return text;
}

std::string joined(const std::vector<std::string>& parts, const char* separator) {
  if (parts.empty()) return "<none>";
  std::string text = parts.front();
  for (std::size_t i = 1; i < parts.size(); ++i) text += separator + parts[i];
  return text;
}

Table::Table(std::vector<std::string> header) : header_(std::move(header)) {}

void Table::add(std::vector<std::string> row) {
  row.resize(header_.size());
  for (std::string& cell : row) cell = printable(std::move(cell));
  rows_.push_back(std::move(row));
}

void Table::sort() {
  std::ranges::sort(rows_);
}

std::string Table::text(const TextOptions& options) const {
  std::vector<std::size_t> widths;
  if (options.widths) widths = *options.widths;
  widths.resize(header_.size());
  const auto measure = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width(row[i]));
  };
  if (options.header) measure(header_);
  std::ranges::for_each(rows_, measure);
  if (options.widths) *options.widths = widths;

  std::string out;
  const auto write = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] + kGap - width(row[i]), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  };
  if (options.header) write(header_);
  std::ranges::for_each(rows_, write);
  return out;
}

}  // namespace sluice
