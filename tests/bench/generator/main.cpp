// line_rate_generator: sends paced flows through a subject, or through several in turn, and prints
// what came back as JSON, one object for each subject; progress goes to stderr.
#include <fmt/format.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "tests/bench/generator/measure.h"
#include "tests/bench/generator/report.h"

namespace sluice::generator {
namespace {

struct Options {
  std::vector<std::string> devices, subjects, eal;
  std::string client = "10.128.0.0", destination = "192.0.2.1";
  std::string destination_mac = "02:00:00:00:00:01", source_mac = "02:00:00:00:00:0a";
  std::string kind = "udp", size = "64";
  std::uint16_t port = 80;
  std::uint32_t flows = 1'000'000;
  unsigned queues = 1, descriptors = 1024, buffers = 16384, wait = 60;
  double rate = 1e6, seconds = 2;
  bool reflect = false, open = false, search = false;
  MeasureSettings measure;
};

Kind kind_of(const std::string& name) {
  return name == "tcp" ? Kind::tcp : name == "syn" ? Kind::syn : Kind::udp;
}

Status start_eal(const Options& options) {
  std::vector<std::string> arguments{"line_rate_generator"};
  bool pci = false;
  for (const std::string& device : options.devices) {
    const bool one = device.find(':') < device.find(',') && device.find(':') != std::string::npos;
    pci = pci || one;
    arguments.push_back(one ? "--allow=" + device : "--vdev=" + device);
  }
  if (!pci) arguments.push_back("--no-pci");
  arguments.push_back("--log-level=error");
  arguments.insert(arguments.end(), options.eal.begin(), options.eal.end());
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(arguments.size()), argv.data()) < 0) {
    return Error{std::string("DPDK's EAL did not start (") + rte_strerror(rte_errno) +
                 "); its own message is above"};
  }
  return Ok{};
}

Result<FrameConfig> frame_config(const Options& options) {
  FrameConfig config;
  config.kind = kind_of(options.kind);
  const auto client = IpAddress::parse(options.client);
  const auto destination = IpAddress::parse(options.destination);
  if (!client) return Error{"client: \"" + options.client + "\" is not an IP address"};
  if (!destination)
    return Error{"destination: \"" + options.destination + "\" is not an IP address"};
  config.first_client = *client;
  config.destination = *destination;
  config.destination_port = options.port;
  auto sizes = parse_sizes(options.size, client->is_v6(), config.kind);
  if (!sizes) return Error{sizes.error()};
  config.sizes = *sizes;
  auto to = parse_mac(options.destination_mac), from = parse_mac(options.source_mac);
  if (!to) return Error{to.error()};
  if (!from) return Error{from.error()};
  config.destination_mac = *to;
  config.source_mac = *from;
  return config;
}

