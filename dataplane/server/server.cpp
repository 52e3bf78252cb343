#include "dataplane/server/server.h"

#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "dataplane/server/connection.h"

namespace sluice {
namespace {

// What an epoll event belongs to; clients have the numbers after these.
constexpr std::uint64_t kListener = 0, kWake = 1, kFirstClient = 2;
constexpr int kSlowCheckMs = 500;

std::uint16_t ticks(std::uint32_t seconds, std::uint16_t by_default) {
  if (seconds == 0) return by_default;
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(seconds, kMaxTimer / kTicksPerSecond) *
                                    kTicksPerSecond);
}

}  // namespace

ServerConfig server_config(const v1::Dataplane& dataplane, std::string version) {
  ServerConfig config;
  config.socket = dataplane.socket();
  config.limits.vips = dataplane.tables().vips();
  config.limits.backends = dataplane.tables().backends();
  const v1::TimerDefaults& timers = dataplane.timers();
  config.timers.tcp_handshake = ticks(timers.tcp_handshake(), config.timers.tcp_handshake);
  config.timers.tcp_established = ticks(timers.tcp_established(), config.timers.tcp_established);
  config.timers.tcp_closing = ticks(timers.tcp_closing(), config.timers.tcp_closing);
  config.timers.udp = ticks(timers.udp(), config.timers.udp);
  config.timers.udp_weak = ticks(timers.udp_weak(), config.timers.udp_weak);
  config.version = std::move(version);
  return config;
}

Result<std::unique_ptr<Server>> Server::create(ServerConfig config, Host& host) {
  Result<UnixListener> listener = UnixListener::open(config.socket);
  if (!listener) return Error{listener.error()};
  std::unique_ptr<Server> server(new Server(std::move(config), host, std::move(*listener)));
  if (Status status = server->set_up(); !status) return Error{status.error()};
  return server;
}

Server::Server(ServerConfig config, Host& host, UnixListener listener)
    : config_(std::move(config)),
      listener_(std::move(listener)),
      generations_(host, config_.limits),
      handler_(host, generations_, config_.timers, config_.version),
      next_number_(kFirstClient) {}

Status Server::set_up() {
  epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
  wake_ = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_event listener{.events = EPOLLIN, .data = {.u64 = kListener}};
  epoll_event wake{.events = EPOLLIN, .data = {.u64 = kWake}};
  if (epoll_ < 0 || wake_ < 0 ||
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, listener_.fd(), &listener) != 0 ||
      ::epoll_ctl(epoll_, EPOLL_CTL_ADD, wake_, &wake) != 0) {
    return Error{std::string("the server of the control socket cannot start: ") +
                 std::strerror(errno)};
  }
  spdlog::info("serving control socket={} vips={} backends={}", config_.socket, config_.limits.vips,
               config_.limits.backends);
  return Ok{};
}

Server::~Server() {
  connections_.clear();
  if (epoll_ >= 0) ::close(epoll_);
  if (wake_ >= 0) ::close(wake_);
}

void Server::run() {
  while (!stopping_) poll(-1);
}

void Server::stop() {
  const std::uint64_t one = 1;
  (void)!::write(wake_, &one, sizeof(one));
}

// No longer than what is due without an event: grace periods, sweeps, slow clients.
int Server::wait_ms(int timeout_ms) const {
  int wait = timeout_ms < 0 ? INT_MAX : timeout_ms;
  if (const int due = generations_.poll_interval_ms(); due >= 0) wait = std::min(wait, due);
  for (const auto& [number, connection] : connections_) {
    if (connection->wants_write()) wait = std::min(wait, kSlowCheckMs);
  }
  return wait == INT_MAX ? -1 : wait;
}

void Server::poll(int timeout_ms) {
  epoll_event events[16];
  const int count = ::epoll_wait(epoll_, events, std::size(events), wait_ms(timeout_ms));
  for (int i = 0; i < count; ++i) {
    switch (events[i].data.u64) {
      case kListener:
        accept_clients();
        break;
      case kWake:
        stopping_ = true;
        break;
      default:
        serve(events[i].data.u64, events[i].events);
    }
  }
  generations_.poll();
  drop_slow_clients();
}

void Server::accept_clients() {
  for (int fd = listener_.accept(); fd >= 0; fd = listener_.accept()) {
    auto connection = std::make_unique<Connection>(fd, next_number_, handler_);
    if (connections_.size() >= config_.max_clients) {
      spdlog::warn("client refused reason=\"{} are connected\"", connections_.size());
      (void)connection->refuse("there are " + std::to_string(connections_.size()) +
                               " clients already, the most this dataplane serves; close one");
      continue;
    }
    watch(next_number_, *connection, EPOLL_CTL_ADD);
    connections_.emplace(next_number_++, std::move(connection));
  }
}

void Server::serve(std::uint64_t number, std::uint32_t events) {
  const auto it = connections_.find(number);
  if (it == connections_.end()) return;  // Ended by an earlier event of the same wait.
  Connection& connection = *it->second;
  bool alive = true;
  if (connection.wants_write()) alive = connection.on_writable();
  if (alive && connection.wants_read() && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
    alive = connection.on_readable();
  }
  if (alive) {
    watch(number, connection, EPOLL_CTL_MOD);
  } else {
    connections_.erase(it);
  }
}

void Server::watch(std::uint64_t number, const Connection& connection, int operation) const {
  epoll_event event{.events = 0, .data = {.u64 = number}};
  if (connection.wants_read()) event.events |= EPOLLIN;
  if (connection.wants_write()) event.events |= EPOLLOUT;
  ::epoll_ctl(epoll_, operation, connection.fd(), &event);
}

void Server::drop_slow_clients() {
  const auto now = Connection::Clock::now();
  std::erase_if(connections_, [&](const auto& entry) {
    const Connection& connection = *entry.second;
    if (!connection.wants_write() || now - connection.stalled_since() < config_.client_timeout)
      return false;
    spdlog::warn("connection ended number={} client=\"{}\" reason=\"takes no replies\"",
                 entry.first, connection.session().name);
    return true;
  });
}

}  // namespace sluice
