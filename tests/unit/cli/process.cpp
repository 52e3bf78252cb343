#include "tests/unit/cli/process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace sluice::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Files and not pipes: no end can block, whatever the program writes.
pid_t spawn(const std::vector<std::string>& words, const std::string& in, const std::string& out,
            const std::string& err) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("fork");
  if (pid > 0) return pid;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(126);
  ::dup2(::open(in.c_str(), O_RDONLY), 0);
  ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 1);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), 2);
  ::execvp(arguments[0], arguments.data());
  ::_exit(127);
}

int exit_code(int status) {
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// False: still running at `end`.
bool wait_until(pid_t pid, Clock::time_point end, int* code) {
  for (;;) {
    int status = 0;
    if (::waitpid(pid, &status, WNOHANG) == pid) {
      *code = exit_code(status);
      return true;
    }
    if (Clock::now() >= end) return false;
    std::this_thread::sleep_for(2ms);
  }
}

}  // namespace

Finished run(const std::vector<std::string>& words, const std::string& input) {
  TemporaryFolder folder;
  const std::string in = folder.write("in", input);
  const std::string out = folder.path() + "/out", err = folder.path() + "/err";
  const pid_t pid = spawn(words, in, out, err);
  Finished finished;
  if (!wait_until(pid, Clock::now() + 60s, &finished.code)) {
    ::kill(pid, SIGKILL);
    wait_until(pid, Clock::now() + 10s, &finished.code);
  }
  finished.out = read_file(out);
  finished.err = read_file(err);
  return finished;
}

Background::Background(const std::vector<std::string>& words, std::string log)
    : log_(std::move(log)), pid_(spawn(words, "/dev/null", log_, log_)) {}

Background::~Background() {
  if (!running()) return;
  ::kill(pid_, SIGKILL);
  wait_until(pid_, Clock::now() + 10s, &code_);
}

void Background::signal(int number) const {
  if (pid_ > 0) ::kill(pid_, number);
}

int Background::wait() {
  if (pid_ > 0 && wait_until(pid_, Clock::now() + 10s, &code_)) pid_ = -1;
  return code_;
}

bool Background::running() {
  if (pid_ > 0 && wait_until(pid_, Clock::now(), &code_)) pid_ = -1;
  return pid_ > 0;
}

std::string Background::log() const {
  return read_file(log_);
}

TemporaryFolder::TemporaryFolder()
    : path_((std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string()) {
  if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("mkdtemp " + path_);
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, const std::string& text) const {
  const std::string path = path_ + "/" + name;
  std::filesystem::create_directories(std::filesystem::path(path).parent_path());
  std::ofstream(path, std::ios::binary) << text;
  return path;
}

}  // namespace sluice::test
