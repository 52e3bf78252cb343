#include "tests/bench/generator/subject.h"

#include <signal.h>

#include <chrono>
#include <fstream>
#include <regex>
#include <thread>

namespace sluice::generator {

Result<SubjectSpec> SubjectSpec::parse(const std::string& text, unsigned devices) {
  static const std::regex shape("([a-z0-9-]+)=([0-9]{1,3}),([0-9]{1,3})(,(.+))?");
  std::smatch match;
  if (!std::regex_match(text, match, shape))
    return Error{"subject \"" + text + "\": right is NAME=OUT,BACK[,PIDFILE]"};
  SubjectSpec spec{match[1], static_cast<unsigned>(std::stoul(match[2])),
                   static_cast<unsigned>(std::stoul(match[3])), match[5]};
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
