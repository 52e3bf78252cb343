// What the table promises entry by entry; under load see connection_table_load_test.cpp.
#include "dataplane/table/connection_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "table_test_support.h"

namespace sluice {
namespace {

template <typename Family>
class ConnectionTableTest : public ::testing::Test {};
TYPED_TEST_SUITE(ConnectionTableTest, Families, FamilyNames);

TYPED_TEST(ConnectionTableTest, FindsWhatWasInsertedWithAllItsFields) {
  auto table = make_table<TypeParam>(1000);
  const auto key = numbered_key<TypeParam>(5);
  EXPECT_EQ(find(*table, key), kNoSlot);
  const Slot slot = insert(*table, key, 77, FlowState::handshake, 0x12345);
  ASSERT_NE(slot, kNoSlot);
  EXPECT_EQ(find(*table, key), slot);
  EXPECT_EQ(table->entry(slot).key, key);
  EXPECT_EQ(table->link(slot), FlowLink::backend(77));
  EXPECT_EQ(table->state(slot), FlowState::handshake);
  EXPECT_EQ(table->age(slot), 0x2345);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_EQ(table->weak(), 1u);

  table->touch(slot, FlowState::established, 0x12350);
  table->set_link(slot, FlowLink::nat(FlowLink::kNatBit - 1));
  EXPECT_EQ(table->state(slot), FlowState::established);
  EXPECT_EQ(table->age(slot), 0x2350);
  EXPECT_TRUE(table->link(slot).is_nat());
  EXPECT_EQ(table->link(slot).index(), FlowLink::kNatBit - 1);
  EXPECT_EQ(table->entry(slot).key, key);
  EXPECT_EQ(table->weak(), 0u);

  table->erase(slot);
  EXPECT_EQ(find(*table, key), kNoSlot);
  EXPECT_EQ(table->size(), 0u);
  table->erase(slot);  // Of an empty slot: nothing.
  EXPECT_EQ(table->size(), 0u);
}

TYPED_TEST(ConnectionTableTest, HasRoomForFourThirdsOfItsCapacity) {
  for (const std::size_t capacity : {0, 1, 3, 4, 5, 100, 1000, 12345}) {
    auto table = make_table<TypeParam>(capacity);
    ASSERT_NE(table, nullptr);
    EXPECT_GE(table->slots() * 3, table->capacity() * 4);
    EXPECT_GE(table->capacity(), capacity);
  }
}

TYPED_TEST(ConnectionTableTest, EveryFieldOfTheKeyTellsFlowsApart) {
  auto table = make_table<TypeParam>(3);  // Two buckets: all keys have the same two.
  const auto key = numbered_key<TypeParam>(1);
  std::vector<FlowKey<TypeParam>> keys(4, key);
  keys[1].client.back() ^= 1;
  keys[2].client_port.raw ^= 0x100;
  keys[3].vip_id ^= kMaxVipIds / 2;
  auto other_port = key;
  other_port.vip_port.raw ^= 1;
  for (std::uint32_t i = 0; i < 3; ++i) ASSERT_NE(insert(*table, keys[i], i), kNoSlot);
  for (std::uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(table->link(find(*table, keys[i])), FlowLink::backend(i));
  }
  EXPECT_EQ(find(*table, keys[3]), kNoSlot);
  EXPECT_EQ(find(*table, other_port), kNoSlot);
}

TYPED_TEST(ConnectionTableTest, FlowsWithEqualHashesAreToldApart) {
  auto table = make_table<TypeParam>(300);
  const auto wanted = table->hash(numbered_key<TypeParam>(0));
  std::vector<FlowKey<TypeParam>> keys;
  constexpr std::uint32_t kRoom = 2 * FlowBucket<TypeParam>::kEntries;
  for (std::uint32_t n = 0; keys.size() <= kRoom; ++n) {
    const auto key = numbered_key<TypeParam>(n);
    const auto hash = table->hash(key);
    ASSERT_NE(hash.bucket[0], hash.bucket[1]);
    if (hash.bucket[0] == wanted.bucket[0] && hash.bucket[1] == wanted.bucket[1]) {
      keys.push_back(key);
    }
  }
  // They fill the two buckets; one more has nowhere to go and takes nobody's place.
  for (std::uint32_t i = 0; i < kRoom; ++i) ASSERT_NE(insert(*table, keys[i], i), kNoSlot);
  EXPECT_EQ(insert(*table, keys[kRoom], kRoom), kNoSlot);
  EXPECT_EQ(find(*table, keys[kRoom]), kNoSlot);
  for (std::uint32_t i = 0; i < kRoom; ++i) {
    const Slot slot = find(*table, keys[i]);
    ASSERT_NE(slot, kNoSlot);
    EXPECT_EQ(table->entry(slot).key, keys[i]);
    EXPECT_EQ(table->link(slot), FlowLink::backend(i));
  }
}

TYPED_TEST(ConnectionTableTest, TheKeyOfZerosIsAKeyLikeAnyOther) {
  auto table = make_table<TypeParam>(3);
  const FlowKey<TypeParam> zeros{};
  EXPECT_EQ(find(*table, zeros), kNoSlot);
  const Slot first = insert(*table, numbered_key<TypeParam>(1), 1);
  ASSERT_NE(insert(*table, zeros, 2), kNoSlot);
  table->erase(first);  // An empty slot before it looks like its key.
  ASSERT_NE(find(*table, zeros), kNoSlot);
  EXPECT_EQ(table->link(find(*table, zeros)), FlowLink::backend(2));
}

TYPED_TEST(ConnectionTableTest, FullRefusesAndLosesNothing) {
  constexpr std::uint32_t kCapacity = 3000;
  auto table = make_table<TypeParam>(kCapacity);
  std::vector<bool> held;
  for (std::uint32_t n = 0; n < 2 * kCapacity; ++n) {
    const auto state = n >= kCapacity && n % 3 == 0 ? FlowState::closing : FlowState::established;
    held.push_back(insert(*table, numbered_key<TypeParam>(n), n, state) != kNoSlot);
    ASSERT_TRUE(held[n] || n >= kCapacity) << n;  // The promise.
  }
  EXPECT_GT(table->size(), table->slots() * 95 / 100);
  EXPECT_LE(table->size(), table->slots());
  for (std::uint32_t n = 0; n < 2 * kCapacity; ++n) {
    const Slot slot = find(*table, numbered_key<TypeParam>(n));
    ASSERT_EQ(slot != kNoSlot, held[n]);
    if (held[n]) {
      ASSERT_EQ(table->link(slot), FlowLink::backend(n));
    }
  }
  // It goes on as soon as there is room.
  const auto refused =
      static_cast<std::uint32_t>(std::find(held.begin(), held.end(), false) - held.begin());
  ASSERT_LT(refused, held.size());
  const auto key = numbered_key<TypeParam>(refused);
  EXPECT_EQ(insert(*table, key, 1, FlowState::weak), kNoSlot);
  table->erase(table->hash(key).bucket[1] * FlowBucket<TypeParam>::kEntries);
  EXPECT_NE(insert(*table, key, 1), kNoSlot);
}

TYPED_TEST(ConnectionTableTest, IdleTimeIsRightWhenTheClockWraps) {
  auto table = make_table<TypeParam>(10);
  const Slot slot = insert(*table, numbered_key<TypeParam>(1), 1, FlowState::established, 0x1fff0);
  EXPECT_EQ(idle_ticks(0x20010, table->age(slot)), 0x20);
  table->touch(slot, FlowState::established, 0xffffffff);
  EXPECT_EQ(idle_ticks(3, table->age(slot)), 4);
}

// Expires what is idle for longer than the timer of its state.
struct Ageing {
  Ticks now;
  FlowTimers timers;
  std::vector<std::uint32_t> gone;
  template <typename Entry>
  static bool expired(void* context, const Entry& entry) {
    auto& self = *static_cast<Ageing*>(context);
    if (idle_ticks(self.now, entry.age) < self.timers.for_state(entry.state, true)) return false;
    self.gone.push_back(entry.link.index());
    return true;
  }
};

TYPED_TEST(ConnectionTableTest, SweepAgesByStateAndIsBounded) {
  using Table = ConnectionTable<TypeParam>;
  auto table = make_table<TypeParam>(600);
  Ageing ageing{100, {}, {}};
  const Ticks start = 65500;  // The 16 bits of age wrap in between.
  constexpr FlowState kStates[] = {FlowState::weak, FlowState::handshake, FlowState::established,
                                   FlowState::closing};
  for (std::uint32_t n = 0; n < 400; ++n) {
    ASSERT_NE(insert(*table, numbered_key<TypeParam>(n), n,
                     n < 40 ? kStates[n % 4] : FlowState::established, start),
              kNoSlot);
  }
  const auto round = [&](Ticks now) {
    ageing.now = now;
    ageing.gone.clear();
    std::size_t calls = 1;
    while (!table->sweep(7, &Ageing::expired<typename Table::Entry>, &ageing)) ++calls;
    EXPECT_EQ(calls, (table->buckets() + 6) / 7);
  };
  round(start + 59);
  EXPECT_TRUE(ageing.gone.empty());
  round(start + 60);  // Handshakes, weak ones and closing ones live for 30 s.
  EXPECT_EQ(ageing.gone.size(), 30u);
  for (const std::uint32_t n : ageing.gone) EXPECT_NE(kStates[n % 4], FlowState::established);
  EXPECT_EQ(table->weak(), 0u);
  round(start + 7440 * kTicksPerSecond - 1);
  EXPECT_TRUE(ageing.gone.empty());
  table->touch(find(*table, numbered_key<TypeParam>(399)), FlowState::established, start + 20000);
  round(start + 20000);
  EXPECT_EQ(ageing.gone.size(), 369u);
  EXPECT_EQ(table->size(), 1u);
  EXPECT_NE(find(*table, numbered_key<TypeParam>(399)), kNoSlot);
  // However much is asked for, a call ends with the round.
  EXPECT_TRUE(table->sweep(1u << 30, &Ageing::expired<typename Table::Entry>, &ageing));
}

TYPED_TEST(ConnectionTableTest, ARoundShowsAlsoWhatInsertionsMoved) {
  using Entry = typename ConnectionTable<TypeParam>::Entry;
  constexpr std::uint32_t kCapacity = 3000, kRetired = 1, kLiving = 2;
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    auto table = make_table<TypeParam>(kCapacity, seed);
    for (std::uint32_t n = 0; n < kCapacity; ++n) {
      ASSERT_NE(insert(*table, numbered_key<TypeParam>(n), kRetired), kNoSlot);
    }
    const auto retired = [](void*, const Entry& entry) {
      return entry.link == FlowLink::backend(kRetired);
    };
    // The table is kept full while the round goes on, so that entries move all the time.
    std::uint32_t next = kCapacity;
    std::size_t calls = 0;
    while (!table->sweep(1, retired, nullptr)) {
      ASSERT_LT(++calls, 10 * table->buckets());
      while (table->size() < kCapacity) {
        ASSERT_NE(insert(*table, numbered_key<TypeParam>(next++), kLiving), kNoSlot);
      }
    }
    ASSERT_GT(next, kCapacity);
    for (Slot slot = 0; slot < table->slots(); ++slot) {
      Entry entry;
      if (table->peek(slot, entry)) {
        ASSERT_NE(entry.link, FlowLink::backend(kRetired)) << seed;
      }
    }
  }
}

TYPED_TEST(ConnectionTableTest, MemoryComesFromWhereItWasTold) {
  const std::uint8_t secret[16] = {};
  std::size_t given = 0, returned = 0;
  const TableMemory memory{[&](std::size_t bytes) {
                             given += bytes;
                             return TableMemory::heap().allocate(bytes);
                           },
                           [&](void* p, std::size_t bytes) {
                             returned += bytes;
                             TableMemory::heap().release(p, bytes);
                           }};
  auto table = ConnectionTable<TypeParam>::create(3000, secret, memory);
  EXPECT_EQ(given, table->slots() * sizeof(FlowEntry<TypeParam>));
  table.reset();
  EXPECT_EQ(returned, given);

  const TableMemory none{[](std::size_t) -> void* { return nullptr; },
                         [](void*, std::size_t) { ADD_FAILURE() << "released nothing"; }};
  EXPECT_EQ(ConnectionTable<TypeParam>::create(3000, secret, none), nullptr);
  EXPECT_EQ(ConnectionTable<TypeParam>::create(~std::size_t{0}, secret), nullptr);
}

TYPED_TEST(ConnectionTableTest, PeekIsBoundedWhileTheOwnerWrites) {
  using Entry = typename ConnectionTable<TypeParam>::Entry;
  auto table = make_table<TypeParam>(100);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    Entry entry;
    Slot slot = 0;
    while (!done.load(std::memory_order_relaxed)) {
      slot = (slot + 1) % (static_cast<Slot>(table->slots()) + 10);
      const bool there = table->peek(slot, entry);
      EXPECT_LT(entry.key.vip_id, kMaxVipIds);
      if (slot >= table->slots()) {
        EXPECT_FALSE(there);
      }
      EXPECT_LE(table->weak(), table->slots());
    }
  });
  for (std::uint32_t n = 0; n < 50000; ++n) {
    const Slot slot = insert(*table, numbered_key<TypeParam>(n), n % 1000);
    if (slot != kNoSlot) table->touch(slot, FlowState::closing, n);
    if (n >= 50) {
      const Slot old = find(*table, numbered_key<TypeParam>(n - 50));
      if (old != kNoSlot) table->erase(old);
    }
  }
  done = true;
  reader.join();
  EXPECT_FALSE(table->peek(kNoSlot, *std::make_unique<Entry>()));
}

TEST(TableMemory, IsZeroedAndAligned) {
  const TableMemory memory = TableMemory::heap();
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{1000}, std::size_t{5} << 20}) {
    auto* const p = static_cast<std::uint8_t*>(memory.allocate(bytes));
    ASSERT_NE(p, nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % 64, 0u);
    std::size_t nonzero = 0;
    for (std::size_t i = 0; i < bytes; i += 8) nonzero += p[i] != 0;
    EXPECT_EQ(nonzero, 0u);
    std::memset(p, 0xff, bytes);
    memory.release(p, bytes);
  }
  EXPECT_EQ(memory.allocate(~std::size_t{0}), nullptr);
  memory.release(nullptr, 64);
}

}  // namespace
}  // namespace sluice
