// Programs run by tests: once to their end, or in the background.
// Ownership: a background process is killed with its object. Thread: any, one.
// Errors: throws std::runtime_error, which fails the test.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace sluice::test {

struct Finished {
  int code = -1;  // Exit code; 128 + signal if it was killed.
  std::string out;
  std::string err;
};
// `input` on stdin. A program that does not end in a minute is killed.
Finished run(const std::vector<std::string>& words, const std::string& input = "");

class Background {
 public:
  // stdout and stderr go to `log`, appended.
  Background(const std::vector<std::string>& words, std::string log);
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void signal(int number) const;
  // Waits for its end; -1 if it does not come within ten seconds.
  int wait();
  bool running();
  std::string log() const;

 private:
  std::string log_;
  pid_t pid_ = -1;
  int code_ = -1;
};

// A folder of its own, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::string& path() const { return path_; }
  // Writes a file in it; gives its path.
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::string path_;
};

}  // namespace sluice::test
