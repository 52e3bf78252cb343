// Replay: serves the recorded traffic byte for byte (tests/fixtures/kubernetes/v1.32): answers with
// their recorded status, headers and chunk borders; watches cut or ended where the recording is.
// Whatever is not recorded is the Store's to answer.
// Ownership: holds the recordings in memory. Thread: the server's.
// Errors: std::runtime_error when the folder has none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/kube/request.h"

namespace sluice::test::kube {

class Replay {
 public:
  explicit Replay(const std::string& folder);

  // Which recording a LIST without further parameters gets: "initial", "populated", "after-churn".
  // "restarted": watches at old versions get their recorded 410.
  void stage(const std::string& name) { stage_ = name; }
  // Events newer than this are not sent until it is raised (0: no bound).
  void hold_at(std::uint64_t version) { hold_ = version; }
  std::uint64_t hold() const { return hold_; }

  struct Piece {
    std::uint64_t version = 0;  // Of the newest event in it; 0: none.
    std::string bytes;          // As on the wire.
  };
  enum class End { kKeep, kClose, kIdle };  // Next request; close the connection; say nothing more.
  struct Recording {
    std::vector<Piece> pieces;
    End end = End::kKeep;
    bool watch = false;
  };
  // nullptr: not recorded.
  const Recording* find(const Request& request, const Target& target) const;

 private:
  struct Entry {
    std::vector<std::string> path;
    Parameters parameters;
    std::string file;
    Recording recording;
  };
  void add_answer(const std::string& file);
  void add_watch(const std::string& file);

  std::vector<Entry> entries_;
  Recording silence_;
  std::string stage_ = "initial";
  std::uint64_t hold_ = 0;
};

}  // namespace sluice::test::kube
