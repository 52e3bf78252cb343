// LockFile: what only one sluice-dataplane may use at a time: its socket, a device, a port's name.
// --in-memory switches off EAL's own check, so this one stands in.
//
// Thread: any. Ownership: held until destruction, or until the process ends, however it ends. The
// files stay: removing a locked file would let two processes lock two files of one name. Errors:
// names the process that has it.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "config.pb.h"
#include "proto/result.h"

namespace sluice {

class LockFile {
 public:
  // `what`: for the message, for instance "port eth1". Waits up to `patience` for another to let
  // go.
  static Result<LockFile> acquire(const std::string& path, const std::string& what,
                                  std::chrono::milliseconds patience = {});
  ~LockFile();
  LockFile(LockFile&& other) noexcept;
  LockFile& operator=(LockFile&&) = delete;

 private:
  explicit LockFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// What a configuration locks: path and what it stands for. Names of kernel interfaces and TAPs are
// told apart by network namespace; devices that nobody else can have (net_null, net_ring) need
// none.
struct LockName {
  std::string path, what;
};
std::vector<LockName> lock_names(const v1::Dataplane& config, const std::string& directory,
                                 const std::string& network_namespace);

// All of them, in /run/lock and beside the socket.
Result<std::vector<LockFile>> lock_all(const v1::Dataplane& config);

}  // namespace sluice
