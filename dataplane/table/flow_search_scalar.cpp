// The variant that the others are tested against.
#include "dataplane/table/flow_entry.h"
#include "dataplane/table/flow_search.h"
#include "dataplane/table/flow_search_internal.h"

namespace sluice {
namespace {

template <typename Family>
void search(const void* buckets, const uint64_t* keys, const uint32_t* candidates, unsigned count,
            uint32_t* slots) {
  constexpr unsigned kWords = std::tuple_size_v<FlowWords<Family>>;
  const auto* table = static_cast<const FlowBucket<Family>*>(buckets);
  const auto* key = reinterpret_cast<const FlowWords<Family>*>(keys);  // What they are.
  for (unsigned i = 0; i < count; ++i, candidates += 2) {
    // Both buckets at once: which of the two holds a flow is a coin toss that no predictor learns.
    const uint32_t found = match_scalar<Family>(table[candidates[0]], key[i]) |
                           match_scalar<Family>(table[candidates[1]], key[i])
                               << 4 * FlowBucket<Family>::kEntries;
    slots[i] = first_occupied<kWords, 4>(table->entries->words.data(), candidates, found);
  }
}

}  // namespace

extern "C" void sluice_flow_search_ipv4_scalar(const void* buckets, const uint64_t* keys,
                                               const uint32_t* candidates, unsigned count,
                                               uint32_t* slots) {
  search<Ipv4>(buckets, keys, candidates, count, slots);
}
extern "C" void sluice_flow_search_ipv6_scalar(const void* buckets, const uint64_t* keys,
                                               const uint32_t* candidates, unsigned count,
                                               uint32_t* slots) {
  search<Ipv6>(buckets, keys, candidates, count, slots);
}

}  // namespace sluice
