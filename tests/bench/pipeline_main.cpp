// pipeline_bench: what a packet costs in the real pipeline, beside testpmd's 5tswap on the same
// packets. Names: pipeline/MODE/FAMILY/EVENT/FLOWS. See README.md; scripts/bench runs it.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "pipeline_plot.h"
#include "pipeline_results.h"
#include "pipeline_scene.h"
#include "pipeline_targets.h"

namespace sluice::bench {
namespace {

constexpr const char* kAll = ".*";

struct Options {
  std::string json, report, filter = kAll, flows = "1k,100k,1M,10M";
  bool quick = false, tiny = false, memory = false, modes = false;
  int repetitions = 5;
};

struct EventName {
  Event event;
  const char *name, *suffix;
};
constexpr EventName kEvents[] = {
    {Event::hit, "hit", ""},   {Event::zipf, "hit", "/zipf"}, {Event::reply, "reply", ""},
    {Event::miss, "miss", ""}, {Event::fresh, "new", ""},     {Event::flood, "flood", ""},
};

// "100k", "10M"; 0: not such a number, or beyond what numbers of flows can be.
std::uint32_t parse_flows(const std::string& text) {
  char* end = nullptr;
  const unsigned long count = std::strtoul(text.c_str(), &end, 10);
  const std::string unit = end;
  const unsigned long factor = unit == "k" ? 1000 : unit == "M" ? 1000000 : unit.empty() ? 1 : 0;
  if (count > 16000000 || count * factor > 16000000 || count * factor < 1000) return 0;
  return static_cast<std::uint32_t>(count * factor);
}

bool flows_valid(const Options& options) {
  for (const std::string& flows : CLI::detail::split(options.flows, ',')) {
    if (parse_flows(flows) != 0) continue;
    std::fprintf(stderr, "pipeline_bench: --flows %s: 1k to 16M are possible\n", flows.c_str());
    return false;
  }
  return true;
}

constexpr std::uint64_t kLeastMegabytes = 64;

// Of huge pages: packets, what EAL itself takes, and the largest scene (full NAT over IPv6).
std::uint64_t needed_megabytes(const Options& options) {
  std::uint64_t most = 0;
  for (const std::string& flows : CLI::detail::split(options.flows, ','))
    most = std::max<std::uint64_t>(most, parse_flows(flows));
  return 128 + most * 280 / 1000000;
}

// Holds the scene that is being measured, and what came out.
class Session {
 public:
  Session(rte_mempool& pool, const Scale& scale, int repetitions, const std::regex& filter)
      : pool_(pool), scale_(scale), repetitions_(repetitions), filter_(filter) {}

  void add(const ModeSpec& mode, bool ipv6, const std::string& flows, const EventName& event) {
    const std::string scene = std::string(mode.name) + (ipv6 ? "/ipv6/" : "/ipv4/") + flows;
    const std::string name = std::string("pipeline/") + mode.name + (ipv6 ? "/ipv6/" : "/ipv4/") +
                             event.name + "/" + flows + event.suffix;
    if (!std::regex_search(name, filter_)) return;
    const std::uint32_t count = parse_flows(flows);
    const Event what = event.event;
    const ModeSpec* mode_spec = &mode;
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=, this](benchmark::State& state) {
                                   run(state, name, what, scene, *mode_spec, ipv6, count);
                                 })
        ->UseManualTime()
        ->Iterations(1)
        ->Repetitions(repetitions_);
  }
  const std::vector<Measured>& results() const { return results_; }
  bool failed() const { return failed_; }

 private:
  void run(benchmark::State& state, const std::string& name, Event event, const std::string& scene,
           const ModeSpec& mode, bool ipv6, std::uint32_t flows) {
    if (!enter(scene, mode, ipv6, flows)) return state.SkipWithError(error_.c_str());
    Sample sample;
    for (auto _ : state) {
      sample = scene_->measure(event);
      state.SetIterationTime(sample.cycles / static_cast<double>(rte_get_tsc_hz()));
    }
    if (results_.empty() || results_.back().name != name)
      results_.push_back({name, scene_->bytes_per_flow(), event == Event::flood, {}});
    results_.back().samples.push_back(sample);
  }

  // One scene at a time: a large one takes gigabytes.
  bool enter(const std::string& name, const ModeSpec& mode, bool ipv6, std::uint32_t flows) {
    if (name == scene_name_) return scene_ != nullptr;
    scene_.reset();
    scene_name_ = name;
    auto made = Scene::create(mode, ipv6, flows, pool_, scale_);
    if (!made.ok()) {
      error_ = made.error();
      failed_ = true;
      return false;
    }
    scene_ = std::move(*made);
    return true;
  }

  rte_mempool& pool_;
  const Scale scale_;
  const int repetitions_;
  const std::regex filter_;
  std::unique_ptr<Scene> scene_;
  std::string scene_name_, error_;
  bool failed_ = false;
  std::vector<Measured> results_;
};

// Packets in huge pages are what counts; tables that do not fit go to the heap, in transparent
// ones.
bool start_eal(const Options& options) {
  const Machine machine = this_machine();
  const std::uint64_t free = machine.free_huge_pages * machine.huge_page_bytes >> 20;
  std::vector<std::string> arguments{"pipeline_bench"};
  if (free >= kLeastMegabytes) {
    arguments.insert(arguments.end(), {"--in-memory"});
  } else {
    std::fprintf(stderr,
                 "pipeline_bench: no huge pages, %llu MB of them are free and %llu MB needed: the "
                 "reference then costs about twice as much, so its ratios mean little\n",
                 static_cast<unsigned long long>(free),
                 static_cast<unsigned long long>(needed_megabytes(options)));
    arguments.insert(arguments.end(), {"--no-huge", "--no-shconf", "-m", "64"});
  }
  arguments.insert(arguments.end(), {"--no-pci", "--no-telemetry", "--log-level=error"});
  arguments.insert(arguments.end(), {"--file-prefix", "sluice-bench-" + std::to_string(getpid())});
  arguments.insert(arguments.end(), {"--lcores", "0@" + std::to_string(machine.cpus.back())});
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0) return true;
  std::fprintf(stderr, "pipeline_bench: EAL did not start: %s\n", rte_strerror(rte_errno));
  return false;
}

