// The table under load: full of verified flows, in a flood, and against a plain map.
#include <gtest/gtest.h>

#include <map>
#include <tuple>
#include <vector>

#include "dataplane/table/connection_table.h"
#include "table_test_support.h"

namespace sluice {
namespace {

template <typename Family>
constexpr std::uint32_t kTestCapacity = Family::kAddressBytes == 4 ? 20000 : 10000;

template <typename Family>
struct Evictions {
  std::uint32_t weak = 0, verified = 0;
  static void count(void* context, const typename ConnectionTable<Family>::Entry& entry) {
    auto& self = *static_cast<Evictions*>(context);
    ++(counts_as_weak(entry.state) ? self.weak : self.verified);
  }
};

// Walks the whole table: the counts it keeps must be those of its entries.
template <typename Family>
void expect_counts(const ConnectionTable<Family>& table) {
  std::size_t size = 0, weak = 0;
  for (Slot slot = 0; slot < table.slots(); ++slot) {
    typename ConnectionTable<Family>::Entry entry;
    if (!table.peek(slot, entry)) continue;
    ++size;
    weak += counts_as_weak(entry.state);
  }
  EXPECT_EQ(table.size(), size);
  EXPECT_EQ(table.weak(), weak);
}

template <typename Family>
class ConnectionTableLoad : public ::testing::Test {};
TYPED_TEST_SUITE(ConnectionTableLoad, Families, FamilyNames);

TYPED_TEST(ConnectionTableLoad, LosesNothingAtFourFifthsOfCapacity) {
  constexpr std::uint32_t kCapacity = kTestCapacity<TypeParam>;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    auto table = make_table<TypeParam>(kCapacity, seed);
    Random random(seed);
    std::vector<FlowKey<TypeParam>> flows;
    std::uint32_t refused = 0;
    for (std::uint32_t i = 0; i < kCapacity * 8 / 10; ++i) {
      flows.push_back(random_key<TypeParam>(random));
      refused += insert(*table, flows[i], i) == kNoSlot;
    }
    for (std::uint32_t i = 0; i < 10 * kCapacity; ++i) {
      const std::uint32_t at = random.below(static_cast<std::uint32_t>(flows.size()));
      const Slot old = find(*table, flows[at]);
      ASSERT_NE(old, kNoSlot);
      table->erase(old);
      flows[at] = random_key<TypeParam>(random);
      refused += insert(*table, flows[at], at) == kNoSlot;
    }
    ASSERT_EQ(refused, 0u) << "seed " << seed;
    for (std::uint32_t i = 0; i < flows.size(); ++i) {
      const Slot slot = find(*table, flows[i]);
      ASSERT_NE(slot, kNoSlot);
      ASSERT_EQ(table->link(slot), FlowLink::backend(i));
    }
    expect_counts(*table);
  }
}

// What a table promises to hold it holds, also when every flow in it has been replaced many times:
// the moves that make room lose nothing on their way.
TYPED_TEST(ConnectionTableLoad, HoldsItsCapacityThroughChurn) {
  constexpr std::uint32_t kCapacity = kTestCapacity<TypeParam>;
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    auto table = make_table<TypeParam>(kCapacity, seed);
    Random random(seed);
    std::vector<FlowKey<TypeParam>> flows;
    for (std::uint32_t i = 0; i < kCapacity; ++i) {
      flows.push_back(random_key<TypeParam>(random));
      ASSERT_NE(insert(*table, flows[i], i), kNoSlot) << "flow " << i << ", seed " << seed;
    }
    for (std::uint32_t i = 0; i < 10 * kCapacity; ++i) {
      const std::uint32_t at = random.below(kCapacity);
      const Slot old = find(*table, flows[at]);
      ASSERT_NE(old, kNoSlot);
      ASSERT_EQ(table->link(old), FlowLink::backend(at));
      table->erase(old);
      flows[at] = random_key<TypeParam>(random);
      ASSERT_NE(insert(*table, flows[at], at), kNoSlot) << "change " << i << ", seed " << seed;
    }
    expect_counts(*table);
  }
}

