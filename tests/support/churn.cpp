// churn: short connections, and how long each takes.
//
//   churn serve PORT     answers the first bytes of each connection with "ok\n" and closes it
//   first, so
//                        that it is the server which keeps the connection in TIME_WAIT
//   churn run ADDRESS PORT COUNT AT-ONCE
//                        COUNT connections, AT-ONCE at a time, each timed from its SYN to the
//                        server's FIN -> "done N failed F late L slowest US median US resent R
//                        stalled MS" late: over 100 ms; resent: connections with a segment sent
//                        again; stalled: the longest time in which this process itself did not run
//
// One thread each, with epoll.
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::int64_t kLate = 100'000;       // Microseconds.
constexpr std::int64_t kGivenUp = 5'000'000;  // The same.

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::int64_t microseconds(Clock::duration time) {
  return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
}

void watch(int poll, int fd, std::uint32_t events, std::uint32_t index) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = std::uint64_t{index} << 32 | static_cast<std::uint32_t>(fd);
  if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

int serve(int port) {
  const int listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1, off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, 65535) != 0) die("listen");
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  watch(poll, listener, EPOLLIN, 0);
  std::array<epoll_event, 256> events{};
  for (;;) {
    const int ready = epoll_wait(poll, events.data(), events.size(), -1);
    for (int i = 0; i < ready; ++i) {
      const int fd = static_cast<int>(static_cast<std::uint32_t>(events[i].data.u64));
      if (fd == listener) {
        int connection;
        while ((connection = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
               0) {
          watch(poll, connection, EPOLLIN, 0);
        }
        continue;
      }
      std::array<char, 64> data;
      if (recv(fd, data.data(), data.size(), 0) > 0) send(fd, "ok\n", 3, MSG_NOSIGNAL);
      close(fd);
    }
  }
}

class Churner {
 public:
  Churner(const addrinfo& target, std::uint32_t count, std::uint32_t at_once)
      : target_(target), left_(count), open_(at_once), poll_(epoll_create1(EPOLL_CLOEXEC)) {
    times_.reserve(count);
  }

  void run() {
    for (std::uint32_t i = 0; i < open_.size() && left_ > 0; ++i) begin(i);
    std::array<epoll_event, 256> events{};
    auto last = Clock::now();
    while (active_ > 0) {
      const int ready = epoll_wait(poll_, events.data(), events.size(), 10);
      const auto now = Clock::now();
      stalled_ = std::max(stalled_, microseconds(now - last) - 10'000);
      last = now;
      for (int i = 0; i < ready; ++i) advance(static_cast<std::uint32_t>(events[i].data.u64 >> 32));
      if (ready == 0) give_up(now);
    }
  }

  void print() {
    std::sort(times_.begin(), times_.end());
    const auto late = times_.end() - std::upper_bound(times_.begin(), times_.end(), kLate);
    std::printf("done %zu failed %u late %td slowest %ld median %ld resent %u stalled %ld\n",
                times_.size(), failed_, late, times_.empty() ? 0L : times_.back(),
                times_.empty() ? 0L : times_[times_.size() / 2], resent_, stalled_ / 1000);
  }

 private:
  struct Open {
    int fd = -1;
    bool asked = false;
    Clock::time_point start;
  };

  void begin(std::uint32_t index) {
    Open& open = open_[index];
    open = {socket(target_.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), false,
            Clock::now()};
    if (open.fd < 0) die("socket");
    --left_;
    ++active_;
    if (connect(open.fd, target_.ai_addr, target_.ai_addrlen) != 0 && errno != EINPROGRESS)
      die("connect");
    watch(poll_, open.fd, EPOLLIN | EPOLLOUT | EPOLLET, index);
  }

  void advance(std::uint32_t index) {
    Open& open = open_[index];
    if (!open.asked) {
      if (send(open.fd, "?", 1, MSG_NOSIGNAL) != 1) {
        if (errno != EAGAIN && errno != ENOTCONN) end(index, false);
        return;
      }
      open.asked = true;
    }
    std::array<char, 64> data;
    ssize_t got;
    do {
      got = recv(open.fd, data.data(), data.size(), 0);
    } while (got > 0);
    if (got == 0) return end(index, true);
    if (errno != EAGAIN) end(index, false);
  }

  void end(std::uint32_t index, bool well) {
    Open& open = open_[index];
    tcp_info info{};
    socklen_t size = sizeof info;
    getsockopt(open.fd, IPPROTO_TCP, TCP_INFO, &info, &size);
    if (info.tcpi_total_retrans > 0) ++resent_;
    if (well) times_.push_back(microseconds(Clock::now() - open.start));
    if (!well) ++failed_;
    close(open.fd);
    open.fd = -1;
    --active_;
    if (left_ > 0) begin(index);
  }

  void give_up(Clock::time_point now) {
    for (std::uint32_t i = 0; i < open_.size(); ++i) {
      if (open_[i].fd >= 0 && microseconds(now - open_[i].start) > kGivenUp) end(i, false);
    }
  }

  const addrinfo& target_;
  std::uint32_t left_, active_ = 0, failed_ = 0, resent_ = 0;
  std::int64_t stalled_ = 0;
  std::vector<Open> open_;
  std::vector<std::int64_t> times_;
  int poll_;
};

int run(const char* address, const char* port, int count, int at_once) {
  addrinfo hints{}, *target = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(address, port, &hints, &target) != 0) die(address);
  if (count < 1 || at_once < 1) die("COUNT and AT-ONCE are at least 1");
  Churner churner(*target, static_cast<std::uint32_t>(count), static_cast<std::uint32_t>(at_once));
  churner.run();
  churner.print();
  freeaddrinfo(target);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const rlimit files{65536, 65536};
  setrlimit(RLIMIT_NOFILE, &files);
  std::signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && std::string_view(argv[1]) == "serve") return serve(std::atoi(argv[2]));
  if (argc == 6 && std::string_view(argv[1]) == "run")
    return run(argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  std::fputs("usage: churn serve PORT | churn run ADDRESS PORT COUNT AT-ONCE\n", stderr);
  return 2;
}
