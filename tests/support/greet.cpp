// greet: a server that speaks first, behind the PROXY protocol, and its client.
//
//   greet serve PORT     reads a PROXY v2 header, answers "220 CLIENT-ADDRESS CLIENT-PORT\n" before
//   any
//                        data of the client's, then echoes what comes; without a header within 5 s,
//                        or with a wrong one, it answers "554 WHY\n" and closes
//   greet ask ADDRESS PORT COUNT BYTES
//                        COUNT connections, one after the other: with BYTES 0 each waits for the
//                        greeting and then says a line; else each sends BYTES at once. The greeting
//                        must name the client's own address and port, the echo be what was sent.
//                        -> "greeted N failed F slowest MS"; why one failed goes to standard error.
//                        Each may take a minute: where packets are lost, a handshake's last ACK
//                        comes again after 1, 3, 7 and 15 s, and Linux takes that for its
//                        round-trip time.
//
// The server has a thread for each connection. Source: the PROXY protocol, versions 1 & 2, 2.2.
#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

namespace {

constexpr std::string_view kSignature("\r\n\r\n\0\r\nQUIT\n", 12);

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

void set_patience(int fd, int seconds) {
  const timeval patience{seconds, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
}

bool read_all(int fd, char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t got = recv(fd, data, bytes, 0);
    if (got <= 0) return false;
    data += got;
    bytes -= static_cast<std::size_t>(got);
  }
  return true;
}

bool write_all(int fd, const char* data, std::size_t bytes) {
  while (bytes > 0) {
    const ssize_t put = send(fd, data, bytes, MSG_NOSIGNAL);
    if (put <= 0) return false;
    data += put;
    bytes -= static_cast<std::size_t>(put);
  }
  return true;
}

std::string endpoint_text(int family, const void* address, std::uint16_t port) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, address, text.data(), text.size());
  return std::string(text.data()) + " " + std::to_string(ntohs(port));
}

// The greeting: by what the header says, or what is wrong with it.
std::string read_header(int fd) {
  std::array<char, 16> head{};
  if (!read_all(fd, head.data(), head.size())) return "554 no header\n";
  if (std::string_view(head.data(), 12) != kSignature || head[12] != 0x21)
    return "554 not PROXY v2\n";
  std::uint16_t length;
  std::memcpy(&length, &head[14], sizeof length);
  const bool v4 = head[13] == 0x11;
  const std::size_t addresses = v4 ? 12 : 36, address_bytes = v4 ? 4 : 16;
  std::array<char, 512> rest{};
  if ((!v4 && head[13] != 0x21) || ntohs(length) < addresses || ntohs(length) > rest.size())
    return "554 not TCP over IPv4 or IPv6\n";
  if (!read_all(fd, rest.data(), ntohs(length))) return "554 half a header\n";
  std::uint16_t port;
  std::memcpy(&port, &rest[2 * address_bytes], sizeof port);
  return "220 " + endpoint_text(v4 ? AF_INET : AF_INET6, rest.data(), port) + "\n";
}

void converse(int fd) {
  set_patience(fd, 5);
  const std::string greeting = read_header(fd);
  bool alive = write_all(fd, greeting.data(), greeting.size()) && greeting[0] == '2';
  set_patience(fd, 30);
  std::array<char, 65536> data{};
  while (alive) {
    const ssize_t got = recv(fd, data.data(), data.size(), 0);
    alive = got > 0 && write_all(fd, data.data(), static_cast<std::size_t>(got));
  }
  close(fd);
}

int serve(int port) {
  const int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1, off = 0;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(static_cast<std::uint16_t>(port));
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, 1024) != 0) die("listen");
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd >= 0) std::thread(converse, fd).detach();
  }
}

std::string own_endpoint(int fd) {
  sockaddr_storage own{};
  socklen_t size = sizeof own;
  getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size);
  if (own.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(own);
    return endpoint_text(AF_INET, &v4.sin_addr, v4.sin_port);
  }
  const auto& v6 = reinterpret_cast<const sockaddr_in6&>(own);
  return endpoint_text(AF_INET6, &v6.sin6_addr, v6.sin6_port);
}

// What went wrong; empty: nothing.
std::string ask_once(int fd, const addrinfo& target, const std::string& text, bool at_once) {
  set_patience(fd, 60);
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(fd, target.ai_addr, target.ai_addrlen) != 0) return "no connection";
  if (at_once && !write_all(fd, text.data(), text.size())) return "could not send";
  const std::string wanted = "220 " + own_endpoint(fd) + "\n";
  std::string greeting;
  for (char c = 0; c != '\n'; greeting += c) {
    if (!read_all(fd, &c, 1)) return "no greeting";
  }
  if (greeting != wanted) return "greeting " + greeting + "instead of " + wanted;
  if (!at_once && !write_all(fd, text.data(), text.size())) return "could not answer";
  std::string echo(text.size(), '\0');
  if (!read_all(fd, echo.data(), echo.size())) return "no echo";
  return echo == text ? "" : "another echo";
}

int ask(const char* address, const char* port, int count, int bytes) {
  addrinfo hints{}, *target = nullptr;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  if (getaddrinfo(address, port, &hints, &target) != 0) die(address);
  std::string text = "hello\n";
  if (bytes > 0) {
    text.clear();
    for (int i = 0; i < bytes; ++i) text += static_cast<char>('a' + i % 23);
  }
  int greeted = 0;
  long slowest = 0;
  for (int i = 0; i < count; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const int fd = socket(target->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    const std::string wrong = ask_once(fd, *target, text, bytes > 0);
    close(fd);
    const auto took = std::chrono::steady_clock::now() - start;
    slowest = std::max(
        slowest,
        static_cast<long>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count()));
    if (wrong.empty()) ++greeted;
    if (!wrong.empty()) std::fprintf(stderr, "greet: %s\n", wrong.c_str());
  }
  std::printf("greeted %d failed %d slowest %ld\n", greeted, count - greeted, slowest);
  freeaddrinfo(target);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc == 3 && std::string_view(argv[1]) == "serve") return serve(std::atoi(argv[2]));
  if (argc == 6 && std::string_view(argv[1]) == "ask")
    return ask(argv[2], argv[3], std::atoi(argv[4]), std::atoi(argv[5]));
  std::fputs("usage: greet serve PORT | greet ask ADDRESS PORT COUNT BYTES\n", stderr);
  return 2;
}
