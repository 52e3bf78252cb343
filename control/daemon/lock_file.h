// LockFile: at most one sluice-control per state directory. The kernel's lock ends with the
// process, however it ends; the file stays. Ownership: RAII, movable. Thread: any.
#pragma once

#include <string>
#include <utility>

#include "proto/result.h"

namespace sluice {

class LockFile {
 public:
  // Errors: who holds it (pid), or why the file cannot be made.
  static Result<LockFile> take(const std::string& path);
  LockFile(LockFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  LockFile& operator=(LockFile&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~LockFile();

 private:
  explicit LockFile(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace sluice
