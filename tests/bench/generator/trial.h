// Trial: one run at one rate for one time through one subject, and what came of it.
//
// Thread: main, an EAL lcore; with a second lcore the receiver runs there.
// Ownership: Traffic holds the pools' contents and the frames; ports and pools outlive it.
// Units: packets per second, seconds. A packet that the first queue refuses is lost: the subject
// did not take it.
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tests/bench/generator/subject.h"
#include "tests/bench/generator/traffic.h"

namespace sluice::generator {

struct Trial {
  double asked_rate = 0, seconds = 0;
  std::uint64_t offered = 0, refused = 0;
  std::uint64_t skipped = 0;    // Due, but the generator was late.
  std::uint64_t waited_ns = 0;  // The generator's and the subject's pollers, for a CPU others had.
  std::vector<std::uint64_t> sent_by_queue;
  Received received;

  std::uint64_t lost() const { return offered > received.packets ? offered - received.packets : 0; }
  double loss() const {
    return offered == 0 ? 1 : static_cast<double>(lost()) / static_cast<double>(offered);
  }
  double rate() const { return static_cast<double>(received.packets) / seconds; }
  double offered_rate() const { return static_cast<double>(offered) / seconds; }
  // The generator kept up with what was asked, within 2 %.
  bool kept_up() const { return offered_rate() >= 0.98 * asked_rate; }
};

class Traffic {
 public:
  // `pool`: buffers for what is sent.
  static Result<std::unique_ptr<Traffic>> make(const FrameConfig& config, std::uint32_t flows,
                                               unsigned queues, bool reflect, rte_mempool* pool);
  virtual ~Traffic() = default;
  // Opens every flow once, slowly enough for all to arrive; repeated while some do not. What comes
  // back says how many did not at last.
  virtual Trial open_flows(const Subject& subject) = 0;
  virtual Trial run(const Subject& subject, double rate, double seconds) = 0;
};

}  // namespace sluice::generator
