// Subject: what is measured - a gateway, or the reference in its place - as the generator sees it:
// the port it sends to, the port it expects the packets back at, and the process, which is stopped
// while another one is measured, so that two can share a CPU and be measured in turn.
//
// Thread: main. Ownership: its ports; lets the process go on when it ends.
// Errors: say what could not be reached.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "tests/bench/generator/ethernet_port.h"

namespace sluice::generator {

// "NAME=OUT,BACK[,PIDFILE]": numbers of --device arguments. The file comes to be when the subject
// is ready, and has the process's number.
struct SubjectSpec {
  std::string name;
  unsigned out = 0, back = 0;
  std::string pid_file;  // Empty: nobody stops it.
  static Result<SubjectSpec> parse(const std::string& text, unsigned devices);
};

class Subject {
 public:
  Subject(SubjectSpec spec, const EthernetPort& out, const EthernetPort& back)
      : spec_(std::move(spec)), out_(out), back_(back) {}
  ~Subject() { resume(); }
  Subject(Subject&&) = delete;

  const std::string& name() const { return spec_.name; }
  const EthernetPort& out() const { return out_; }
  const EthernetPort& back() const { return back_; }
  // Until its links are up and its process is ready.
  Status wait(unsigned seconds);
  pid_t pid() const { return pid_; }  // 0: unknown.
  void pause() const;
  void resume() const;

 private:
  bool ready();
  SubjectSpec spec_;
  const EthernetPort& out_;
  const EthernetPort& back_;
  pid_t pid_ = 0;
};

}  // namespace sluice::generator
