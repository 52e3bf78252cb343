// Measurement: the highest rate of each subject by bisection, and its latency at half of it.
// Subjects are measured in turn, trial by trial, so that what else the machine does meets them
// alike.
//
// Thread: main. Ownership: refers to its arguments. Units: packets per second, seconds.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/bench/generator/trial.h"

namespace sluice::generator {

struct MeasureSettings {
  double seconds = 2;  // Of a trial.
  double most_loss = 1e-5;
  double precision = 0.01;
  double most_rate = 100e6;
  unsigned trials = 5, needed = 3;
};

struct Measured {
  double rate = 0;                 // Loss at most most_loss in `needed` of `trials` trials.
  double strict_zero = 0;          // The same with no loss at all.
  double flood = 0;                // What comes through when more is sent than that.
  bool generator_limited = false;  // The generator could not send more.
  std::uint64_t reordered = 0, misdirected = 0;  // In all trials.
  // Trials that failed while others had the CPU of a poller: repeated, or, after many in a row,
  // taken as failures. With any of these the machine was too busy for the rate to mean much.
  unsigned repeated = 0, disturbed = 0;
  double latency_rate = 0;
  Histogram latency;  // At latency_rate, all trials together.
};

std::vector<Measured> measure(Traffic& traffic,
                              const std::vector<std::unique_ptr<Subject>>& subjects,
                              const MeasureSettings& settings);

std::string measured_json(const std::string& subject, const Measured& measured, std::uint64_t hz);

}  // namespace sluice::generator
