// Maglev: consistent hashing with weights. A table is a pure function of its members (names,
// weights) and size, whatever their order, so that every gateway builds the same one.
//
// Each member walks its own permutation of the slots, offset + k * skip, made of its name by
// SipHash-2-4 with keys that are fixed and public (changing them changes every table), and takes
// the next free slot at its turns. The j-th turn of a member of weight w is at the time (2j - 1) /
// w: a member of twice the weight has twice the turns, evenly spread, and the slots are Webster's
// apportionment, within about one slot of the exact share. The order of two members' turns does not
// depend on the others, so that a change of one moves few slots of the rest.
//
// Source: Eisenbud et al., "Maglev: A Fast and Reliable Software Network Load Balancer", NSDI
// 2016, 3.4. Thread: any, pure. Shapes: size is a prime; member indexes are those of the span
// given.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace sluice {

struct MaglevMember {
  std::string_view name;     // What is hashed: the backend's address and port as text. Unique.
  std::uint32_t weight = 1;  // Relative share of the slots; 0: none.
};

// size slots, each the index of a member; empty when no member has weight, or size is no prime.
std::vector<std::uint32_t> build_maglev(std::span<const MaglevMember> members, std::uint32_t size);

// The smallest of the fixed list of primes that is at least 100 times the members; the largest
// otherwise. The list begins at 1009: smaller tables save little, and with them nearly every change
// of a small Service's backends would change the size.
std::uint32_t maglev_size_for(std::size_t members);
bool is_prime(std::uint32_t n);

// Slot of a flow: multiply-shift of the top 32 bits of its hash, no division.
inline std::uint32_t maglev_slot(std::uint64_t flow_hash, std::uint32_t size) {
  return static_cast<std::uint32_t>(((flow_hash >> 32) * size) >> 32);
}

}  // namespace sluice
