// Server: the dataplane's side of the Unix socket over which sluice-control programs it and
// `sluice` looks into it (proto/dataplane.proto). Builds forwarding states on its own thread and
// publishes them.
//
//   Result<std::unique_ptr<Server>> server = Server::create(server_config(gateway, version), host);
//   server->run();   // On a thread of its own, until stop().
//
// Thread: create(), run(), poll() and the destructor on one; stop() from any, also from a signal
// handler. Ownership: `host` must outlive it. Errors: create() says what stands in the way;
// afterwards a fault of one client ends that client's connection and nothing else.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "config.pb.h"
#include "dataplane/forward/state_builder.h"
#include "dataplane/server/generations.h"
#include "dataplane/server/host.h"
#include "dataplane/server/request_handler.h"
#include "dataplane/server/unix_listener.h"
#include "proto/result.h"

namespace sluice {

class Connection;

struct ServerConfig {
  std::string socket;
  StateLimits limits;   // As the counters of the Host's workers are sized.
  FlowTimers timers;    // Of VIPs that set none.
  std::string version;  // Of this program.
  std::size_t max_clients = 16;
  std::chrono::milliseconds client_timeout =
      std::chrono::seconds(10);  // To take some of what waits for it.
};
// Limits and timers of a validated configuration.
ServerConfig server_config(const v1::Dataplane& dataplane, std::string version);

class Server {
 public:
  static Result<std::unique_ptr<Server>> create(ServerConfig config, Host& host);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  void run();
  void stop();
  // One step of run(): waits up to `timeout_ms` (-1: for ever) and serves what there is.
  void poll(int timeout_ms);

  const Generations& generations() const { return generations_; }
  const std::string& boot() const { return handler_.boot(); }

 private:
  Server(ServerConfig config, Host& host, UnixListener listener);
  Status set_up();
  int wait_ms(int timeout_ms) const;
  void accept_clients();
  void serve(std::uint64_t number, std::uint32_t events);
  void watch(std::uint64_t number, const Connection& connection, int operation) const;
  void drop_slow_clients();

  ServerConfig config_;
  UnixListener listener_;
  Generations generations_;
  RequestHandler handler_;
  int epoll_ = -1;
  int wake_ = -1;  // eventfd: stop() was called.
  bool stopping_ = false;
  std::uint64_t next_number_;
  std::map<std::uint64_t, std::unique_ptr<Connection>> connections_;  // By number, never reused.
};

}  // namespace sluice