Result<rte_mempool*> make_pool(const char* name, unsigned buffers) {
  rte_mempool* pool =
      rte_pktmbuf_pool_create(name, buffers, 512, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
  if (pool == nullptr) {
    return Error{"no memory for " + std::to_string(buffers) + " packet buffers (" +
                 rte_strerror(rte_errno) + "); provide huge pages, or --eal=-m --eal=256"};
  }
  return pool;
}

class Generator {
 public:
  explicit Generator(const Options& options) : options_(options) {}

  Status run() {
    for (auto step : {&Generator::open_ports, &Generator::make_subjects, &Generator::open_flows}) {
      if (auto status = (this->*step)(); !status) return status;
    }
    if (options_.search) {
      const auto results = measure(*traffic_, subjects_, options_.measure);
      for (std::size_t i = 0; i < results.size(); ++i)
        std::puts(measured_json(subjects_[i]->name(), results[i], rte_get_tsc_hz()).c_str());
      return Ok{};
    }
    for (const auto& subject : subjects_) {
      subject->resume();
      const Trial trial = traffic_->run(*subject, options_.rate, options_.seconds);
      subject->pause();
      std::puts(trial_json(subject->name(), trial, rte_get_tsc_hz()).c_str());
    }
    return Ok{};
  }

 private:
  Status open_ports() {
    auto send = make_pool("send", options_.buffers);
    if (!send) return Error{send.error()};
    // Each port's rings and what is being looked at.
    const auto ports = static_cast<unsigned>(options_.devices.size());
    auto receive = make_pool("receive", 4096 + ports * options_.queues * 2 * options_.descriptors);
    if (!receive) return Error{receive.error()};
    for (const std::string& device : options_.devices) {
      auto port = EthernetPort::open(device, options_.queues, options_.descriptors, *receive);
      if (!port) return Error{port.error()};
      ports_.push_back(std::move(*port));
    }
    auto config = frame_config(options_);
    if (!config) return Error{config.error()};
    auto traffic = Traffic::make(*config, options_.flows, options_.queues, options_.reflect, *send);
    if (!traffic) return Error{traffic.error()};
    traffic_ = std::move(*traffic);
    return Ok{};
  }
  Status make_subjects() {
    std::vector<std::string> specs = options_.subjects;
    if (specs.empty()) specs = {"link=0," + std::to_string(ports_.size() - 1)};
    for (const std::string& text : specs) {
      auto spec = SubjectSpec::parse(text, static_cast<unsigned>(ports_.size()));
      if (!spec) return Error{spec.error()};
      const auto &out = *ports_[spec->out], &back = *ports_[spec->back];
      subjects_.push_back(std::make_unique<Subject>(std::move(*spec), out, back));
    }
    for (const auto& subject : subjects_) {
      if (auto status = subject->wait(options_.wait); !status) return status;
    }
    return Ok{};
  }
  Status open_flows() {
    for (const auto& subject : subjects_) subject->pause();
    if (!options_.open) return Ok{};
    for (const auto& subject : subjects_) {
      subject->resume();
      const Trial trial = traffic_->open_flows(*subject);
      subject->pause();
      std::fprintf(stderr, "%-10s %u flows opened, %lu packets lost\n", subject->name().c_str(),
                   options_.flows, trial.lost());
      if (trial.received.packets == 0)
        return Error{subject->name() + ": nothing comes back; " +
                     trial_json(subject->name(), trial, rte_get_tsc_hz())};
    }
    return Ok{};
  }

  const Options& options_;
  std::vector<std::unique_ptr<EthernetPort>> ports_;
  std::unique_ptr<Traffic> traffic_;
  std::vector<std::unique_ptr<Subject>> subjects_;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("--device", options.devices,
                 "PCI address or vdev (net_vhost0,iface=/path); repeated, numbered from 0")
      ->required();
  app.add_option(
      "--subject", options.subjects,
      "NAME=OUT,BACK[,PIDFILE]: devices it is between, and its process once it is ready, "
      "stopped while others are measured; default: the first and the last device");
  app.add_option("--wait", options.wait, "Seconds to wait for links and processes");
  app.add_option("--client", options.client, "First client address; up to 4096 follow");
  app.add_option("--destination", options.destination, "Where to: a VIP, in the clients' family");
  app.add_option("--port", options.port, "Destination port")->check(CLI::Range(1, 65535));
  app.add_option("--destination-mac", options.destination_mac, "MAC of the subject's first port");
  app.add_option("--source-mac", options.source_mac, "MAC of the generator");
  app.add_option("--kind", options.kind, "What to send")
      ->check(CLI::IsMember({"tcp", "syn", "udp"}));
  app.add_option(
      "--size", options.size,
      "Bytes on the wire, FCS included, to 1518, or imix; at least 64, IPv6: 74 with UDP, "
      "78 with TCP");
  app.add_option("--flows", options.flows, "Flows")->check(CLI::Range(1u, kMostFlows));
  app.add_option("--queues", options.queues, "Queues of each device")->check(CLI::Range(1, 64));
  app.add_option("--descriptors", options.descriptors, "Of each queue")
      ->check(CLI::Range(64, 32768));
  app.add_option("--buffers", options.buffers, "Packet buffers to send from")
      ->check(CLI::Range(2048, 4194304));
  app.add_flag("--reflect", options.reflect,
               "Answer what comes back to BACK; measure the answers at OUT");
  app.add_flag("--open", options.open, "First open every flow once, at 0.5 Mpps");
  app.add_option("--rate", options.rate, "Packets per second")->check(CLI::Range(1.0, 1e9));
  app.add_option("--seconds", options.seconds, "Of a trial")->check(CLI::Range(0.01, 3600.0));
  app.add_flag("--search", options.search,
               "Find the highest rate by bisection, and the latency at half of it");
  app.add_option("--loss", options.measure.most_loss, "--search: most loss of a trial that passes")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--trials", options.measure.trials, "--search: trials at a rate, at most")
      ->check(CLI::Range(1, 100));
  app.add_option("--needed", options.measure.needed, "--search: trials that must pass")
      ->check(CLI::Range(1, 100));
  app.add_option("--precision", options.measure.precision, "--search: of the rate")
      ->check(CLI::Range(0.001, 0.5));
  app.add_option("--most-rate", options.measure.most_rate, "--search: packets per second")
      ->check(CLI::Range(1.0, 1e9));
  app.add_option("--eal", options.eal,
                 "Further EAL argument (--eal=--lcores=0@0,1@1: a second lcore receives); repeated")
      ->expected(1)
      ->take_all();
}

Status check(Options& options) {
  options.measure.seconds = options.seconds;
  if (options.measure.needed > options.measure.trials)
    return Error{"--needed is more than --trials"};
  const double most = options.search ? options.measure.most_rate : options.rate;
  if (most * options.seconds >= 4e9) {
    return Error{
        fmt::format("rate times seconds must stay below 4e9, the sequence numbers of a trial; "
                    "lower {} or --seconds",
                    options.search ? "--most-rate" : "--rate")};
  }
  return Ok{};
}

Status run(Options& options) {
  if (auto status = check(options); !status) return status;
  if (auto config = frame_config(options); !config) return Error{config.error()};
  if (auto status = start_eal(options); !status) return status;
  // Destroyed before EAL: ports are closed.
  const Status status = Generator(options).run();
  rte_eal_cleanup();
  return status;
}

}  // namespace
}  // namespace sluice::generator

int main(int argc, char** argv) {
  CLI::App app{"Sends paced flows through a gateway and prints loss, order and latency as JSON."};
  sluice::generator::Options options;
  sluice::generator::add_options(app, options);
  CLI11_PARSE(app, argc, argv);
  signal(SIGPIPE, SIG_IGN);
  if (const sluice::Status status = sluice::generator::run(options); !status) {
    std::fprintf(stderr, "line_rate_generator: %s\n", status.error().c_str());
    return 1;
  }
  return 0;
}
