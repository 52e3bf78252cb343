// The rules of the `redis` section, which gateway.yaml and agent.yaml share.
#include <algorithm>
#include <regex>

#include "config/checker.h"
#include "config/gateway_rules.h"
#include "proto/address.h"

namespace sluice {
namespace {

void check_redis_tls(const v1::RedisTls& tls, const std::string& path, Checker* check) {
  check->absolute_path(path + ".ca", tls.ca(), true);
  check->absolute_path(path + ".certificate", tls.certificate(), true);
  check->absolute_path(path + ".key", tls.key(), true);
  if (tls.certificate().empty() != tls.key().empty()) {
    const bool has_key = tls.certificate().empty();
    check->error(path + (has_key ? ".key" : ".certificate"),
                 has_key ? tls.key() : tls.certificate(),
                 std::string("needs ") + path + (has_key ? ".certificate" : ".key") + " as well");
  }
  if (!tls.server_name().empty() && !parse_host_port(tls.server_name() + ":1") &&
      !IpAddress::parse(tls.server_name())) {
    check->error(path + ".serverName", tls.server_name(), "is neither a host name nor an address");
  }
  const std::string unused = tls.ca() + tls.certificate() + tls.key() + tls.server_name();
  if (!tls.enabled() && !unused.empty()) {
    check->error(path + ".enabled", "false", "leaves the rest of " + path + " unused; set true");
  }
}

void check_redis_sentinel(const v1::RedisSentinel& sentinel, const std::string& path,
                          Checker* check) {
  constexpr int kMost = 32;
  check->range(path + ".addresses", static_cast<std::uint64_t>(sentinel.addresses_size()), 0, kMost,
               " addresses");
  for (int i = 0; i < std::min(sentinel.addresses_size(), kMost); ++i) {
    if (parse_host_port(sentinel.addresses(i))) continue;
    check->error(path + ".addresses[" + std::to_string(i) + "]", sentinel.addresses(i),
                 "is neither HOST:PORT nor [IPv6]:PORT");
  }
  check->absolute_path(path + ".passwordFile", sentinel.password_file(), true);
  if (!sentinel.username().empty() && sentinel.password_file().empty()) {
    check->error(path + ".username", sentinel.username(),
                 "needs " + path + ".passwordFile as well");
  }
  // What Sentinel itself takes as a name.
  static const std::regex name("[A-Za-z0-9._-]{1,253}");
  if (sentinel.addresses().empty()) {
    if (!sentinel.master().empty()) {
      check->error(path + ".master", sentinel.master(), "needs " + path + ".addresses as well");
    }
  } else if (!std::regex_match(sentinel.master(), name)) {
    check->error(path + ".master", sentinel.master(),
                 "is not the name the Sentinels know the master by (`sentinel monitor NAME ...`)");
  }
}

}  // namespace

void check_redis_config(const v1::Redis& redis, YamlReport* report) {
  Checker checker(report);
  Checker* check = &checker;
  const std::string path = "redis";
  const std::string& address = redis.address();
  if (address.starts_with("unix:")) {
    check->absolute_path(path + ".address", address.substr(5), false, kMaxSocketPath);
    if (redis.tls().enabled()) {
      check->error(path + ".tls.enabled", "true", "does not go with a Unix socket");
    }
  } else if (!parse_host_port(address)) {
    check->error(path + ".address", address, "is none of HOST:PORT, [IPv6]:PORT, unix:/path");
  }
  check->absolute_path(path + ".passwordFile", redis.password_file(), true);
  if (!redis.username().empty() && redis.password_file().empty()) {
    check->error(path + ".username", redis.username(), "needs " + path + ".passwordFile as well");
  }
  check->range(path + ".timeoutMs", redis.timeout_ms(), 10, 600'000, " ms");
  check_redis_tls(redis.tls(), path + ".tls", check);
  check_redis_sentinel(redis.sentinel(), path + ".sentinel", check);
}

}  // namespace sluice
