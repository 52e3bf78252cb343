// UnixListener: a listening Unix stream socket at a path, mode 0660, removed again on destruction.
//
// A socket file nobody listens at (left by a killed process) is replaced; one that is in use, or a
// file that is no socket, is not touched. Thread: one. Ownership: of the descriptor and the file.
// Errors: open() says what stands in the way.
#pragma once

#include <sys/types.h>

#include <string>

#include "proto/result.h"

namespace sluice {

class UnixListener {
 public:
  static Result<UnixListener> open(const std::string& path);
  UnixListener(UnixListener&& other) noexcept;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  int fd() const { return fd_; }
  // The next connection, non-blocking and close-on-exec; -1: none, or errno says why.
  int accept() const;

 private:
  UnixListener(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  Status bind_and_listen();

  int fd_;
  std::string path_;
  bool bound_ = false;
  dev_t device_ = 0;  // Of the file we made: another one at the path is not ours to remove.
  ino_t inode_ = 0;
};

}  // namespace sluice
