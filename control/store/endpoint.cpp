#include "control/store/endpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>

#include "control/store/keys.h"

namespace sluice::store {

Result<Endpoint> parse_endpoint(const std::string& address) {
  const std::string expected =
      "redis.address \"" + address + "\": expected HOST:PORT, [IPv6]:PORT or unix:/path";
  Endpoint endpoint;
  if (address.rfind("unix:", 0) == 0) {
    endpoint.path = address.substr(5);
    if (endpoint.path.empty() || endpoint.path[0] != '/') return Error{expected};
    if (endpoint.path.size() >= sizeof(sockaddr_un::sun_path)) {
      return Error{"redis.address \"" + address + "\": the path of a Unix socket has at most " +
                   std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " characters"};
    }
    return endpoint;
  }
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return Error{expected};
  endpoint.host = address.substr(0, colon);
  endpoint.port = address.substr(colon + 1);
  if (endpoint.host.front() == '[' && endpoint.host.back() == ']') {
    endpoint.host = endpoint.host.substr(1, endpoint.host.size() - 2);
  } else if (endpoint.host.find(':') != std::string::npos) {
    return Error{expected};
  }
  const auto port = keys::parse_number(endpoint.port);
  if (endpoint.host.empty() || !port || *port == 0 || *port > 65535) return Error{expected};
  return endpoint;
}

bool is_private(unsigned mode, unsigned owner, unsigned self) {
  const bool given_by_root = owner == 0 && self != 0;
  return (mode & (given_by_root ? 037 : 077)) == 0;
}

Result<std::string> read_password_file(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return Error{"redis.passwordFile " + path + ": " + std::strerror(errno)};
  struct stat status {};
  std::array<char, 1024> text;
  const bool known = ::fstat(file, &status) == 0;
  const ssize_t size = ::read(file, text.data(), text.size());
  ::close(file);
  if (!known || !S_ISREG(status.st_mode) || size < 0) {
    return Error{"redis.passwordFile " + path + ": not a file that can be read"};
  }
  if (!is_private(status.st_mode, status.st_uid, ::geteuid())) {
    return Error{"redis.passwordFile " + path +
                 ": others may read it; make it so that only its owner can (chmod 0600), or for "
                 "root's file this program's group (0640)"};
  }
  const std::string_view content(text.data(), static_cast<std::size_t>(size));
  std::string password(content.substr(0, content.find_first_of("\r\n")));
  if (password.empty() || content.size() == text.size()) {
    return Error{"redis.passwordFile " + path + ": expected one line of 1 to 1023 characters"};
  }
  return password;
}

std::string explain_error(const std::string& command, const std::string& reply) {
  static constexpr std::pair<std::string_view, std::string_view> kAdvice[] = {
      {"NOPERM", "give this user the rights that config/redis-acl.conf lists"},
      {"WRONGPASS", "check redis.username and redis.passwordFile"},
      {"NOAUTH", "Redis wants a password: set redis.passwordFile"},
      {"OOM", "Redis is at its maxmemory: raise it or free memory"},
      {"READONLY", "this Redis is a replica: point redis.address at the master"},
      {"LOADING", "Redis is still loading its data; it is tried again"},
      {"MISCONF", "Redis cannot save to its disk: see Redis' log"},
      {"BUSY", "a script occupies Redis; it is tried again"},
      {"WRONGTYPE",
       "another program uses a key of ours with another type: look at the sluice:1: keys"},
  };
  std::string text = "Redis refused " + command + ": " + reply;
  for (const auto& [prefix, advice] : kAdvice) {
    if (reply.rfind(prefix, 0) == 0) return text + " (" + std::string(advice) + ")";
  }
  return text;
}

}  // namespace sluice::store
