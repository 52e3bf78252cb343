#include "tests/bench/generator/subject.h"

#include <signal.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <thread>

namespace sluice::generator {

Result<SubjectSpec> SubjectSpec::parse(const std::string& text, unsigned devices) {
  const Error wrong{"subject \"" + text + "\": right is NAME=OUT,BACK[,PIDFILE]"};
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return wrong;
  SubjectSpec spec;
  spec.name = text.substr(0, equals);
  // The name goes into JSON as it is.
  const auto plain = [](unsigned char c) { return std::isalnum(c) != 0 || c == '-'; };
  if (!std::all_of(spec.name.begin(), spec.name.end(), plain)) return wrong;
  int used = 0;
  const char* numbers = text.c_str() + equals + 1;
  if (std::sscanf(numbers, "%3u,%3u%n", &spec.out, &spec.back, &used) != 2) return wrong;
  const std::string rest = numbers + used;
  if (!rest.empty() && (rest[0] != ',' || rest.size() == 1)) return wrong;
  if (!rest.empty()) spec.pid_file = rest.substr(1);
  if (spec.out >= devices || spec.back >= devices)
    return Error{"subject \"" + text + "\": there are " + std::to_string(devices) +
                 " devices, numbered from 0"};
  return spec;
}

bool Subject::ready() {
  if (!out_.up() || !back_.up()) return false;
  if (spec_.pid_file.empty()) return true;
  std::ifstream file(spec_.pid_file);
  return static_cast<bool>(file >> pid_) && pid_ > 1;
}

Status Subject::wait(unsigned seconds) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (!ready()) {
    if (std::chrono::steady_clock::now() >= until) {
      return Error{spec_.name + ": after " + std::to_string(seconds) +
                   " s its links are not up, or it has not written " + spec_.pid_file};
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return Ok{};
}

void Subject::pause() const {
  if (pid_ > 1) kill(pid_, SIGSTOP);
}
void Subject::resume() const {
  if (pid_ > 1) kill(pid_, SIGCONT);
}

}  // namespace sluice::generator