TYPED_TEST(ConnectionTableLoad, AFloodOfWeakFlowsEvictsNoVerifiedOne) {
  constexpr std::uint32_t kCapacity = kTestCapacity<TypeParam>;
  // With room for the whole quota, with little, and filled with verified flows to the last slot in
  // reach.
  for (const std::uint32_t offered : {kCapacity / 2, kCapacity, 2 * kCapacity}) {
    auto table = make_table<TypeParam>(kCapacity);
    std::vector<bool> held;
    for (std::uint32_t n = 0; n < offered; ++n) {
      held.push_back(insert(*table, numbered_key<TypeParam>(n), n) != kNoSlot);
    }
    const std::size_t verified = table->size();
    ASSERT_GE(verified, std::min(offered, kCapacity));
    Evictions<TypeParam> evictions;
    Random random(offered);
    std::uint32_t inserted = 0;
    for (std::uint32_t i = 0; i < 10 * kCapacity; ++i) {
      auto key = random_key<TypeParam>(random);
      key.client[0] = 11;  // None of the verified ones.
      inserted += table->insert(key, table->hash(key), FlowLink::backend(0),
                                i % 2 == 0 ? FlowState::weak : FlowState::handshake, i / 1000,
                                &Evictions<TypeParam>::count, &evictions) != kNoSlot;
    }
    EXPECT_EQ(evictions.verified, 0u);
    EXPECT_EQ(inserted - evictions.weak, table->weak());
    EXPECT_EQ(table->size() - table->weak(), verified);
    if (offered <= kCapacity) {
      EXPECT_EQ(table->weak(), kCapacity / 4);
    }
    for (std::uint32_t n = 0; n < offered; ++n) {
      const Slot slot = find(*table, numbered_key<TypeParam>(n));
      ASSERT_EQ(slot != kNoSlot, held[n]);
      if (held[n]) {
        ASSERT_EQ(table->link(slot), FlowLink::backend(n));
      }
    }
    expect_counts(*table);
  }
}

TYPED_TEST(ConnectionTableLoad, WeakFlowsTakeAQuarterAndReplaceEachOther) {
  constexpr std::uint32_t kCapacity = kTestCapacity<TypeParam>;
  auto table = make_table<TypeParam>(kCapacity);
  for (std::uint32_t n = 0; n < kCapacity / 4; ++n) {
    ASSERT_NE(insert(*table, numbered_key<TypeParam>(n), n, FlowState::weak, n / 100), kNoSlot);
  }
  EXPECT_EQ(table->weak(), kCapacity / 4);
  std::uint32_t refused = 0;
  Evictions<TypeParam> evictions;
  for (std::uint32_t n = kCapacity; n < 2 * kCapacity; ++n) {
    const auto key = numbered_key<TypeParam>(n);
    const auto hash = table->hash(key);
    const Slot slot = table->insert(key, hash, FlowLink::backend(0), FlowState::handshake, 1000,
                                    &Evictions<TypeParam>::count, &evictions);
    refused += slot == kNoSlot;
    ASSERT_EQ(table->weak(), kCapacity / 4);
    ASSERT_EQ(find(*table, key), slot);
  }
  EXPECT_EQ(evictions.weak + refused, kCapacity);
  EXPECT_GT(evictions.weak, kCapacity / 2);
  // Verification gives the quota back; falling back to a handshake takes it.
  const auto key = numbered_key<TypeParam>(3 * kCapacity);
  EXPECT_NE(insert(*table, key, 1), kNoSlot);
  EXPECT_EQ(table->weak(), kCapacity / 4);
  table->touch(find(*table, key), FlowState::handshake, 5);
  EXPECT_EQ(table->weak(), kCapacity / 4 + 1);
  table->touch(find(*table, key), FlowState::closing, 5);
  EXPECT_EQ(table->weak(), kCapacity / 4);
}

