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
#include <string>
#include <vector>

#include "dataplane/dpdk/eal.h"
#include "pipeline_results.h"
#include "pipeline_scene.h"

namespace sluice::bench {
namespace {

struct Options {
  std::string json, filter = ".*", flows = "1k,100k,1M,10M";
  bool quick = false, list = false;
  int repetitions = 5;
  unsigned megabytes = 64;  // Huge pages wanted; fewer free ones: none are used.
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

// Holds the scene that is being measured, and what came out.
class Session {
 public:
  Session(rte_mempool& pool, const Scale& scale, int repetitions)
      : pool_(pool), scale_(scale), repetitions_(repetitions) {}

  void add(const ModeSpec& mode, bool ipv6, const std::string& flows, const EventName& event) {
    const std::string scene = std::string(mode.name) + (ipv6 ? "/ipv6/" : "/ipv4/") + flows;
    const std::string name = std::string("pipeline/") + mode.name + (ipv6 ? "/ipv6/" : "/ipv4/") +
                             event.name + "/" + flows + event.suffix;
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
  std::unique_ptr<Scene> scene_;
  std::string scene_name_, error_;
  bool failed_ = false;
  std::vector<Measured> results_;
};

bool start_eal(const Options& options) {
  const Machine machine = this_machine();
  const std::uint64_t free_mb = machine.free_huge_pages * machine.huge_page_bytes >> 20;
  const bool huge = free_mb >= options.megabytes;
  std::vector<std::string> arguments{"pipeline_bench",
                                     "--no-pci",
                                     "--in-memory",
                                     "--no-telemetry",
                                     "--log-level=warning",
                                     "--file-prefix",
                                     "sluice-bench-" + std::to_string(getpid()),
                                     "--lcores",
                                     "0@" + std::to_string(machine.cpus.back())};
  if (!huge) {
    std::fprintf(stderr,
                 "pipeline_bench: huge pages are not used, %llu MB are free and %u wanted: figures "
                 "for many flows are then higher where the kernel gives no transparent ones\n",
                 static_cast<unsigned long long>(free_mb), options.megabytes);
    arguments.insert(arguments.end(), {"--no-huge", "-m", "64"});
  }
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

// Scene by scene, since making one takes longer than measuring in it.
bool add_all(Session& session, const Options& options) {
  for (const ModeSpec& mode : kModes) {
    for (const bool ipv6 : {false, true}) {
      for (const std::string& flows : CLI::detail::split(options.flows, ',')) {
        const std::uint32_t count = parse_flows(flows);
        if (count == 0) {
          std::fprintf(stderr, "pipeline_bench: --flows %s: 1k to 16M are possible\n",
                       flows.c_str());
          return false;
        }
        for (const EventName& event : kEvents) {
          if (event.event == Event::reply && !mode.replies) continue;
          if (event.event == Event::zipf && count < 1000000) continue;
          session.add(mode, ipv6, flows, event);
        }
      }
    }
  }
  return true;
}

void run_benchmarks(const Session& session, const Options& options) {
  std::string program = "pipeline_bench", filter = "--benchmark_filter=" + options.filter;
  std::vector<char*> argv{program.data(), filter.data()};
  int argc = 2;
  benchmark::Initialize(&argc, argv.data());
  Reporter reporter(session);
  benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
}

int run(const Options& options) {
  spdlog::set_level(spdlog::level::warn);
  if (!start_eal(options)) return 1;
  rte_mempool* pool = rte_pktmbuf_pool_create("bench", 8191, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE,
                                              static_cast<int>(rte_socket_id()));
  if (pool == nullptr) {
    std::fprintf(stderr, "pipeline_bench: no memory for packets: %s\n", rte_strerror(rte_errno));
    return 1;
  }
  const Scale scale = options.quick ? Scale{.rounds = 6, .bursts = 256} : Scale{};
  Session session(*pool, scale, options.repetitions);
  if (!add_all(session, options)) return 1;
  run_benchmarks(session, options);
  if (session.results().empty()) {
    std::fprintf(stderr, "pipeline_bench: nothing was measured\n");
    return 1;
  }
  if (!options.json.empty()) {
    const auto written = write_file(options.json, to_json(session.results()));
    if (!written.ok()) {
      std::fprintf(stderr, "pipeline_bench: %s\n", written.error().c_str());
      return 1;
    }
  }
  return session.failed() ? 1 : 0;
}

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  sluice::bench::Options options;
  CLI::App app{"Cycles per packet of the real pipeline, beside testpmd's 5tswap"};
  app.add_option("--json", options.json, "Write name, cycles and ratio to this file");
  app.add_option("--filter", options.filter, "Only names that match this regular expression");
  app.add_option("--flows", options.flows, "Numbers of flows, 1k to 16M")->capture_default_str();
  app.add_option("--repetitions", options.repetitions)->capture_default_str();
  app.add_flag("--quick", options.quick, "Shorter slices");
  CLI11_PARSE(app, argc, argv);
  return sluice::bench::run(options);
}
