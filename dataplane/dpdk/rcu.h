// Rcu: quiescent-state reclamation (rte_rcu_qsbr) between workers, which read what others publish,
// and the threads that publish and must know when the old may be freed.
//
// Thread: online, offline and quiescent are a worker's own; start and passed are any thread's, and
// never
//   block. Ownership: the variable lives as long as the Rcu.
// Use: publish the new with a release store, token = start(), free the old once passed(token).
#pragma once

#include <rte_rcu_qsbr.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

#include "proto/result.h"

namespace sluice {

class Rcu {
 public:
  // For readers 0 to `readers` - 1, all offline.
  static Result<std::unique_ptr<Rcu>> create(unsigned readers);

  // A reader that is offline holds no reference: it is not waited for.
  void online(unsigned reader) { rte_rcu_qsbr_thread_online(variable_.get(), reader); }
  void offline(unsigned reader) { rte_rcu_qsbr_thread_offline(variable_.get(), reader); }
  // The reader holds no reference at this moment. Once per poll.
  void quiescent(unsigned reader) { rte_rcu_qsbr_quiescent(variable_.get(), reader); }

  std::uint64_t start() { return rte_rcu_qsbr_start(variable_.get()); }
  bool passed(std::uint64_t token) {
    return rte_rcu_qsbr_check(variable_.get(), token, false) == 1;
  }

 private:
  struct Free {
    void operator()(rte_rcu_qsbr* variable) const { std::free(variable); }
  };
  explicit Rcu(std::unique_ptr<rte_rcu_qsbr, Free> variable) : variable_(std::move(variable)) {}
  std::unique_ptr<rte_rcu_qsbr, Free> variable_;
};

}  // namespace sluice