// One line for each benchmark, after its last repetition.
class Reporter final : public benchmark::BenchmarkReporter {
 public:
  explicit Reporter(const Session& session) : session_(session) {}
  bool ReportContext(const Context&) override {
    std::printf("%s", table_heading().c_str());
    return true;
  }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs) {
      if (run.run_type == Run::RT_Aggregate) return;
      if (!run.error_occurred) continue;
      std::printf("%s: %s\n", run.benchmark_name().c_str(), run.error_message.c_str());
      return;
    }
    std::printf("%s", table_line(session_.results().back()).c_str());
    std::fflush(stdout);
  }

 private:
  const Session& session_;
};

// What a quick run leaves out, unless asked for by name: scenes that take long to make, except
// where a target needs them.
bool in_quick(const ModeSpec& mode, const EventName& event, const std::string& flows) {
  if (flows == "10M") return !mode.replies && event.event == Event::hit;
  return flows != "100k";
}

// Scene by scene, since making one takes longer than measuring in it.
void add_all(Session& session, const Options& options) {
  for (const ModeSpec& mode : kModes) {
    for (const bool ipv6 : {false, true}) {
      for (const std::string& flows : CLI::detail::split(options.flows, ',')) {
        for (const EventName& event : kEvents) {
          if (options.quick && options.filter == kAll && !in_quick(mode, event, flows)) continue;
          if (event.event == Event::reply && !mode.replies) continue;
          if (event.event == Event::zipf && parse_flows(flows) < 1000000) continue;
          session.add(mode, ipv6, flows, event);
        }
      }
    }
  }
}

void run_benchmarks(const Session& session) {
  std::string program = "pipeline_bench";
  char* argv[] = {program.data(), nullptr};
  int argc = 1;
  benchmark::Initialize(&argc, argv);
  Reporter reporter(session);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
}

Status write_results(const std::vector<Measured>& all, const Options& options) {
  const std::string targets = to_text(compare_with_targets(all));
  std::printf("\n%s", targets.c_str());
  if (!options.json.empty()) {
    if (auto written = write_file(options.json, to_json(all)); !written.ok()) return written;
  }
  if (options.report.empty()) return Ok{};
  const std::string base = options.report + "/pipeline";
  const std::string text = to_markdown(all) + "\n```\n" + targets + "```\n";
  if (auto written = write_file(base + ".md", text); !written.ok()) return written;
  return write_file(base + ".svg", to_svg(all));
}

int run(const Options& options, const std::regex& filter) {
  spdlog::set_level(spdlog::level::warn);
  if (!flows_valid(options) || !start_eal(options)) return 1;
  rte_mempool* pool = rte_pktmbuf_pool_create("bench", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                              static_cast<int>(rte_socket_id()));
  if (pool == nullptr) {
    std::fprintf(stderr, "pipeline_bench: no memory for packets: %s\n", rte_strerror(rte_errno));
    return 1;
  }
  Scale scale;
  if (options.quick) scale.rounds = 16;
  if (options.tiny) scale = {.rounds = 2, .bursts = 16};
  Session session(*pool, scale, options.repetitions, filter);
  add_all(session, options);
  run_benchmarks(session);
  if (session.results().empty()) {
    std::fprintf(stderr, "pipeline_bench: nothing was measured\n");
    return 1;
  }
  const auto written = write_results(session.results(), options);
  if (!written.ok()) {
    std::fprintf(stderr, "pipeline_bench: %s\n", written.error().c_str());
    return 1;
  }
  return session.failed() ? 1 : 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app{"Cycles per packet of the real pipeline, beside testpmd's 5tswap"};
  app.add_option("--json", options.json, "Write name, cycles and ratio to this file");
  app.add_option("--report", options.report, "Write pipeline.md and pipeline.svg to this folder");
  app.add_option("--filter", options.filter, "Only names that match this regular expression");
  app.add_option("--flows", options.flows, "Numbers of flows, 1k to 16M")->capture_default_str();
  app.add_option("--repetitions", options.repetitions)
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  app.add_flag("--quick", options.quick,
               "Fewer slices, and without --filter not all numbers of flows");
  app.add_flag("--tiny", options.tiny, "Shortest slices: shows that all of it works, no more");
  app.add_flag("--modes", options.modes, "Print the names of the modes, and end");
  app.add_flag("--memory", options.memory, "Print the megabytes of huge pages needed, and end");
  CLI11_PARSE(app, argc, argv);
  if (options.modes) {
    for (const auto& mode : sluice::bench::kModes) std::printf("%s\n", mode.name);
    return 0;
  }
  if (options.memory) {
    std::printf("%llu\n",
                static_cast<unsigned long long>(sluice::bench::needed_megabytes(options)));
    return 0;
  }
  try {
    return sluice::bench::run(options, std::regex(options.filter));
  } catch (const std::regex_error& error) {
    std::fprintf(stderr, "pipeline_bench: --filter: %s is no regular expression: %s\n",
                 options.filter.c_str(), error.what());
    return 2;
  }
}
