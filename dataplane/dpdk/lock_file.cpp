#include "dataplane/dpdk/lock_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <thread>

#include "dataplane/dpdk/eal.h"

namespace sluice {
namespace {

// A process that was killed keeps its locks until the kernel has taken its memory apart.
constexpr std::chrono::milliseconds kPatience{1500};

std::string sanitized(std::string text) {
  for (char& c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '.' || c == '-' ||
                       c == '_' || c == ':';
    if (!plain) c = '-';
  }
  return text;
}

// The part of a vdev string that names something outside this process; empty: there is none.
std::string outside_resource(const std::string& device) {
  for (const char* key : {",iface=", ",path=", ",socket=", ",remote="}) {
    const auto at = device.find(key);
    if (at == std::string::npos) continue;
    const auto begin = at + std::strlen(key);
    return std::string(key + 1) + device.substr(begin, device.find(',', begin) - begin);
  }
  return {};
}

std::string this_network_namespace() {
  struct stat status {};
  if (stat("/proc/self/ns/net", &status) != 0) return "net";
  return "net" + std::to_string(status.st_ino);
}

bool lock_within(int descriptor, std::chrono::milliseconds patience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK || std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

}  // namespace

Result<LockFile> LockFile::acquire(const std::string& path, const std::string& what,
                                   std::chrono::milliseconds patience) {
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor < 0)
    return Error{"cannot open the lock file " + path + " of " + what + ": " + std::strerror(errno)};
  LockFile lock(descriptor);
  if (!lock_within(descriptor, patience)) {
    char holder[16] = {};
    const ssize_t length = pread(descriptor, holder, sizeof(holder) - 1, 0);
    const std::string pid =
        length > 0 ? std::string(holder, std::strcspn(holder, "\n")) : "unknown";
    return Error{what + " is in use by another sluice-dataplane (process " + pid +
                 "); stop that one, or give this one its own in gateway.yaml"};
  }
  const std::string pid = std::to_string(getpid()) + "\n";
  if (ftruncate(descriptor, 0) != 0 || pwrite(descriptor, pid.data(), pid.size(), 0) < 0) {
    return Error{"cannot write the lock file " + path + ": " + std::strerror(errno)};
  }
  return lock;
}

LockFile::~LockFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

LockFile::LockFile(LockFile&& other) noexcept : descriptor_(other.descriptor_) {
  other.descriptor_ = -1;
}

std::vector<LockName> lock_names(const v1::Dataplane& config, const std::string& directory,
                                 const std::string& network_namespace) {
  const std::string prefix = directory + "/sluice-";
  std::vector<LockName> names{{config.socket() + ".lock", "the socket " + config.socket()}};
  for (const auto& port : config.ports()) {
    names.push_back({prefix + network_namespace + "-tap-" + sanitized(port.name()) + ".lock",
                     "the port name " + port.name()});
    if (is_pci_address(port.device())) {
      names.push_back({prefix + sanitized(device_name(port.device())) + ".lock",
                       "the device " + port.device()});
    } else if (const std::string resource = outside_resource(port.device()); !resource.empty()) {
      names.push_back({prefix + network_namespace + "-" + sanitized(resource) + ".lock",
                       "the device " + port.device()});
    }
  }
  return names;
}

Result<std::vector<LockFile>> lock_all(const v1::Dataplane& config) {
  std::error_code error;
  const std::string directory =
      std::filesystem::is_directory("/run/lock", error) ? "/run/lock" : "/tmp";
  const auto socket_directory = std::filesystem::path(config.socket()).parent_path();
  if (!socket_directory.empty()) std::filesystem::create_directories(socket_directory, error);
  std::vector<LockFile> locks;
  for (const auto& name : lock_names(config, directory, this_network_namespace())) {
    auto lock = LockFile::acquire(name.path, name.what, kPatience);
    if (!lock) return Error{lock.error()};
    locks.push_back(std::move(*lock));
  }
  return locks;
}

}  // namespace sluice
