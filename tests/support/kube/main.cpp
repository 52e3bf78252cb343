// fake-kube-api: the fake Kubernetes API server as a program, for functional tests and benchmarks.
#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>

#include "tests/support/kube/server.h"

int main(int argc, char** argv) {
  using namespace sluice::test::kube;
  ServerOptions options;
  std::string rbac;
  std::uint64_t bookmarks_ms = 60'000;
  CLI::App app(
      "A fake Kubernetes API server: TLS for clients, plain HTTP with /admin for drivers.");
  app.add_option("--folder", options.folder, "Where certificates, tokens and kubeconfigs go")
      ->required();
  app.add_option("--replay", options.replay, "Recordings to serve");
  app.add_option("--rbac", rbac, "Manifests with the rights of the service accounts");
  app.add_option("--history", options.history, "Changes kept for watches");
  app.add_option("--bookmark-ms", bookmarks_ms, "How often a watch gets a bookmark");
  app.add_option("--gzip-above", options.gzip_above, "Compress longer lists, in bytes");
  app.add_flag("!--no-watch-list", options.watch_list, "Refuse sendInitialEvents");
  app.add_option("--port", options.port, "TLS port; 0: the system chooses");
  app.add_option("--plain-port", options.plain_port, "Plain port; 0: the system chooses");
  CLI11_PARSE(app, argc, argv);
  options.bookmarks = std::chrono::milliseconds(bookmarks_ms);
  try {
    boost::asio::io_context context(1);
    Server server(context.get_executor(), options);
    if (!rbac.empty()) {
      std::ifstream in(rbac);
      const std::string yaml(std::istreambuf_iterator<char>(in), {});
      const sluice::Status loaded = server.access().load_manifests(yaml);
      if (!in || !loaded) {
        std::fprintf(stderr, "fake-kube-api: %s: %s\n", rbac.c_str(),
                     loaded ? "cannot be read" : loaded.error().c_str());
        return 1;
      }
    }
    // The first line tells a driver where it is.
    std::printf("{\"url\":\"%s\",\"plain\":\"%s\",\"kubeconfig\":\"%s\"}\n", server.url().c_str(),
                server.plain_url().c_str(), server.files().kubeconfig.c_str());
    std::fflush(stdout);
    boost::asio::signal_set signals(context, SIGTERM, SIGINT);
    signals.async_wait([&](boost::system::error_code, int) { context.stop(); });
    context.run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "fake-kube-api: %s\n", error.what());
    return 1;
  }
  return 0;
}
