#include "control/kubernetes/connection_pool.h"

#include <spdlog/spdlog.h>

#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

#include "control/kubernetes/tls.h"

namespace sluice::kube {

namespace asio = boost::asio;
using boost::system::error_code;

struct ConnectionPool::Place::Waiter {
  Waiter(const asio::any_io_executor& executor, Clock::time_point deadline)
      : timer(executor, deadline) {}
  asio::steady_timer timer;
  bool granted = false;
};

asio::awaitable<bool> ConnectionPool::Place::take(Clock::time_point deadline) {
  if (pool_->used_ < pool_->options_.max_connections) {
    ++pool_->used_;
    taken_ = true;
    co_return true;
  }
  waiter_ = std::make_shared<Waiter>(pool_->executor_, deadline);
  pool_->waiting_.push_back(waiter_);
  error_code woken;
  co_await waiter_->timer.async_wait(asio::redirect_error(asio::use_awaitable, woken));
  co_return waiter_->granted;
}

ConnectionPool::Place::~Place() {
  if (waiter_ && !waiter_->granted) {
    std::erase(pool_->waiting_, waiter_);
    return;
  }
  if (!taken_ && !waiter_) return;
  if (pool_->waiting_.empty()) {
    --pool_->used_;
    return;
  }
  const std::shared_ptr<Waiter> next = pool_->waiting_.front();
  pool_->waiting_.erase(pool_->waiting_.begin());
  next->granted = true;
  next->timer.cancel();
}

ConnectionPool::ConnectionPool(asio::any_io_executor executor, ServerAccess access,
                               ApiClientOptions options)
    : executor_(std::move(executor)),
      credentials_(std::move(access)),
      options_(std::move(options)) {}

Status ConnectionPool::refresh_context(bool force) {
  Result<TlsMaterial> material = credentials_.tls(Clock::now(), force);
  if (!material) return Error{material.error()};
  if (context_ && *material == material_) return Ok{};
  auto context = make_tls_context(*material);
  if (context) {
    context_ = *context;
    material_ = std::move(*material);
  } else if (!context_) {
    return Error{credentials_.access().origin + ": " + context.error()};
  } else {
    // Half-written files are whole at the next look.
    spdlog::warn("the last certificates stay in use reason=\"{}\"", context.error());
  }
  return Ok{};
}

bool ConnectionPool::reread_tls() {
  if (!credentials_.access().tls) return false;
  const auto before = context_;
  return refresh_context(true) && context_ != before;
}

std::shared_ptr<Transport> ConnectionPool::take_idle() {
  while (!idle_.empty()) {
    const Idle idle = std::move(idle_.back());
    idle_.pop_back();
    const bool good = idle.context == context_ && Clock::now() - idle.since < options_.keep_alive &&
                      !idle.transport->stale();
    if (good) return idle.transport;
    idle.transport->close();
  }
  return nullptr;
}

asio::awaitable<ConnectionPool::Connection> ConnectionPool::get(bool fresh,
                                                                Clock::time_point deadline) {
  const auto self = shared_from_this();
  Connection connection;
  if (closed_) {
    connection.problem = HttpProblem{Failure::kTransport, "the client is closed"};
    co_return connection;
  }
  if (credentials_.access().tls) {
    if (const Status ready = refresh_context(false); !ready) {
      connection.problem = HttpProblem{Failure::kCredentials, ready.error()};
      co_return connection;
    }
  }
  connection.context = context_;
  if (!fresh) connection.transport = take_idle();
  if (connection.transport) {
    connection.reused = true;
    co_return connection;
  }
  connection.transport = std::make_shared<Transport>(executor_, context_);
  std::erase_if(all_, [](const auto& known) { return known.expired(); });
  all_.push_back(connection.transport);
  const auto limit = std::min(deadline, Clock::now() + options_.connect_timeout);
  connection.problem = co_await connection.transport->connect(credentials_.access(), limit);
  co_return connection;
}

void ConnectionPool::put_back(const Connection& connection) {
  if (!closed_) idle_.push_back({connection.transport, Clock::now(), connection.context});
}

void ConnectionPool::close() {
  closed_ = true;
  idle_.clear();
  for (const auto& known : all_) {
    if (const auto transport = known.lock()) transport->close();
  }
  all_.clear();
}

}  // namespace sluice::kube
