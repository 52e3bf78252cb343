// Tap: a port's twin in the kernel. Persistent and found again by name, so that its addresses and
// routes outlive the process, however it ends. Thread: one. Ownership: owns the file descriptor;
// never removes the interface. Errors: open() says which interface and why; read and write say
// false for "nothing now".
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "proto/result.h"

namespace sluice {

struct PortInfo;

class Tap {
 public:
  // Largest frame of any MTU: 65535 bytes of layer 3 and a header with two tags.
  static constexpr std::size_t kMaxFrame = 65535 + 22;

  // Attaches to the TAP of the port's name, made if there is none; gives it the port's MAC and MTU
  // and brings it up.
  static Result<std::unique_ptr<Tap>> open(const PortInfo& port);
  ~Tap();
  Tap(const Tap&) = delete;
  Tap& operator=(const Tap&) = delete;

  int fd() const { return fd_; }
  int link() const { return link_; }
  // A frame the kernel sends; 0: none now.
  std::size_t read(std::uint8_t* frame, std::size_t capacity);
  // A frame for the kernel; false: it could not take it.
  bool write(const std::uint8_t* frame, std::size_t length);

 private:
  Tap(int fd, int link) : fd_(fd), link_(link) {}
  int fd_;
  int link_;
};

}  // namespace sluice
