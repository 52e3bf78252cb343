// LeaseElector: one of several agents leads, by a Lease (coordination.k8s.io/v1).
// Purpose: who holds the Lease leads; its leaseTransitions is the token that fences what the leader
// writes elsewhere, and is another, larger one for every term. A Lease that was deleted counts from
// 0 again: require_token_above() then raises it over what has been used.
// Time: only this process' monotonic clock decides. A term ends `renew_deadline` after the last
// renewal was begun; others take over when they have seen no change of the record for its duration.
// So no two lead at once, whatever their wall clocks say; the times in the record are for people.
// Ownership: refers to the calls, which must outlive it. Thread: the executor's, one.
// Errors: told by `on_error`, and tried again. Every write carries the resourceVersion that was
// read, so that of two only one succeeds. Source: client-go's leaderelection, Lease API reference.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "control/kubernetes/api_calls.h"

namespace sluice::kube {

struct LeaseOptions {
  using Ms = std::chrono::milliseconds;
  std::string ns;
  std::string name;
  std::string identity;       // Unique to this process: holderIdentity.
  Ms duration{15'000};        // Whole seconds; leaseDurationSeconds of the record.
  Ms renew_deadline{10'000};  // Less than the duration.
  Ms retry{2'000};            // Between attempts, with jitter.
};

class LeaseElector {
 public:
  using Clock = std::chrono::steady_clock;

  struct Hooks {
    std::function<void()> on_change;  // leading() or token() may be another.
    std::function<void(const std::string& text)> on_error;
  };

  LeaseElector(boost::asio::any_io_executor executor, ApiCalls& calls, LeaseOptions options,
               Hooks hooks);
  ~LeaseElector();
  LeaseElector(const LeaseElector&) = delete;
  LeaseElector& operator=(const LeaseElector&) = delete;

  // Until stop(); a Lease that is held is then released.
  boost::asio::awaitable<void> run();
  void stop();

  bool leading() const;         // Right now: ask before every write.
  std::uint64_t token() const;  // Of this term; of use while leading.
  std::string holder() const;   // As last seen; empty: nobody, or not known.
  // A token this large is in use already: this and all later terms get larger ones. While the Lease
  // is held it is raised in place.
  void require_token_above(std::uint64_t token);
  // Ends the term, releases the Lease, and stands aside for `pause`.
  void step_down(LeaseOptions::Ms pause);

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::kube
