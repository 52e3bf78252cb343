// sluice-control: reads Redis, allocates addresses, programs this gateway's dataplane.
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <iostream>

#include "config/gateway_config.h"
#include "config/logging.h"
#include "control/daemon/daemon.h"

int main(int argc, char** argv) {
  CLI::App app{"Sluice's control daemon: one per gateway."};
  std::string config_file;
  app.add_option("--config", config_file,
                 std::string("gateway.yaml; default ") + sluice::kDefaultConfigFile);
  app.set_version_flag("--version", "sluice-control " SLUICE_VERSION);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }

  auto config = sluice::load_gateway_config(config_file);
  if (!config) {
    std::cerr << config.error() << '\n';
    return 1;
  }
  sluice::init_logging(config->logging(), "sluice-control");
  std::signal(SIGPIPE, SIG_IGN);

  boost::asio::io_context io(1);
  sluice::Daemon daemon(io, std::move(*config), config_file);
  if (const auto started = daemon.start(); !started) {
    spdlog::critical("cannot start: {}", started.error());
    return 1;
  }
  io.run();
  if (!daemon.begun()) {
    spdlog::critical("cannot start: {}", daemon.begun().error());
    return 1;
  }
  spdlog::info("stopped");
  return 0;
}
