// TableMemory: where a table's memory comes from; heap() is anonymous memory of this process.
//
// Thread: called when tables are made and destroyed, by whoever does that; never on the packet
// path. Errors: allocate gives nullptr when there is none left.
#pragma once

#include <cstddef>
#include <functional>

namespace sluice {

struct TableMemory {
  std::function<void*(std::size_t bytes)> allocate;  // Zeroed, 64-byte aligned; nullptr: none left.
  std::function<void(void*, std::size_t)> release;
  // From 2 MiB up on huge pages where the kernel has them, and faulted in before it returns, so
  // that no packet ever waits for a page fault.
  static TableMemory heap();
};

}  // namespace sluice
