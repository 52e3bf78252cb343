#include "dataplane/forward/state_maglev.h"

#include <algorithm>

namespace sluice {
namespace {

using Member = VipBlock::Member;
using Table = std::vector<std::uint32_t>;

bool same_active_members(const VipBlock& a, const VipBlock& b) {
  const auto active = [](const Member& m) { return !m.draining; };
  auto i = std::find_if(a.members.begin(), a.members.end(), active);
  auto j = std::find_if(b.members.begin(), b.members.end(), active);
  while (i != a.members.end() && j != b.members.end()) {
    if (i->backend != j->backend || i->weight != j->weight) return false;
    i = std::find_if(i + 1, a.members.end(), active);
    j = std::find_if(j + 1, b.members.end(), active);
  }
  return i == a.members.end() && j == b.members.end();
}

// SplitMix64's finaliser (Steele et al., "Fast splittable pseudorandom number generators", 2014).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Gives each slot of a masked backend to that of another slot, drawn by the slot's number;
// neighbouring slots will not do, since which backends are neighbours repeats over the table. The
// other slots stay, so no flow between unmasked backends moves, and one more mask moves only what
// it must.
Table without_masked(const Table& table, const Table& sorted_masked) {
  constexpr unsigned kDraws = 64;
  const auto masked = [&](std::uint32_t id) {
    return std::binary_search(sorted_masked.begin(), sorted_masked.end(), id);
  };
  const std::uint32_t last_resort = *std::find_if_not(table.begin(), table.end(), masked);
  const auto size = static_cast<std::uint32_t>(table.size());
  Table out = table;
  for (std::uint32_t slot = 0; slot < size; ++slot) {
    for (unsigned draw = 0; masked(out[slot]); ++draw) {
      const std::uint64_t drawn = mix((std::uint64_t{slot} << 8 | draw) + 0x9e3779b97f4a7c15u);
      out[slot] = draw == kDraws ? last_resort : table[maglev_slot(drawn, size)];
    }
  }
  return out;
}

Table build_table(const VipBlock& block, const ForwardingState& state) {
  std::vector<MaglevMember> members;
  Table ids;
  for (const Member& member : block.members) {
    if (member.draining) continue;
    members.push_back({state.backend_info(member.backend)->name, member.weight});
    ids.push_back(member.backend);
  }
  if (members.empty()) return {};
  Table table = build_maglev(members, block.maglev_size);
  for (std::uint32_t& slot : table) slot = ids[slot];
  return table;
}

}  // namespace

bool set_maglev(VipBlock& block, const VipBlock* old, const ForwardingState& state) {
  const bool reuse =
      old != nullptr && old->maglev_size == block.maglev_size && same_active_members(*old, block);
  block.table = reuse ? old->table : std::make_shared<const Table>(build_table(block, state));

  Table masked;
  std::size_t active = 0;
  for (const Member& member : block.members) {
    if (member.draining) continue;
    ++active;
    if (member.masked) masked.push_back(member.backend);
  }
  // If health checks fail all that the cluster calls ready, the checks are what is wrong: use all.
  block.any_masked = !masked.empty() && masked.size() < active;
  block.slots = block.table;
  if (block.any_masked) {
    std::sort(masked.begin(), masked.end());
    block.slots = std::make_shared<const Table>(without_masked(*block.table, masked));
  }
  block.maglev = *block.slots;
  return !reuse && !block.table->empty();
}

}  // namespace sluice
