#include "dataplane/kernel/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "dataplane/kernel/slow_path.h"

namespace sluice {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int take() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Error tap_error(const std::string& name, const char* doing, int error) {
  return Error{"TAP " + name + ": " + doing + ": " + std::strerror(error)};
}

Error attach_error(const std::string& name, int error) {
  std::string text = "TAP " + name + ": ";
  switch (error) {
    case EBUSY:
      text += "another process has it; is another sluice-dataplane running with this port?";
      break;
    case EINVAL:
      text +=
          "an interface of this name exists and is not a plain TAP; give the port another name "
          "(dataplane.ports[].name) or rename the interface";
      break;
    case EPERM:
      text += "not permitted; sluice-dataplane needs CAP_NET_ADMIN";
      break;
    default:
      text += std::string("cannot attach: ") + std::strerror(error);
  }
  return Error{text};
}

ifreq request_for(const std::string& name) {
  ifreq request{};
  std::memcpy(request.ifr_name, name.data(), name.size());
  return request;
}

// The MAC only if it differs: setting it makes the kernel forget IPv6 addresses made from it.
Status configure(const PortInfo& port, int control) {
  ifreq request = request_for(port.name);
  if (ioctl(control, SIOCGIFHWADDR, &request) < 0) return tap_error(port.name, "read MAC", errno);
  if (std::memcmp(request.ifr_hwaddr.sa_data, port.mac, sizeof port.mac) != 0) {
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    std::memcpy(request.ifr_hwaddr.sa_data, port.mac, sizeof port.mac);
    if (ioctl(control, SIOCSIFHWADDR, &request) < 0) return tap_error(port.name, "set MAC", errno);
  }
  request = request_for(port.name);
  request.ifr_mtu = static_cast<int>(port.mtu);
  if (ioctl(control, SIOCSIFMTU, &request) < 0) return tap_error(port.name, "set MTU", errno);
  request = request_for(port.name);
  if (ioctl(control, SIOCGIFFLAGS, &request) < 0) return tap_error(port.name, "read flags", errno);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (ioctl(control, SIOCSIFFLAGS, &request) < 0) return tap_error(port.name, "bring up", errno);
  return Ok{};
}

}  // namespace

Result<std::unique_ptr<Tap>> Tap::open(const PortInfo& port) {
  if (port.name.empty() || port.name.size() >= IFNAMSIZ) {
    return Error{"TAP " + port.name + ": a port's name has 1 to 15 characters"};
  }
  Descriptor tun(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (tun.get() < 0) {
    return Error{std::string("cannot open /dev/net/tun: ") + std::strerror(errno) +
                 "; load the tun module, and run with CAP_NET_ADMIN"};
  }
  ifreq request = request_for(port.name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (ioctl(tun.get(), TUNSETIFF, &request) < 0) return attach_error(port.name, errno);
  if (ioctl(tun.get(), TUNSETPERSIST, 1) < 0) return tap_error(port.name, "make persistent", errno);
  Descriptor control(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (control.get() < 0) return tap_error(port.name, "open a control socket", errno);
  if (Status status = configure(port, control.get()); !status) return Error{status.error()};
  const unsigned link = if_nametoindex(port.name.c_str());
  if (link == 0) return tap_error(port.name, "find its index", errno);
  return std::unique_ptr<Tap>(new Tap(tun.take(), static_cast<int>(link)));
}

Tap::~Tap() {
  close(fd_);
}

std::size_t Tap::read(std::uint8_t* frame, std::size_t capacity) {
  const ssize_t bytes = ::read(fd_, frame, capacity);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

bool Tap::write(const std::uint8_t* frame, std::size_t length) {
  return ::write(fd_, frame, length) == static_cast<ssize_t>(length);
}

}  // namespace sluice
