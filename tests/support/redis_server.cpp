#include "tests/support/redis_server.h"

#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <thread>
#include <utility>

namespace sluice::test {
namespace {

constexpr std::chrono::seconds kStartTime{20};  // On a machine that builds at the same time.

struct FreeContext {
  void operator()(redisContext* context) const { redisFree(context); }
};
struct FreeReply {
  void operator()(void* reply) const { freeReplyObject(reply); }
};

std::string text_of(const redisReply& reply) {
  switch (reply.type) {
    case REDIS_REPLY_NIL:
      return "(nil)";
    case REDIS_REPLY_INTEGER:
      return std::to_string(reply.integer);
    case REDIS_REPLY_ARRAY: {
      std::string lines;
      for (std::size_t i = 0; i < reply.elements; ++i) {
        lines += (i == 0 ? "" : "\n") + text_of(*reply.element[i]);
      }
      return lines;
    }
    default:
      return std::string(reply.str, reply.len);
  }
}

}  // namespace

int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  const bool bound = socket >= 0 && ::bind(socket, generic, size) == 0 &&
                     ::getsockname(socket, generic, &size) == 0;
  ::close(socket);
  if (!bound) throw std::runtime_error("no free TCP port");
  return ntohs(address.sin_port);
}

RedisServer::RedisServer(std::vector<std::string> options) : options_(std::move(options)) {
  make_folder();
  start();
}

RedisServer::RedisServer(Sentinel, const std::vector<std::string>& lines) : sentinel_(true) {
  make_folder();
  std::ofstream file(folder_ + "/sentinel.conf");
  file << "unixsocket " << socket() << "\ndir " << folder_ << "\n";
  for (const std::string& line : lines) file << line << "\n";
  file.close();
  start();
}

std::unique_ptr<RedisServer> RedisServer::sentinel(std::vector<std::string> lines) {
  return std::unique_ptr<RedisServer>(new RedisServer(Sentinel{}, lines));
}

void RedisServer::make_folder() {
  std::string path = (std::filesystem::temp_directory_path() / "sluice-redis-XXXXXX").string();
  if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp " + path);
  folder_ = path;
}

RedisServer::~RedisServer() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void RedisServer::start() {
  std::vector<std::string> words = {"redis-server",
                                    "--port",
                                    "0",
                                    "--unixsocket",
                                    socket(),
                                    "--save",
                                    "",
                                    "--appendonly",
                                    "no",
                                    "--dir",
                                    folder_,
                                    "--enable-debug-command",
                                    "yes",
                                    "--logfile",
                                    folder_ + "/redis.log"};
  words.insert(words.end(), options_.begin(), options_.end());
  if (sentinel_) words = {"redis-server", folder_ + "/sentinel.conf", "--sentinel"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork");
  if (pid_ == 0) {
    // It must not outlive a test that crashes.
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
    const int null = ::open("/dev/null", O_RDWR);
    ::dup2(null, 1);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  wait_until_it_answers();
}

void RedisServer::wait_until_it_answers() {
  const auto end = std::chrono::steady_clock::now() + kStartTime;
  while (std::chrono::steady_clock::now() < end) {
    const std::unique_ptr<redisContext, FreeContext> context(redisConnectUnix(socket().c_str()));
    if (context && context->err == 0) return;
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      throw std::runtime_error("redis-server did not start: is it installed?");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  throw std::runtime_error("redis-server does not answer");
}

void RedisServer::kill() {
  if (pid_ < 0) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void RedisServer::pause() {
  ::kill(pid_, SIGSTOP);
}

void RedisServer::resume() {
  ::kill(pid_, SIGCONT);
}

std::string RedisServer::command(const std::vector<std::string>& words) const {
  const std::unique_ptr<redisContext, FreeContext> context(redisConnectUnix(socket().c_str()));
  if (!context || context->err != 0) throw std::runtime_error("cannot connect to " + socket());
  std::vector<const char*> arguments;
  std::vector<std::size_t> sizes;
  for (const std::string& word : words) {
    arguments.push_back(word.data());
    sizes.push_back(word.size());
  }
  const std::unique_ptr<void, FreeReply> reply(redisCommandArgv(
      context.get(), static_cast<int>(words.size()), arguments.data(), sizes.data()));
  if (!reply) throw std::runtime_error("no reply to " + words.front());
  return text_of(*static_cast<redisReply*>(reply.get()));
}

}  // namespace sluice::test
