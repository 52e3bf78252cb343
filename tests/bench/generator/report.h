// What the generator prints: results as JSON, one object a line.
//
// Thread: any, pure. Units: packets per second; microseconds.
#pragma once

#include <cstdint>
#include <string>

#include "tests/bench/generator/histogram.h"
#include "tests/bench/generator/trial.h"

namespace sluice::generator {

// {"min":..,"median":..,"p99":..,"p99_9":..,"max":..}; `hz`: of the time-stamp counter.
std::string latency_json(const Histogram& latency, std::uint64_t hz);
std::string trial_json(const std::string& subject, const Trial& trial, std::uint64_t hz);

}  // namespace sluice::generator
