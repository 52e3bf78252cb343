// RedisServer: a private redis-server for one test: Unix socket in a folder of its own, no TCP,
// nothing persistent. Ownership: stops the process by its pid and removes the folder when it goes.
// Thread: any, one. Errors: throws std::runtime_error, which fails the test.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace sluice::test {

class RedisServer {
 public:
  // `options` are further arguments, as "--maxmemory", "4mb".
  explicit RedisServer(std::vector<std::string> options = {});
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
  void wait_until_it_answers();

  std::vector<std::string> options_;
  std::string folder_;
  pid_t pid_ = -1;
};

}  // namespace sluice::test
