// Results of the pipeline benchmark, by name and repetition; and how they are written down.
// Thread: one. Units: TSC cycles per packet. Errors: a file that cannot be written, with why.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pipeline_scene.h"
#include "proto/result.h"

namespace sluice::bench {

struct Spread {
  double min = 0, median = 0, max = 0;
};
Spread spread(std::vector<double> values);

struct Measured {
  std::string name;  // pipeline/MODE/FAMILY/EVENT/FLOWS
  double bytes_per_flow = 0;
  bool flood = false;
  std::vector<Sample> samples;  // By repetition.
  // Of what `value(sample)` gives.
  template <typename Value>
  Spread of(Value value) const {
    std::vector<double> values;
    for (const Sample& sample : samples) values.push_back(value(sample));
    return spread(std::move(values));
  }
};

// For a terminal.
std::string table_heading();
std::string table_line(const Measured& one);

std::string to_markdown(const std::vector<Measured>& all);
std::string to_json(const std::vector<Measured>& all);
Status write_file(const std::string& path, const std::string& text);

}  // namespace sluice::bench
