#include "dataplane/table/table_memory.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace sluice {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

constexpr std::size_t round_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

// Anonymous memory aligned to a huge page; nullptr when there is none.
void* map_aligned(std::size_t size) {
  const std::size_t mapped = size + kHugePage;
  void* const raw =
      mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::uint8_t*>(raw);
  const std::size_t head = round_up(reinterpret_cast<std::uintptr_t>(begin), kHugePage) -
                           reinterpret_cast<std::uintptr_t>(begin);
  if (head > 0) munmap(begin, head);
  if (head < kHugePage) munmap(begin + head + size, kHugePage - head);
  return begin + head;
}

// Faults all of it in; false when the machine has not that much.
bool populate(void* memory, std::size_t size) {
#ifdef MADV_POPULATE_WRITE
  if (madvise(memory, size, MADV_POPULATE_WRITE) == 0) return true;
  if (errno != EINVAL) return false;  // EINVAL: a kernel before 5.14.
#endif
  std::memset(memory, 0, size);
  return true;
}

void* allocate_heap(std::size_t bytes) {
  if (bytes == 0 || bytes > SIZE_MAX / 2) return nullptr;
  if (bytes < kHugePage) {
    const std::size_t size = round_up(bytes, 64);
    void* const memory = std::aligned_alloc(64, size);
    if (memory != nullptr) std::memset(memory, 0, size);
    return memory;
  }
  const std::size_t size = round_up(bytes, kHugePage);
  void* const memory = map_aligned(size);
  if (memory == nullptr) return nullptr;
  madvise(memory, size, MADV_HUGEPAGE);  // A wish: small pages work as well.
  if (populate(memory, size)) return memory;
  munmap(memory, size);
  return nullptr;
}

void release_heap(void* memory, std::size_t bytes) {
  if (memory == nullptr) return;
  if (bytes < kHugePage) {
    std::free(memory);
  } else {
    munmap(memory, round_up(bytes, kHugePage));
  }
}

}  // namespace

TableMemory TableMemory::heap() {
  return {allocate_heap, release_heap};
}

}  // namespace sluice
