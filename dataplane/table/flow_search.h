// FlowSearch: finds a burst of keys in the buckets of a connection table; one function per family
// and instruction set, called once per burst.
//
// Includes: this header is for sources compiled beyond the base, too: see flow_search_internal.h.
//
// Thread: the table's owner. Memory: reads only both candidate buckets of each key.
// Shapes: see flow_entry.h, whose layout this repeats and connection_table.cpp checks. Key i is
//   words [i * words of an entry], as flow_words() makes them; candidates [2 * i] and [2 * i + 1]
//   are its buckets. slots[i] becomes entries of a bucket * bucket + entry of the occupied entry
//   with that key, or ~0.
#pragma once

#include <stdint.h>

namespace sluice {

using FlowSearch = void(const void* buckets, const uint64_t* keys, const uint32_t* candidates,
                        unsigned count, uint32_t* slots);

extern "C" {
FlowSearch sluice_flow_search_ipv4_scalar, sluice_flow_search_ipv6_scalar;
FlowSearch sluice_flow_search_ipv4_sse, sluice_flow_search_ipv6_sse;
FlowSearch sluice_flow_search_ipv4_avx2, sluice_flow_search_ipv6_avx2;
FlowSearch sluice_flow_search_ipv4_avx512, sluice_flow_search_ipv6_avx512;
}

}  // namespace sluice
