#include "dataplane/server/unix_listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice {
namespace {

constexpr int kBacklog = 16;
constexpr mode_t kMode = 0660;

Error system_error(const std::string& what) {
  return Error{what + ": " + std::strerror(errno)};
}

int new_socket() {
  return ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

bool somebody_listens(const sockaddr_un& address) {
  const int fd = new_socket();
  if (fd < 0) return true;  // Not known: then nothing is removed.
  const bool refused =
      ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 &&
      (errno == ECONNREFUSED || errno == ENOENT);
  ::close(fd);
  return !refused;
}

Status make_room(const std::string& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return Ok{};
    return system_error("socket " + path);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return Error{"socket " + path +
                 ": there is a file that is no socket; remove it, or set another dataplane.socket"};
  }
  if (somebody_listens(address_of(path))) {
    return Error{"socket " + path +
                 ": another process serves it; stop it, or set another dataplane.socket"};
  }
  if (::unlink(path.c_str()) != 0)
    return system_error("socket " + path + ", left by another process");
  return Ok{};
}

}  // namespace

Result<UnixListener> UnixListener::open(const std::string& path) {
  if (path.empty() || path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Error{"socket \"" + path + "\": the path has " + std::to_string(path.size()) +
                 " bytes, 1 to " + std::to_string(sizeof(sockaddr_un::sun_path) - 1) +
                 " are possible; set a shorter dataplane.socket"};
  }
  if (path.find('\0') != std::string::npos) return Error{"the socket's path has a zero byte in it"};
  if (Status status = make_room(path); !status) return Error{status.error()};
  UnixListener listener(new_socket(), path);
  if (listener.fd_ < 0) return system_error("socket " + path);
  if (Status status = listener.bind_and_listen(); !status) return Error{status.error()};
  return listener;
}

Status UnixListener::bind_and_listen() {
  const sockaddr_un address = address_of(path_);
  // On Linux the file gets the descriptor's mode (less the umask): at no moment can more people
  // connect.
  if (::fchmod(fd_, kMode) != 0) return system_error("socket " + path_);
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return system_error("socket " + path_ + " cannot be made, does its directory exist?");
  }
  struct stat info {};
  bound_ = ::lstat(path_.c_str(), &info) == 0;
  device_ = info.st_dev;
  inode_ = info.st_ino;
  if (::chmod(path_.c_str(), kMode) != 0 || ::listen(fd_, kBacklog) != 0)
    return system_error("socket " + path_);
  return Ok{};
}

UnixListener::UnixListener(UnixListener&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      path_(std::move(other.path_)),
      bound_(std::exchange(other.bound_, false)),
      device_(other.device_),
      inode_(other.inode_) {}

UnixListener::~UnixListener() {
  struct stat info {};
  if (bound_ && ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ &&
      info.st_ino == inode_) {
    ::unlink(path_.c_str());
  }
  if (fd_ >= 0) ::close(fd_);
}

int UnixListener::accept() const {
  return ::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

}  // namespace sluice
