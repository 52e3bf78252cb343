// tunnel_peer DEVICE: the end of tunnels for a kernel that has none.
//
// Takes IP-in-IP (protocols 4 and 41) and GUE version 0 (UDP port 6080) over IPv4 and IPv6, and
// writes what is inside to the TUN device it makes and brings up. The other direction carries
// nothing: backends answer clients directly. Needs root. One thread; ends with a signal. Sources:
// RFC 2003, RFC 2473, RFC 4213 (IP in IP); draft-ietf-intarea-gue (GUE).
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr std::uint16_t kGuePort = 6080;
constexpr std::size_t kGueHeader = 4;
constexpr int kReceiveBuffer = 16 << 20;

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int make_tun(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0) die("/dev/net/tun");
  ifreq request{};
  std::snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (ioctl(fd, TUNSETIFF, &request) != 0) die(name);
  const int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  request.ifr_flags = IFF_UP;
  if (any < 0 || ioctl(any, SIOCSIFFLAGS, &request) != 0) die("bringing the device up");
  close(any);
  return fd;
}

int receiver(int family, int type, int protocol) {
  const int fd = socket(family, type | SOCK_CLOEXEC, protocol);
  if (fd < 0) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer);
  return fd;
}

int gue_receiver() {
  const int fd = receiver(AF_INET6, SOCK_DGRAM, 0);
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(kGuePort);
  const int off = 0;
  setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) die("UDP port 6080");
  return fd;
}

// What a socket puts before the packet inside, and what that packet is.
struct Header {
  std::size_t bytes = 0;
  int protocol = 0;  // 0: not for us.
};

Header read_gue(const std::uint8_t* data, std::size_t length) {
  if (length < kGueHeader || data[0] != 0 || data[2] != 0 || data[3] != 0) return {};
  return {kGueHeader, data[1]};
}
Header read_ipv4(const std::uint8_t* data, std::size_t length) {
  if (length < 20) return {};
  return {(data[0] & 15u) * 4u, data[9]};
}

bool is_packet(const std::uint8_t* data, std::size_t length, int protocol) {
  if (protocol == IPPROTO_IPIP) return length >= 20 && data[0] >> 4 == 4;
  return protocol == IPPROTO_IPV6 && length >= 40 && data[0] >> 4 == 6;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: tunnel_peer DEVICE\n", stderr);
    return 2;
  }
  const int tun = make_tun(argv[1]);
  // A raw IPv4 socket gives the outer header too, an IPv6 one does not.
  enum Kind { kGue, kRaw4, kRaw6 };
  struct Source {
    Kind kind;
    int protocol;
  };
  const std::array<Source, 5> sources{{{kGue, 0},
                                       {kRaw4, IPPROTO_IPIP},
                                       {kRaw4, IPPROTO_IPV6},
                                       {kRaw6, IPPROTO_IPIP},
                                       {kRaw6, IPPROTO_IPV6}}};
  std::array<pollfd, sources.size()> polled{};
  for (std::size_t i = 0; i < sources.size(); ++i) {
    const int family = sources[i].kind == kRaw4 ? AF_INET : AF_INET6;
    polled[i].fd =
        sources[i].kind == kGue ? gue_receiver() : receiver(family, SOCK_RAW, sources[i].protocol);
    polled[i].events = POLLIN;
  }
  std::array<std::uint8_t, 65536> buffer{};
  for (;;) {
    if (poll(polled.data(), polled.size(), -1) < 0) die("poll");
    for (std::size_t i = 0; i < sources.size(); ++i) {
      if (polled[i].revents == 0) continue;
      ssize_t got;
      while ((got = recv(polled[i].fd, buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0) {
        const auto length = static_cast<std::size_t>(got);
        Header header{0, sources[i].protocol};
        if (sources[i].kind == kGue) header = read_gue(buffer.data(), length);
        if (sources[i].kind == kRaw4) header = read_ipv4(buffer.data(), length);
        if (header.bytes > length) continue;
        const std::uint8_t* packet = buffer.data() + header.bytes;
        if (!is_packet(packet, length - header.bytes, header.protocol)) continue;
        if (write(tun, packet, length - header.bytes) < 0) std::perror("TUN");
      }
    }
  }
}