TYPED_TEST(ConnectionTableLoad, AFullTableGivesWeakPlacesToNewcomers) {
  constexpr std::uint32_t kCapacity = kTestCapacity<TypeParam>;
  constexpr std::uint32_t kWeak = kCapacity / 4 - 1;  // One below the quota.
  auto table = make_table<TypeParam>(kCapacity);
  for (std::uint32_t n = 0; n < kWeak; ++n) {
    ASSERT_NE(insert(*table, numbered_key<TypeParam>(n), n, FlowState::weak), kNoSlot);
  }
  Evictions<TypeParam> evictions;
  std::uint32_t next = kWeak;
  const auto newcomer = [&](FlowState state) {
    const auto key = numbered_key<TypeParam>(next++);
    const Slot slot = table->insert(key, table->hash(key), FlowLink::backend(0), state, 9,
                                    &Evictions<TypeParam>::count, &evictions);
    return slot != kNoSlot && table->entry(slot).key == key;
  };
  // Verified flows come until there is no room but that of weak ones; none of them is refused,
  // since the reach is far beyond the own two buckets.
  while (evictions.weak == 0) ASSERT_TRUE(newcomer(FlowState::established));
  EXPECT_GT(table->size(), table->slots() * 85 / 100);
  while (evictions.weak < 1000) ASSERT_TRUE(newcomer(FlowState::established));
  EXPECT_EQ(table->weak(), kWeak - evictions.weak);
  // A weak one as well, below the quota.
  const std::uint32_t before = evictions.weak;
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(newcomer(FlowState::weak));
  EXPECT_GT(evictions.weak, before);
  EXPECT_EQ(table->size(), next - evictions.weak);
  EXPECT_EQ(evictions.verified, 0u);
  for (std::uint32_t n = kWeak; n < next - 100; ++n) {
    ASSERT_NE(find(*table, numbered_key<TypeParam>(n)), kNoSlot);
  }
  expect_counts(*table);
}

TYPED_TEST(ConnectionTableLoad, BehavesAsAMap) {
  using Entry = typename ConnectionTable<TypeParam>::Entry;
  constexpr std::uint32_t kCapacity = 500, kKeys = 700;
  auto table = make_table<TypeParam>(kCapacity);
  struct Flow {
    std::uint32_t link;
    FlowState state;
    std::uint16_t age;
  };
  using Model =
      std::map<std::uint32_t, Flow>;  // By the key's number; the link begins as that number.
  Model model;
  const auto number = [](const Entry& entry) {
    std::uint16_t high;
    std::memcpy(&high, &entry.key.client[TypeParam::kAddressBytes - 2], 2);
    return std::uint32_t{high} << 16 | entry.key.client_port.raw;
  };
  struct Context {
    Model* model;
    decltype(number)* of;
  } context{&model, &number};
  const auto evicted = [](void* c, const Entry& entry) {
    auto& self = *static_cast<Context*>(c);
    ASSERT_TRUE(counts_as_weak(entry.state));
    ASSERT_EQ(self.model->erase((*self.of)(entry)), 1u);
  };
  const auto expired = [](void* c, const Entry& entry) {
    auto& self = *static_cast<Context*>(c);
    const auto it = self.model->find((*self.of)(entry));
    EXPECT_NE(it, self.model->end());
    if (it == self.model->end() || it->second.link % 3 != 0) return false;
    self.model->erase(it);
    return true;
  };
  Random random(3);
  for (Ticks now = 0; now < 60000; ++now) {
    const std::uint32_t n = random.below(kKeys);
    const auto key = numbered_key<TypeParam>(n);
    const auto state = static_cast<FlowState>(1 + random.below(4));
    const Slot slot = find(*table, key);
    ASSERT_EQ(slot != kNoSlot, model.contains(n));
    if (slot == kNoSlot) {
      if (table->insert(key, table->hash(key), FlowLink::backend(n), state, now, evicted,
                        &context) != kNoSlot) {
        model[n] = {n, state, static_cast<std::uint16_t>(now)};
      }
    } else {
      Flow& flow = model[n];
      const Entry entry = table->entry(slot);
      ASSERT_EQ(entry.link.index(), flow.link);
      ASSERT_EQ(entry.state, flow.state);
      ASSERT_EQ(entry.age, flow.age);
      switch (random.below(3)) {
        case 0:
          table->touch(slot, state, now);
          flow.state = state;
          flow.age = static_cast<std::uint16_t>(now);
          break;
        case 1:
          flow.link = random.below(1000);
          table->set_link(slot, FlowLink::backend(flow.link));
          break;
        default:
          if (random.below(4) != 0) break;
          table->erase(slot);
          model.erase(n);
      }
    }
    if (now % 500 == 0) table->sweep(random.below(200), expired, &context);
    ASSERT_EQ(table->size(), model.size());
  }
  expect_counts(*table);
}

}  // namespace
}  // namespace sluice
