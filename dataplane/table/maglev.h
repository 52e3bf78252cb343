// Maglev: consistent hashing with weights. A table is a pure function of its members (names, weights)
// and size, so that every gateway builds the same one.
// Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI 2016, 3.4.
// Thread: any, pure. Shapes: size is a prime; member indexes are those of the span given.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sluice {

struct MaglevMember {
  std::string_view name;      // What is hashed: the backend's address and port as text.
  std::uint32_t weight = 1;   // Relative share of the slots; 0: none.
};

// size slots, each the index of a member; empty when no member has weight.
std::vector<std::uint32_t> build_maglev(std::span<const MaglevMember> members, std::uint32_t size);

// The smallest of the fixed list of primes that is at least 100 times the members; the largest otherwise.
std::uint32_t maglev_size_for(std::size_t members);
bool is_prime(std::uint32_t n);

// Slot of a flow: multiply-shift of the top 32 bits of its hash, no division.
inline std::uint32_t maglev_slot(std::uint64_t flow_hash, std::uint32_t size) {
  return static_cast<std::uint32_t>(((flow_hash >> 32) * size) >> 32);
}

}  // namespace sluice
