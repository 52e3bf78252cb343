// Table: aligned columns as kubectl prints them: three spaces between, no trailing space, the last
// column not padded. Ownership: by value. Thread: one. Cells may hold UTF-8 from outside: control
// characters are shown as '?', so that no object name can drive the terminal.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace sluice {

class Table {
 public:
  explicit Table(std::vector<std::string> header);

  // A shorter row is filled with empty cells, a longer one is cut to the header.
  void add(std::vector<std::string> row);
  bool empty() const { return rows_.empty(); }
  std::size_t size() const { return rows_.size(); }
  // Rows in order of their cells, column by column.
  void sort();
  const std::vector<std::string>& header() const { return header_; }
  const std::vector<std::vector<std::string>>& rows() const { return rows_; }

  struct TextOptions {
    bool header = true;
    // Of columns: at least these, and raised to what was needed, for rows that follow later.
    std::vector<std::size_t>* widths = nullptr;
  };
  std::string text(const TextOptions& options) const;
  std::string text() const { return text({}); }

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<std::string>> rows_;
};

// Control characters replaced by '?'.
std::string printable(std::string text);
// "a,b,c"; empty: "<none>".
std::string joined(const std::vector<std::string>& parts, const char* separator = ",");

}  // namespace sluice
