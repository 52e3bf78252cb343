// RedisServer: a private redis-server for one test: Unix socket in a folder of its own, TCP only
// where asked for, nothing persistent. Ownership: stops the process by its pid and removes the
// folder when it goes. Thread: any, one. Errors: throws std::runtime_error, which fails the test.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

namespace sluice::test {

// A TCP port of 127.0.0.1 that nobody has now.
int free_port();

class RedisServer {
 public:
  // `options` are further arguments, as "--maxmemory", "4mb".
  explicit RedisServer(std::vector<std::string> options = {});
  // A Redis Sentinel; `lines` are its configuration.
  static std::unique_ptr<RedisServer> sentinel(std::vector<std::string> lines);
  ~RedisServer();
  RedisServer(const RedisServer&) = delete;
  RedisServer& operator=(const RedisServer&) = delete;

  std::string address() const { return "unix:" + socket(); }  // As redis.address takes it.
  std::string socket() const { return folder_ + "/redis.sock"; }
  const std::string& folder() const { return folder_; }
  pid_t pid() const { return pid_; }

  // A command on a connection of its own. Text of the reply: strings and integers as they are, nil
  // as
  // "(nil)", errors as "ERR ..." come, arrays as lines.
  std::string command(const std::vector<std::string>& words) const;
  // Values may hold any byte.
  void set(const std::string& key, const std::string& value) const { command({"SET", key, value}); }

  void kill();  // SIGKILL; start() brings an empty one back at the same address.
  void start();
  void pause();  // SIGSTOP: it neither answers nor closes.
  void resume();

 private:
  struct Sentinel {};
  RedisServer(Sentinel, const std::vector<std::string>& lines);
  void make_folder();
  void wait_until_it_answers();

  bool sentinel_ = false;
  std::vector<std::string> options_;
  std::string folder_;
  pid_t pid_ = -1;
};

}  // namespace sluice::test
