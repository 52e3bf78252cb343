#include "dataplane/dpdk/table_memory.h"

#include <rte_malloc.h>
#include <rte_memory.h>
#include <spdlog/spdlog.h>

namespace sluice {

TableMemory dpdk_table_memory(int socket) {
  TableMemory heap = TableMemory::heap();
  TableMemory memory;
  memory.allocate = [socket, heap](std::size_t bytes) -> void* {
    if (void* taken = rte_zmalloc_socket("table", bytes, RTE_CACHE_LINE_SIZE, socket)) return taken;
    spdlog::info(
        "a table is taken from the heap, DPDK's memory is short: mb={}; more huge pages make it "
        "faster",
        bytes >> 20);
    return heap.allocate(bytes);
  };
  memory.release = [heap](void* taken, std::size_t bytes) {
    // EAL knows its own memory; all else came from the heap.
    if (rte_mem_virt2memseg_list(taken) != nullptr) {
      rte_free(taken);
    } else {
      heap.release(taken, bytes);
    }
  };
  return memory;
}

}  // namespace sluice
