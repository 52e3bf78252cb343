// endpoint: where Redis is and what its errors mean, apart from any connection.
// Thread: any; reading the password blocks. Errors: say which setting is wrong and what is right.
#pragma once

#include <string>

#include "proto/result.h"

namespace sluice::store {

struct Endpoint {
  std::string path;  // Of a Unix socket; else empty, and host and port are set.
  std::string host;
  std::string port;
};
// "HOST:PORT", "[IPv6]:PORT" or "unix:/path".
Result<Endpoint> parse_endpoint(const std::string& address);

// Whether a file of that mode and owner is for the user `self` alone. The group may read what belongs
// to root, so that a file of root's can be given to one program: as a Pod's Secret is by fsGroup.
bool is_private(unsigned mode, unsigned owner, unsigned self);
// The first line of `path`: refused unless a regular file that is_private().
Result<std::string> read_password_file(const std::string& path);

// An error reply for people: NOPERM, OOM, READONLY and the like get an advice.
std::string explain_error(const std::string& command, const std::string& reply);

}  // namespace sluice::store
