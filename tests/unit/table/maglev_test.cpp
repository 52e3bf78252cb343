#include "dataplane/table/maglev.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>

#include "dataplane/table/keyed_hash.h"
#include "table_test_support.h"

namespace sluice {
namespace {

// Members with names to live in: backend i is 10.0.(i / 256).(i % 256):8080.
class Members {
 public:
  explicit Members(std::size_t count) {
    names_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      names_.push_back("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256) + ":8080");
      list.push_back({names_.back(), 1});
    }
  }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;
  std::vector<MaglevMember> list;

 private:
  std::vector<std::string> names_;
};

std::vector<std::uint32_t> slots_of(const std::vector<std::uint32_t>& table, std::size_t members) {
  std::vector<std::uint32_t> slots(members);
  for (const std::uint32_t member : table) ++slots.at(member);
  return slots;
}

void expect_balance(const std::vector<MaglevMember>& members, std::uint32_t size) {
  const auto table = build_maglev(members, size);
  ASSERT_EQ(table.size(), size);
  const auto slots = slots_of(table, members.size());
  double sum = 0;
  for (const auto& m : members) sum += m.weight;
  for (std::size_t i = 0; i < members.size(); ++i) {
    const double share = size * (members[i].weight / sum);
    // Within 1 % of the weight, or one slot: slots are whole.
    ASSERT_NEAR(slots[i], share, std::max(1.0, 0.01 * share)) << members[i].name;
  }
}

TEST(Maglev, SlotsFollowEqualWeightsWithinOnePercent) {
  for (const std::size_t count : {1, 2, 3, 10, 100, 655}) {
    const Members members(count);
    expect_balance(members.list, maglev_size_for(count));
    const auto slots = slots_of(build_maglev(members.list, maglev_size_for(count)), count);
    const auto [least, most] = std::minmax_element(slots.begin(), slots.end());
    EXPECT_LE(*most - *least, 1u);
    EXPECT_LE(*most, 1.01 * *least + 0.5);
  }
}

TEST(Maglev, SlotsFollowUnequalWeights) {
  Members members(100);
  for (std::size_t i = 0; i < 100; ++i) members.list[i].weight = i % 2 == 0 ? 1 : 2;
  expect_balance(members.list, 16001);
  Random random(1);
  for (auto& m : members.list) m.weight = 50 + random.below(100);
  expect_balance(members.list, 32003);
  for (auto& m : members.list) m.weight = 1u << random.below(20);
  expect_balance(members.list, 65537);
  for (auto& m : members.list) m.weight = ~0u - random.below(2);
  expect_balance(members.list, 16001);
}

TEST(Maglev, AMemberWithoutWeightGetsNothing) {
  Members members(3);
  members.list[1].weight = 0;
  const auto slots = slots_of(build_maglev(members.list, 1009), 3);
  EXPECT_EQ(slots[1], 0u);
  EXPECT_EQ(slots[0] + slots[2], 1009u);
  for (auto& m : members.list) m.weight = 0;
  EXPECT_TRUE(build_maglev(members.list, 1009).empty());
  EXPECT_TRUE(build_maglev({}, 1009).empty());
  EXPECT_TRUE(build_maglev(Members(2).list, 1008).empty());
  EXPECT_TRUE(build_maglev(Members(2).list, 0).empty());
}

TEST(Maglev, MoreMembersThanSlotsStillFillsEverySlot) {
  const auto slots = slots_of(build_maglev(Members(300).list, 251), 300);
  EXPECT_EQ(std::accumulate(slots.begin(), slots.end(), 0u), 251u);
  EXPECT_EQ(*std::max_element(slots.begin(), slots.end()), 1u);
  EXPECT_EQ(build_maglev(Members(1).list, 2), (std::vector<std::uint32_t>{0, 0}));
}

TEST(Maglev, TheOrderOfTheListDoesNotMatter) {
  Members members(50);
  for (std::size_t i = 0; i < 50; ++i) members.list[i].weight = 1 + i % 3;
  auto shuffled = members.list;
  Random random(4);
  for (std::uint32_t i = 49; i > 0; --i) std::swap(shuffled[i], shuffled[random.below(i + 1)]);
  const auto a = build_maglev(members.list, 8009), b = build_maglev(shuffled, 8009);
  for (std::size_t slot = 0; slot < a.size(); ++slot) {
    ASSERT_EQ(members.list[a[slot]].name, shuffled[b[slot]].name);
  }
}

// Slots that changed hands although both their old and their new owner are in both tables.
struct Disruption {
  double needless, total;  // Of all slots.
};
Disruption disruption(const std::vector<MaglevMember>& before,
                      const std::vector<MaglevMember>& after, std::uint32_t size) {
  const auto a = build_maglev(before, size), b = build_maglev(after, size);
  const auto weight = [](const std::vector<MaglevMember>& list, std::string_view name) {
    for (const auto& m : list) {
      if (m.name == name) return m.weight;
    }
    return 0u;
  };
  std::uint32_t needless = 0, total = 0;
  for (std::uint32_t slot = 0; slot < size; ++slot) {
    const auto old_name = before[a[slot]].name, new_name = after[b[slot]].name;
    if (old_name == new_name) continue;
    ++total;
    needless += weight(after, old_name) > 0 && weight(before, new_name) > 0;
  }
  return {needless / double(size), total / double(size)};
}

TEST(Maglev, AChangeOfOneMemberMovesFewSlotsOfTheOthers) {
  const Members members(100);
  for (const std::size_t changed : {0, 17, 50, 99}) {
    auto without = members.list;
    without.erase(without.begin() + static_cast<std::ptrdiff_t>(changed));
    // 1 % of the slots must move; the paper's algorithm moves a little more.
    for (const auto& d :
         {disruption(members.list, without, 65537), disruption(without, members.list, 65537)}) {
      RecordProperty("total", std::to_string(d.total));
      EXPECT_GE(d.total, 0.0099);
      EXPECT_LE(d.needless, 0.02);
    }
    auto halved = members.list;
    for (auto& m : halved) m.weight = 2;
    auto full = halved;
    halved[changed].weight = 1;
    EXPECT_LE(disruption(full, halved, 65537).total, 0.025);
  }
}

TEST(Maglev, WeightsMatterOnlyByTheirRatio) {
  Members members(20);
  for (std::size_t i = 0; i < 20; ++i) members.list[i].weight = 1 + i % 4;
  const auto table = build_maglev(members.list, 2003);
  for (auto& m : members.list) m.weight *= 1000;
  EXPECT_EQ(build_maglev(members.list, 2003), table);
}

std::uint64_t checksum(const std::vector<std::uint32_t>& table) {
  std::uint64_t sum = 0xcbf29ce484222325u;  // FNV-1a of the indexes as 32-bit words.
  for (const std::uint32_t member : table) sum = (sum ^ member) * 0x100000001b3u;
  return sum;
}

// Every process and every release must build these very tables: gateways of different ages serve
// the same VIP. The values were computed by another implementation of the definition in maglev.h.
TEST(Maglev, TablesAreTheSameInEveryProcess) {
  Members equal(10);
  EXPECT_EQ(checksum(build_maglev(equal.list, 1009)), 0x6b9203acc55866e7u);
  Members weighted(100);
  for (std::size_t i = 0; i < 100; ++i) weighted.list[i].weight = 1 + i % 7;
  EXPECT_EQ(checksum(build_maglev(weighted.list, 16001)), 0xec06d2fcea969089u);
}

TEST(Maglev, ConnectionsSpreadByWeight) {
  constexpr int kConnections = 200000;
  Members members(50);
  for (std::size_t i = 0; i < 50; ++i) members.list[i].weight = 1 + i % 2;
  const auto table = build_maglev(members.list, 8009);
  const auto slots = slots_of(table, 50);
  const std::uint8_t seed[16] = {42};
  const HashSecret secret = make_hash_secret(seed);
  std::vector<int> got(50);
  for (std::uint64_t i = 0; i < kConnections; ++i) {
    // Clients in one /16, ports counting up: what real traffic looks like.
    const std::uint64_t client = (i * 7919 % 65536) << 16 | 10, port = 32768 + i / 16;
    const auto hash = keyed_hash(secret, std::array<std::uint64_t, 2>{client | port << 32, 443});
    ++got[table[maglev_slot(hash, 8009)]];
  }
  double chi_square = 0;
  for (std::size_t i = 0; i < 50; ++i) {
    const double expected = kConnections * (members.list[i].weight / 75.0);
    chi_square += (got[i] - expected) * (got[i] - expected) / expected;
  }
  EXPECT_LT(chi_square, 85.35);  // 49 degrees of freedom, p = 0.001.
  EXPECT_GT(chi_square, 23.98);  // And not better than chance, p = 0.999.
}

TEST(Maglev, SlotOfAFlowIsWithinTheTable) {
  EXPECT_EQ(maglev_slot(0, 1009), 0u);
  EXPECT_EQ(maglev_slot(~std::uint64_t{0}, 1009), 1008u);
  EXPECT_EQ(maglev_slot(std::uint64_t{1} << 63, 1009), 504u);
}

TEST(Maglev, SizesArePrimesOfAHundredTimesTheMembers) {
  EXPECT_EQ(maglev_size_for(0), 1009u);
  EXPECT_EQ(maglev_size_for(10), 1009u);
  EXPECT_EQ(maglev_size_for(11), 2003u);
  EXPECT_EQ(maglev_size_for(655), 65537u);
  EXPECT_EQ(maglev_size_for(656), 131071u);
  EXPECT_EQ(maglev_size_for(10485), 1048573u);
  EXPECT_EQ(maglev_size_for(~std::size_t{0}), 1048573u);
  for (std::size_t members = 1; members <= 10485; ++members) {
    const std::uint32_t size = maglev_size_for(members);
    ASSERT_GE(size, 100 * members);
    ASSERT_TRUE(members % 100 != 0 || is_prime(size));
  }
}

TEST(Maglev, Primes) {
  std::vector<std::uint32_t> primes;
  for (std::uint32_t n = 0; n < 60; ++n) {
    if (is_prime(n)) primes.push_back(n);
  }
  EXPECT_EQ(primes, (std::vector<std::uint32_t>{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43,
                                                47, 53, 59}));
  EXPECT_TRUE(is_prime(4294967291u));
  EXPECT_FALSE(is_prime(4294967295u));
  EXPECT_FALSE(is_prime(65537u * 65521u));
  for (const std::uint32_t n :
       {1009u, 2003u, 4001u, 8009u, 16001u, 32003u, 65537u, 131071u, 262139u, 524287u, 1048573u}) {
    EXPECT_TRUE(is_prime(n)) << n;
  }
}

}  // namespace
}  // namespace sluice
