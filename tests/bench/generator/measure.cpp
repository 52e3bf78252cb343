#include "tests/bench/generator/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "tests/bench/generator/rate_search.h"
#include "tests/bench/generator/report.h"

namespace sluice::generator {
namespace {

// A poller that lost its CPU for so long may have lost packets by it. Such a trial is repeated, but
// not for ever.
constexpr std::uint64_t kDisturbedNs = 20'000;
constexpr unsigned kMostRepeats = 5;
constexpr double kStrictPrecision = 0.05;  // Strict zero is not stable enough for more.

class Measurement {
 public:
  Measurement(Traffic& traffic, const std::vector<std::unique_ptr<Subject>>& subjects,
              const MeasureSettings& settings)
      : traffic_(traffic), subjects_(subjects), settings_(settings), results_(subjects.size()) {}

  std::vector<Measured> run() {
    std::vector<RateSearch::Settings> ranges;
    for (std::size_t i = 0; i < subjects_.size(); ++i) ranges.push_back(range(i));
    const std::vector<double> tops = search(ranges, settings_.most_loss);
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      results_[i].rate = tops[i];
      // The search never left its upper end, which the generator set.
      results_[i].generator_limited = results_[i].generator_limited &&
                                      tops[i] >= ranges[i].high * (1 - 2 * settings_.precision);
      ranges[i] = {0, tops[i] / (1 - kStrictPrecision), kStrictPrecision, settings_.trials,
                   settings_.needed};
    }
    const std::vector<double> strict = search(ranges, 0);
    for (std::size_t i = 0; i < subjects_.size(); ++i)
      results_[i].strict_zero = std::min(strict[i], tops[i]);
    for (unsigned round = 0; round < settings_.trials; ++round) measure_latency();
    return std::move(results_);
  }

 private:
  Trial trial(std::size_t i, double rate) {
    subjects_[i]->resume();
    const Trial trial = traffic_.run(*subjects_[i], rate, settings_.seconds);
    subjects_[i]->pause();
    results_[i].reordered += trial.received.reordered;
    results_[i].misdirected += trial.received.misdirected;
    return trial;
  }
  // A flood shows what gets through at all; the rate without loss may be a little above it.
  RateSearch::Settings range(std::size_t i) {
    const Trial flood = trial(i, settings_.most_rate);
    results_[i].flood = flood.rate();
    const double wanted = 1.25 * flood.rate();
    results_[i].generator_limited = wanted >= flood.offered_rate();
    return {0, std::min({wanted, flood.offered_rate(), settings_.most_rate}), settings_.precision,
            settings_.trials, settings_.needed};
  }
  std::vector<double> search(const std::vector<RateSearch::Settings>& ranges, double most_loss) {
    std::vector<RateSearch> searches;
    std::vector<unsigned> repeats(ranges.size());  // In a row.
    for (const auto& one : ranges) searches.emplace_back(one);
    for (bool more = true; more;) {
      more = false;
      for (std::size_t i = 0; i < searches.size(); ++i) {
        if (searches[i].done()) continue;
        more = true;
        const Trial result = trial(i, searches[i].rate());
        const bool passed = result.kept_up() && result.loss() <= most_loss;
        const bool disturbed = !passed && result.waited_ns >= kDisturbedNs;
        const bool repeat = disturbed && repeats[i] < kMostRepeats;
        std::fprintf(stderr, "%-10s %8.3f Mpps  loss %.1e  %s%s\n", subjects_[i]->name().c_str(),
                     searches[i].rate() / 1e6, result.loss(),
                     passed   ? "pass"
                     : repeat ? "again: others had a CPU"
                              : "fail",
                     result.kept_up() ? "" : " (the generator did not keep up)");
        repeats[i] = repeat ? repeats[i] + 1 : 0;
        results_[i].repeated += repeat ? 1 : 0;
        results_[i].disturbed += disturbed && !repeat ? 1 : 0;
        if (!repeat) searches[i].add(passed);
      }
    }
    std::vector<double> best;
    for (const RateSearch& one : searches) best.push_back(one.best());
    return best;
  }
  void measure_latency() {
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      if (results_[i].rate < 2) continue;
      results_[i].latency_rate = results_[i].rate / 2;
      results_[i].latency.merge(trial(i, results_[i].latency_rate).received.latency);
    }
  }

  Traffic& traffic_;
  const std::vector<std::unique_ptr<Subject>>& subjects_;
  MeasureSettings settings_;
  std::vector<Measured> results_;
};

}  // namespace

std::vector<Measured> measure(Traffic& traffic,
                              const std::vector<std::unique_ptr<Subject>>& subjects,
                              const MeasureSettings& settings) {
  return Measurement(traffic, subjects, settings).run();
}

std::string measured_json(const std::string& subject, const Measured& measured, std::uint64_t hz) {
  return fmt::format(
      R"({{"subject":"{}","rate_pps":{:.0f},"strict_zero_pps":{:.0f},"flood_pps":{:.0f},)"
      R"("generator_limited":{},"reordered":{},"misdirected":{},"repeated":{},"disturbed":{},"latency_at_pps":{:.0f},"latency_us":{}}})",
      subject, measured.rate, measured.strict_zero, measured.flood, measured.generator_limited,
      measured.reordered, measured.misdirected, measured.repeated, measured.disturbed,
      measured.latency_rate, latency_json(measured.latency, hz));
}

}  // namespace sluice::generator
