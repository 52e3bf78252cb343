// sluice-dataplane: reads gateway.yaml, takes its ports, forwards, and serves control's socket.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <string>

#include "config/gateway_config.h"
#include "config/logging.h"
#include "dataplane/dpdk/eal.h"
#include "dataplane/dpdk/lock_file.h"
#include "dataplane/dpdk/reload.h"
#include "dataplane/dpdk/runtime.h"
#include "dataplane/server/server.h"
#include "dataplane/table/instruction_set.h"

namespace sluice {
namespace {

constexpr const char* kProgram = "sluice-dataplane";
constexpr int kSignalCheckMs = 200;

volatile std::sig_atomic_t stop_asked = 0;
volatile std::sig_atomic_t reload_asked = 0;

void on_signal(int signal) {
  (signal == SIGHUP ? reload_asked : stop_asked) = 1;
}

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, signal);
  return set;
}

// Threads made between the two leave the signals to this one.
void hold_signals() {
  const sigset_t set = handled_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  struct sigaction action {};
  action.sa_handler = on_signal;
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) sigaction(signal, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}
void take_signals() {
  const sigset_t set = handled_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

std::string joined(const std::vector<std::string>& words) {
  std::string all;
  for (const auto& word : words) all += (all.empty() ? "" : ",") + word;
  return all;
}

void reload(const std::string& file, v1::GatewayConfig& running, Runtime& runtime) {
  auto fresh = load_gateway_config(file);
  if (!fresh) {
    spdlog::error("the configuration is not taken over error=\"{}\"", fresh.error());
    return;
  }
  const Reload changes = sort_changes(changed_fields(running, *fresh));
  // What waits for a restart still differs at the next reload, and is named again.
  *running.mutable_logging() = fresh->logging();
  running.mutable_dataplane()->set_idle(fresh->dataplane().idle());
  running.mutable_dataplane()->mutable_slow_path()->set_packets_per_second(
      fresh->dataplane().slow_path().packets_per_second());
  init_logging(running.logging(), kProgram);
  runtime.reconfigure(running.dataplane());
  spdlog::info("configuration read again applied={}", joined(changes.applied));
  if (!changes.need_restart.empty()) {
    spdlog::warn("these fields take effect at a restart fields={}", joined(changes.need_restart));
  }
}

Status serve(const std::string& file, v1::GatewayConfig& config, InstructionSet set) {
  auto runtime = Runtime::create(config.dataplane(), set);
  if (!runtime) return Error{runtime.error()};
  if (auto status = (*runtime)->start(); !status) return status;
  auto server = Server::create(server_config(config.dataplane(), SLUICE_VERSION), **runtime);
  if (!server) return Error{server.error()};
  spdlog::info("serving version={} workers={} instruction_set={}", SLUICE_VERSION,
               config.dataplane().workers(), instruction_set_name(set));
  take_signals();
  while (stop_asked == 0) {
    (*server)->poll(kSignalCheckMs);
    if (reload_asked != 0) {
      reload_asked = 0;
      reload(file, config, **runtime);
    }
  }
  spdlog::info("stopping");
  server->reset();  // Nobody changes anything any more.
  (*runtime)->stop();
  return Ok{};
}

Status run(const std::string& file, bool check_only) {
  auto config = load_gateway_config(file);
  if (!config) return Error{config.error()};
  if (auto status = check_for_dataplane(*config); !status) return status;
  auto set = choose_instruction_set(config->dataplane().instruction_set());
  if (!set) return Error{"dataplane.instructionSet: " + set.error()};
  if (check_only) {
    std::puts("ok");
    return Ok{};
  }
  init_logging(config->logging(), kProgram);
  auto locks = lock_all(config->dataplane());
  if (!locks) return Error{locks.error()};
  auto plan = plan_eal(config->dataplane(), this_machine());
  if (!plan) return Error{plan.error()};
  hold_signals();
  if (auto status = start_eal(*plan); !status) return status;
  Status status = serve(file, *config, *set);
  stop_eal();
  return status;
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  CLI::App app{"Forwards the traffic of Kubernetes Services: the dataplane of a Sluice gateway."};
  std::string file;
  bool check = false;
  app.add_option("--config", file,
                 std::string("gateway.yaml; default ") + sluice::kDefaultConfigFile)
      ->type_name("FILE");
  app.add_flag("--check", check, "Only check the configuration");
  app.set_version_flag("--version", "sluice-dataplane " SLUICE_VERSION);
  CLI11_PARSE(app, argc, argv);
  if (const sluice::Status status = sluice::run(file, check); !status) {
    std::fprintf(stderr, "sluice-dataplane: %s\n", status.error().c_str());
    return 1;
  }
  return 0;
}
