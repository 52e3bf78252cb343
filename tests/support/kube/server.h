// Server: a fake Kubernetes API server over TLS, with a plain port for drivers.
// Purpose: clients and tests that need a real API server's answers, watches, refusals and faults.
// The plain port serves the same API as the user "admin" with no authentication, and /admin
// (see README.md); both listen on 127.0.0.1, at ports the system chose.
// Ownership: owns its sockets, and its folder when it made one. Thread: the executor's, one: every
// call and the Store belong to it; ServerThread brings a thread along.
// Errors: std::runtime_error when it cannot start, which fails the test.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "tests/support/kube/access.h"
#include "tests/support/kube/fault.h"
#include "tests/support/kube/store.h"

namespace sluice::test::kube {

struct ServerOptions {
  // Certificates, tokens and kubeconfigs are written here; empty: a folder of its own, removed at
  // the end.
  std::string folder;
  std::string replay;                   // Folder of recordings to serve; empty: the store alone.
  std::size_t history = 100'000;        // Changes kept for watches.
  bool watch_list = true;               // Offers sendInitialEvents (WatchList).
  std::size_t gzip_above = 128 * 1024;  // Bodies of lists, when the client accepts gzip.
  std::chrono::milliseconds bookmarks{60'000};  // How often a watch gets one.
  std::uint16_t port = 0, plain_port = 0;       // 0: the system chooses.
};

// What the folder holds. The tokens are known from the start: "admin-token" (system:masters),
// "nobody-token" (no rights), "agent-token" (system:serviceaccount:sluice-system:sluice-agent,
// whose rights come from Access::load_manifests or allow).
struct ClientFiles {
  std::string ca;                // ca.crt
  std::string kubeconfig;        // Client certificate of the user "admin".
  std::string token_kubeconfig;  // agent-token.
  std::string service_account;   // Folder with token, ca.crt and namespace, as in a Pod.
  std::string admin_certificate, admin_key;
};

enum class Certificate { kGood, kExpired, kWrongName, kOtherCa };

class Replay;

class Server {
 public:
  Server(boost::asio::any_io_executor executor, ServerOptions options = {});
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;        // TLS.
  std::uint16_t plain_port() const;  // HTTP.
  std::string url() const;           // "https://127.0.0.1:PORT"
  std::string plain_url() const;     // "http://127.0.0.1:PORT"
  const ClientFiles& files() const;

  Store& store();
  Access& access();
  Faults& faults();
  Replay* replay();  // nullptr without recordings.

  // After a change of Replay's hold.
  void wake_watches();
  // The objects and resourceVersion of Store::save; connections are dropped.
  bool restore(const std::string& name);
  // Ends every watch: with the last chunk, or by cutting the connection.
  void drop_watches(bool cut = true);
  void drop_connections();  // Of the TLS port.
  // Closes everything; listens again after `down`, with the same objects and no history, as a
  // restarted kube-apiserver's watch cache.
  void restart(std::chrono::milliseconds down = {});
  // Shown to new connections; the open ones are closed.
  void certificate(Certificate certificate);

  struct Counters {
    std::uint64_t requests = 0, lists = 0, watches = 0, writes = 0, events = 0, refused = 0;
    std::size_t open_watches = 0, open_connections = 0;
  };
  Counters counters() const;

  struct State;  // server_state.h

 private:
  std::shared_ptr<State> state_;
};

// A Server on a thread of its own.
class ServerThread {
 public:
  explicit ServerThread(ServerOptions options = {});
  ~ServerThread();
  ServerThread(const ServerThread&) = delete;
  ServerThread& operator=(const ServerThread&) = delete;

  // Runs `work` on the server's thread and waits for it: the only way to its Store from another.
  void run(const std::function<void(Server&)>& work);
  // Fixed after the start: any thread.
  std::string url() const;
  std::string plain_url() const;
  std::uint16_t port() const;
  const ClientFiles& files() const;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace sluice::test::kube
