#include "dataplane/table/maglev.h"

#include <algorithm>
#include <iterator>
#include <queue>
#include <tuple>

#include "dataplane/table/siphash.h"

namespace sluice {
namespace {

// "sluice maglev offset" and "... skip" in spirit: any two fixed keys do, but they are for ever.
constexpr SipKey kOffsetKey{0x736c756963652d6du, 0x61676c65762d6f66u};
constexpr SipKey kSkipKey{0x736c756963652d6du, 0x61676c65762d736bu};

constexpr std::uint32_t kSizes[] = {1009,  2003,   4001,   8009,   16001,  32003,
                                    65537, 131071, 262139, 524287, 1048573};

// One member's walk over the slots.
struct Walk {
  std::uint32_t member;    // Index in the caller's span.
  std::uint32_t position;  // The slot it looks at next.
  std::uint32_t skip;      // 1 to size - 1: every slot comes once, since size is a prime.
};

// Members of equal weight take their turns together, in the order of their names.
struct Group {
  std::uint64_t turn;  // 2j - 1 for its j-th turn, which is at the time turn / weight.
  std::uint32_t weight;
  std::uint32_t first, last;  // Its walks.
};

struct Later {
  bool operator()(const Group& a, const Group& b) const {
    // turn < 2^33 and weight < 2^32, but a turn beyond 2^32 needs 2^31 slots: no overflow.
    const std::uint64_t time_a = a.turn * b.weight, time_b = b.turn * a.weight;
    return time_a != time_b ? time_a > time_b : a.weight < b.weight;
  }
};
using Groups = std::priority_queue<Group, std::vector<Group>, Later>;

// Which slots are taken: a bit each, so that the set stays in the first-level cache.
class SlotSet {
 public:
  explicit SlotSet(std::uint32_t size) : words_(size / 64 + 1) {}
  bool contains(std::uint32_t slot) const { return (words_[slot / 64] >> (slot % 64) & 1) != 0; }
  void insert(std::uint32_t slot) { words_[slot / 64] |= std::uint64_t{1} << (slot % 64); }

 private:
  std::vector<std::uint64_t> words_;
};

// The members with weight, the heavier first, then by name.
std::vector<std::uint32_t> in_order(std::span<const MaglevMember> members) {
  std::vector<std::uint32_t> order;
  order.reserve(members.size());
  for (std::uint32_t i = 0; i < members.size(); ++i) {
    if (members[i].weight > 0) order.push_back(i);
  }
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::tie(members[b].weight, members[a].name, a) <
           std::tie(members[a].weight, members[b].name, b);
  });
  return order;
}

std::vector<Walk> make_walks(std::span<const MaglevMember> members,
                             std::span<const std::uint32_t> order, std::uint32_t size) {
  std::vector<Walk> walks;
  walks.reserve(order.size());
  for (const std::uint32_t i : order) {
    walks.push_back(
        {i, static_cast<std::uint32_t>(siphash(kOffsetKey, members[i].name) % size),
         static_cast<std::uint32_t>(siphash(kSkipKey, members[i].name) % (size - 1)) + 1});
  }
  return walks;
}

Groups make_groups(std::span<const MaglevMember> members, std::span<const std::uint32_t> order) {
  std::vector<Group> groups;
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    const std::uint32_t weight = members[order[i]].weight;
    if (groups.empty() || groups.back().weight != weight) groups.push_back({1, weight, i, i});
    groups.back().last = i + 1;
  }
  return Groups(Later{}, std::move(groups));
}

}  // namespace

std::vector<std::uint32_t> build_maglev(std::span<const MaglevMember> members, std::uint32_t size) {
  const std::vector<std::uint32_t> order = in_order(members);
  if (order.empty() || !is_prime(size)) return {};
  std::vector<Walk> walks = make_walks(members, order, size);
  Groups groups = make_groups(members, order);
  std::vector<std::uint32_t> table(size);
  SlotSet taken(size);

  for (std::uint32_t left = size;;) {
    Group group = groups.top();
    groups.pop();
    for (std::uint32_t i = group.first; i < group.last; ++i) {
      Walk& walk = walks[i];
      std::uint32_t slot;
      do {
        slot = walk.position;
        const std::uint32_t room = size - walk.skip;
        walk.position = slot < room ? slot + walk.skip : slot - room;
      } while (taken.contains(slot));
      taken.insert(slot);
      table[slot] = walk.member;
      if (--left == 0) return table;
    }
    group.turn += 2;
    groups.push(group);
  }
}

std::uint32_t maglev_size_for(std::size_t members) {
  const auto* const fits = std::find_if(std::begin(kSizes), std::end(kSizes),
                                        [&](std::uint32_t n) { return n / 100 >= members; });
  return fits != std::end(kSizes) ? *fits : *std::rbegin(kSizes);
}

bool is_prime(std::uint32_t n) {
  if (n < 4) return n >= 2;
  if (n % 2 == 0) return false;
  for (std::uint64_t d = 3; d * d <= n; d += 2) {
    if (n % d == 0) return false;
  }
  return true;
}

}  // namespace sluice
