#include "control/daemon/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace sluice {
namespace {

std::string holder(int fd) {
  char text[32];
  const ssize_t size = ::pread(fd, text, sizeof(text) - 1, 0);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size)) : "unknown";
}

}  // namespace

Result<LockFile> LockFile::take(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return Error{"cannot open the lock file " + path + ": " + std::strerror(errno)};
  LockFile lock(fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return Error{"cannot lock " + path + ": " + std::strerror(errno)};
    return Error{"another sluice-control (pid " + holder(fd) + ") already uses " + path +
                 ": one per gateway; give a second gateway its own control.stateDirectory"};
  }
  // For the message above alone; the lock is what counts.
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) != 0 || ::pwrite(fd, pid.data(), pid.size(), 0) < 0)
    return Error{"cannot write the lock file " + path + ": " + std::strerror(errno)};
  return lock;
}

LockFile::~LockFile() {
  if (fd_ >= 0) ::close(fd_);
}

}  // namespace sluice
