// Scene: one mode, one family and a number of established flows; measures what a packet costs
// there.
//
// A measurement is made of short slices in turn: base (allocate, write headers, free), reference
// (the same with 5tswap), subject (the same with the pipeline), again and again, so that a change
// of the machine's mood meets all three. A stage costs its slices' lower quartile less that of the
// base. Thread: one. Ownership: owns gateway and flows; the pool is the caller's. Units: TSC cycles
// per packet. Errors: create() gives a sentence.
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <memory>

#include "pipeline_gateway.h"
#include "proto/result.h"

namespace sluice::bench {

enum class Event : std::uint8_t {
  hit,    // A packet of an established flow, any with the same chance.
  zipf,   // The same by Zipf's law with exponent 1.
  reply,  // A backend's packet of an established flow.
  miss,   // No flow: direct return forwards it by Maglev and keeps nothing (RST); NAT refuses it.
  fresh,  // A SYN: miss, Maglev, insertion.
  flood,  // 90 % SYNs of flows never seen before, 10 % packets of established ones.
};

struct Scale {
  unsigned rounds = 60, bursts = 128;  // Per repetition, and per slice.
};

struct Sample {
  double base = 0, reference = 0, cycles = 0;
  double ratio() const { return cycles / reference; }
  double hits = 0;   // Share of the packets of established flows that found theirs.
  double fresh = 0;  // Share of the other packets that became flows.
  // flood: what the two parts cost alone, the mix by them, and established flows lost.
  double syn = 0, established = 0;
  std::uint64_t lost = 0;
  double over_parts() const { return cycles / (0.9 * syn + 0.1 * established); }
};

class Scene {
 public:
  virtual ~Scene() = default;
  virtual Sample measure(Event event) = 0;
  virtual double bytes_per_flow() const = 0;

  static Result<std::unique_ptr<Scene>> create(const ModeSpec& mode, bool ipv6, std::uint32_t flows,
                                               rte_mempool& pool, const Scale& scale);
};

}  // namespace sluice::bench
