// talk: a server that answers with its name, and a client that holds many flows to it.
//
//   talk serve NAME PORT              TCP and UDP, both families; every line or datagram is answered "NAME\n"
//   talk hold tcp|udp ADDRESS PORT    reads commands from standard input, one answer line each:
//       open N    opens N flows, asks each for a name     -> "opened N failed F"
//       check     asks every flow again, in random order  -> "flows N same S moved M broken B NAME:S/M/B ..."
//                 (same: the backend that answered first; moved: another one; broken: none)
//       close     closes all                              -> "closed N"
//
// One thread. The server uses epoll; the client is sequential on purpose: each answer is its flow's own.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int listen_on(int type, int port) {
  int fd = socket(AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  int on = 1, off = 0;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(port));
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (type == SOCK_STREAM && listen(fd, 65535) != 0) die("listen");
  return fd;
}

// Answers a datagram from the address it was sent to, as a server behind a VIP on lo must.
void answer_datagram(int fd, const std::string& reply) {
  char data[2048], control[256];
  sockaddr_in6 peer{};
  iovec in{data, sizeof data};
  msghdr message{};
  message.msg_name = &peer;
  message.msg_namelen = sizeof peer;
  message.msg_iov = &in;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  while (recvmsg(fd, &message, 0) >= 0) {
    iovec out{const_cast<char*>(reply.data()), reply.size()};
    message.msg_iov = &out;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != IPPROTO_IPV6 || c->cmsg_type != IPV6_PKTINFO) continue;
      reinterpret_cast<in6_pktinfo*>(CMSG_DATA(c))->ipi6_ifindex = 0;
    }
    sendmsg(fd, &message, 0);
    message.msg_iov = &in;
    message.msg_namelen = sizeof peer;
    message.msg_controllen = sizeof control;
  }
}

int serve(const std::string& name, int port) {
  const std::string reply = name + "\n";
  int streams = listen_on(SOCK_STREAM, port), datagrams = listen_on(SOCK_DGRAM, port);
  int on = 1;
  setsockopt(datagrams, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
  int poll = epoll_create1(EPOLL_CLOEXEC);
  for (int fd : {streams, datagrams}) {
    epoll_event event{EPOLLIN, {.fd = fd}};
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &event);
  }
  epoll_event events[256];
  for (;;) {
    int n = epoll_wait(poll, events, 256, -1);
    for (int i = 0; i < n; ++i) {
      int fd = events[i].data.fd;
      if (fd == streams) {
        int connection;
        while ((connection = accept4(streams, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
          setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
          epoll_event event{EPOLLIN, {.fd = connection}};
          epoll_ctl(poll, EPOLL_CTL_ADD, connection, &event);
        }
      } else if (fd == datagrams) {
        answer_datagram(fd, reply);
      } else {
        char buffer[4096];
        ssize_t got = read(fd, buffer, sizeof buffer);
        if (got <= 0 && !(got < 0 && errno == EAGAIN)) {
          close(fd);
          continue;
        }
        for (ssize_t lines = std::count(buffer, buffer + std::max<ssize_t>(got, 0), '\n'); lines > 0; --lines) {
          if (write(fd, reply.data(), reply.size()) < 0) break;
        }
      }
    }
  }
}

struct Flow {
  int fd;
  std::string backend;
};

class Holder {
 public:
  Holder(bool tcp, const char* address, const char* port) : tcp_(tcp) {
    addrinfo hints{};
    hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
    hints.ai_socktype = tcp ? SOCK_STREAM : SOCK_DGRAM;
    if (getaddrinfo(address, port, &hints, &target_) != 0) {
      std::fprintf(stderr, "talk: %s port %s is no address\n", address, port);
      std::exit(2);
    }
  }

  void open(int count) {
    int opened = 0;
    for (int i = 0; i < count; ++i) {
      int fd = socket(target_->ai_family, target_->ai_socktype | SOCK_CLOEXEC, 0);
      if (fd < 0) die("socket");
      timeval patience{5, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
      int on = 1;
      if (tcp_) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      std::string backend;
      if (connect(fd, target_->ai_addr, target_->ai_addrlen) == 0) backend = ask(fd);
      if (backend.empty()) {
        close(fd);
        continue;
      }
      flows_.push_back({fd, backend});
      ++opened;
    }
    std::cout << "opened " << opened << " failed " << count - opened << std::endl;
  }

  void check() {
    struct Count {
      int same = 0, moved = 0, broken = 0;
    };
    std::map<std::string, Count> by_backend;
    std::shuffle(flows_.begin(), flows_.end(), random_);
    Count all;
    for (Flow& flow : flows_) {
      std::string now = ask(flow.fd);
      auto field = now.empty() ? &Count::broken : now == flow.backend ? &Count::same : &Count::moved;
      ++(by_backend[flow.backend].*field);
      ++(all.*field);
    }
    std::cout << "flows " << flows_.size() << " same " << all.same << " moved " << all.moved << " broken " << all.broken;
    for (const auto& [name, count] : by_backend) {
      std::cout << ' ' << name << ':' << count.same << '/' << count.moved << '/' << count.broken;
    }
    std::cout << std::endl;
  }

  void close_all() {
    for (Flow& flow : flows_) close(flow.fd);
    std::cout << "closed " << flows_.size() << std::endl;
    flows_.clear();
  }

 private:
  // The name the flow's backend answers with; empty when none does.
  std::string ask(int fd) {
    std::string answer;
    // A datagram may be lost on the way: that is no broken flow. Three tries.
    for (int tries = tcp_ ? 1 : 3; tries > 0 && answer.empty(); --tries) {
      if (send(fd, "?\n", 2, MSG_NOSIGNAL) != 2) return {};
      char buffer[256];
      while (answer.empty() || answer.back() != '\n') {
        ssize_t got = recv(fd, buffer, sizeof buffer, 0);
        if (got <= 0) {
          answer.clear();
          break;
        }
        answer.append(buffer, static_cast<std::size_t>(got));
      }
    }
    if (!answer.empty()) answer.pop_back();
    return answer;
  }

  bool tcp_;
  addrinfo* target_ = nullptr;
  std::vector<Flow> flows_;
  std::mt19937 random_{20261122};
};

int hold(bool tcp, const char* address, const char* port) {
  Holder holder(tcp, address, port);
  std::string line;
  while (std::getline(std::cin, line)) {
    if (line.starts_with("open ")) {
      holder.open(std::atoi(line.c_str() + 5));
    } else if (line == "check") {
      holder.check();
    } else if (line == "close") {
      holder.close_all();
    } else {
      std::cout << "unknown command: " << line << std::endl;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  rlimit files{1 << 20, 1 << 20};
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) {
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  std::signal(SIGPIPE, SIG_IGN);
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() == 3 && arguments[0] == "serve") return serve(arguments[1], std::atoi(argv[3]));
  if (arguments.size() == 4 && arguments[0] == "hold" && (arguments[1] == "tcp" || arguments[1] == "udp")) {
    return hold(arguments[1] == "tcp", argv[3], argv[4]);
  }
  std::fputs("usage: talk serve NAME PORT | talk hold tcp|udp ADDRESS PORT\n", stderr);
  return 2;
}
