// sluice-agent: publishes one cluster's Services and endpoints to Redis.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <iostream>

#include "config/agent_config.h"
#include "config/logging.h"
#include "control/agent/agent.h"
#include "control/agent/status_sync.h"

int main(int argc, char** argv) {
  CLI::App app{"Sluice's agent: publishes one cluster's objects. Several may run; one leads."};
  sluice::agent::AgentOptions options;
  app.add_option("--config", options.config_file,
                 std::string("agent.yaml; default ") + sluice::kDefaultAgentConfigFile);
  app.add_option("--cluster", options.overrides.cluster, "Name of the cluster, over agent.yaml");
  app.add_option("--kubeconfig", options.overrides.kubeconfig,
                 "kubeconfig file, over agent.yaml; without one: the pod's service account");
  app.add_option("--redis", options.overrides.redis, "HOST:PORT or unix:/path, over agent.yaml");
  app.add_option("--listen", options.overrides.listen,
                 "HOST:PORT of health and metrics, over agent.yaml");
  app.set_version_flag("--version", "sluice-agent " SLUICE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  if (options.config_file.empty()) options.config_file = sluice::kDefaultAgentConfigFile;

  auto config = sluice::load_agent_config(options.config_file, options.overrides);
  if (!config) {
    std::cerr << config.error() << '\n';
    return 1;
  }
  sluice::init_logging(config->logging(), "sluice-agent");
  std::signal(SIGPIPE, SIG_IGN);

  options.config = std::move(*config);
  options.make_write_back = sluice::agent::make_status_sync;
  boost::asio::io_context io(1);
  sluice::agent::Agent agent(io, std::move(options));
  if (const auto started = agent.start(); !started) {
    spdlog::critical("cannot start: {}", started.error());
    return 1;
  }
  io.run();
  spdlog::info("stopped");
  return 0;
}
