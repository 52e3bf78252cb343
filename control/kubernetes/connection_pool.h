// ConnectionPool: opens connections to the API server, keeps idle ones, and limits how many are
// used at once. Ownership: by ApiClient; a Lease holds a place in it. Thread: the executor's, one.
// Errors: HttpProblem.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "control/kubernetes/transport.h"

namespace sluice::kube {

class ConnectionPool : public std::enable_shared_from_this<ConnectionPool> {
 public:
  using Clock = std::chrono::steady_clock;

  ConnectionPool(boost::asio::any_io_executor executor, ServerAccess access,
                 ApiClientOptions options);

  // A place among max_connections, given back when it goes. Waiters get theirs in order.
  class Place {
   public:
    explicit Place(std::shared_ptr<ConnectionPool> pool) : pool_(std::move(pool)) {}
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    ~Place();
    // False: the deadline passed.
    boost::asio::awaitable<bool> take(Clock::time_point deadline);

   private:
    struct Waiter;
    friend class ConnectionPool;
    std::shared_ptr<ConnectionPool> pool_;
    std::shared_ptr<Waiter> waiter_;
    bool taken_ = false;
  };

  struct Connection {
    std::shared_ptr<Transport> transport;
    std::shared_ptr<boost::asio::ssl::context> context;  // What it shows.
    bool reused = false;
    std::optional<HttpProblem> problem;
  };
  // An idle one unless `fresh`, else a new one; close() ends either.
  boost::asio::awaitable<Connection> get(bool fresh, Clock::time_point deadline);
  // After a whole exchange, to be used again.
  void put_back(const Connection& connection);

  Credentials& credentials() { return credentials_; }
  // Reads certificates and key again at once; true if they are others. Idle connections that show
  // the old ones are closed.
  bool reread_tls();
  void close();  // For good: get() fails from now on.

  const ApiClientOptions& options() const { return options_; }
  const boost::asio::any_io_executor& executor() const { return executor_; }

 private:
  struct Idle {
    std::shared_ptr<Transport> transport;
    Clock::time_point since;
    std::shared_ptr<boost::asio::ssl::context> context;
  };

  Status refresh_context(bool force);
  std::shared_ptr<Transport> take_idle();

  boost::asio::any_io_executor executor_;
  Credentials credentials_;
  ApiClientOptions options_;
  TlsMaterial material_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::vector<Idle> idle_;
  std::vector<std::weak_ptr<Transport>> all_;
  std::vector<std::shared_ptr<Place::Waiter>> waiting_;
  std::size_t used_ = 0;
  bool closed_ = false;
};

}  // namespace sluice::kube
