// Generations: which forwarding state serves, which old ones still wait for workers to leave them,
// and which ids flows may still carry.
//
// A commit builds, publishes and starts a grace period. When it has passed, the state before is
// freed and the counter indexes of its VIPs are free again. A generation is swept when after its
// grace period every worker has gone over its whole tables: then no entry holds an id that it
// retired.
//
// Thread: the server's; poll() must be called often while poll_interval_ms() is not -1. Nothing
// blocks. Errors: a refused commit changes nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/forward/state_builder.h"
#include "dataplane/server/host.h"
#include "dataplane/server/totals.h"
#include "proto/result.h"

namespace sluice {

class Generations {
 public:
  Generations(Host& host, const StateLimits& limits);

  // Never nullptr; generation 0 before the first commit.
  const std::shared_ptr<const ForwardingState>& serving() const { return serving_; }
  std::uint64_t swept() const { return swept_; }
  const StateLimits& limits() const { return limits_; }
  struct Unswept {
    bool backend = false;
    std::uint32_t id = 0;
    std::uint64_t generation = 0;  // It was retired in.
  };
  std::vector<Unswept> unswept() const;

  struct Committed {
    std::uint64_t microseconds = 0;  // To build and publish.
    std::uint32_t tables_built = 0;
  };
  // `builder` must have serving() as its base.
  Result<Committed> commit(StateBuilder& builder, std::uint64_t generation);

  void poll();
  int poll_interval_ms() const;  // -1: nothing to wait for.

  // What was counted since the VIP or backend came.
  VipTotals vip_totals(const VipBlock& vip) const;
  BackendTotals backend_totals(std::uint32_t id) const;

 private:
  struct Waiting {  // For the grace period that began when `generation` was published.
    std::uint64_t generation = 0, token = 0;
    std::shared_ptr<const ForwardingState> before;
    std::vector<std::uint32_t> counters;
  };
  struct Retired {
    std::string what;  // The id stood for.
    std::uint64_t generation = 0;
  };
  using RetiredIds = std::map<std::uint32_t, Retired>;

  Status check_ids(const StateBuilder::Built& built) const;
  Status check_id(const RetiredIds& retired, const std::string& kind, std::uint32_t id,
                  const std::string& what) const;
  void note_ids(const StateBuilder::Built& built, std::uint64_t generation);
  void start_counting(const StateBuilder::Built& built);
  void begin_sweep();
  bool swept_since_begin() const;

  Host& host_;
  StateLimits limits_;
  CounterIndexes counters_;
  std::shared_ptr<const ForwardingState> serving_;
  std::deque<Waiting> waiting_;
  std::uint64_t graced_ = 0;    // The last generation whose grace period has passed.
  std::uint64_t sweeping_ = 0;  // The one whose sweep is awaited; 0: none.
  std::uint64_t swept_ = 0;
  std::vector<std::uint64_t> rounds_;  // Of each worker when sweeping_ was set.
  RetiredIds retired_backends_, retired_vips_;
  // What stood in the counters when a VIP or backend got them; absent: 0.
  std::map<std::uint32_t, VipTotals> vip_origin_;
  std::map<std::uint32_t, BackendTotals> backend_origin_;
};

}  // namespace sluice
