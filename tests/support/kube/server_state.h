// What the parts of the server share (server.cpp, connection.cpp, admin.cpp). Thread: the server's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <list>
#include <memory>
#include <string>

#include "tests/support/kube/api.h"
#include "tests/support/kube/certificates.h"
#include "tests/support/kube/load.h"
#include "tests/support/kube/replay.h"
#include "tests/support/kube/server.h"

namespace sluice::test::kube {

// A connection, as far as others may act on it.
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void close() = 0;  // At once, whatever it does.
  virtual void wake() = 0;   // Something changed: look at the watch.
  virtual void end_watch(bool cut) = 0;
  bool watching = false;
  bool plain = false;  // A driver's.
};

struct Server::State : std::enable_shared_from_this<Server::State> {
  State(boost::asio::any_io_executor with, ServerOptions given);

  void listen();
  void drop_connections();
  Outcome answer(const Request& request);

  boost::asio::any_io_executor executor;
  ServerOptions options;
  bool own_folder = false;
  ClientFiles files;
  KeyPair ca, other_ca;
  std::shared_ptr<boost::asio::ssl::context> tls;
  boost::asio::ip::tcp::acceptor acceptor, plain_acceptor;
  boost::asio::steady_timer down;
  Store store;
  Access access;
  Faults faults;
  Api api;
  std::unique_ptr<Replay> replay;
  std::unique_ptr<Load> load;
  Counters counters;
  std::list<Connection*> connections;
  Server* server = nullptr;  // nullptr once it is gone.
};

void accept_connections(std::shared_ptr<Server::State> state, bool plain);
std::shared_ptr<boost::asio::ssl::context> make_tls(const KeyPair& ca, const KeyPair& certificate);

// Requests under /admin, of the plain port.
Answer admin(Server::State& state, const Request& request);

}  // namespace sluice::test::kube
