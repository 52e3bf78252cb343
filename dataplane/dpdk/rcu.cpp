#include "dataplane/dpdk/rcu.h"

namespace sluice {

Result<std::unique_ptr<Rcu>> Rcu::create(unsigned readers) {
  const std::size_t bytes = rte_rcu_qsbr_get_memsize(readers);
  void* memory = std::aligned_alloc(RTE_CACHE_LINE_SIZE, (bytes + RTE_CACHE_LINE_SIZE - 1) &
                                                             ~std::size_t{RTE_CACHE_LINE_SIZE - 1});
  if (memory == nullptr) return Error{"no memory for RCU"};
  std::unique_ptr<rte_rcu_qsbr, Free> variable(static_cast<rte_rcu_qsbr*>(memory));
  if (rte_rcu_qsbr_init(variable.get(), readers) != 0)
    return Error{"RCU was refused: too many workers?"};
  for (unsigned reader = 0; reader < readers; ++reader) {
    if (rte_rcu_qsbr_thread_register(variable.get(), reader) != 0)
      return Error{"RCU refused a reader"};
  }
  return std::unique_ptr<Rcu>(new Rcu(std::move(variable)));
}

}  // namespace sluice
