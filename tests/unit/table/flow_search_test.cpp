// Every variant of the burst's look-up that this machine has, against what the scalar one finds.
#include "dataplane/table/flow_search.h"

#include <gmock/gmock.h>

#include <vector>

#include "table_test_support.h"

namespace sluice {
namespace {

using testing::HasSubstr;
using testing::Not;

template <typename Family>
class FlowSearchTest : public ::testing::Test {};
TYPED_TEST_SUITE(FlowSearchTest, Families, FamilyNames);

// The same table once per instruction set: the secret is the same, and so are all slots.
template <typename Family>
class Twins {
 public:
  explicit Twins(std::size_t capacity) {
    for (const InstructionSet set : supported_instruction_sets()) {
      tables_.push_back(make_table<Family>(capacity, 1, set));
    }
  }
  const ConnectionTable<Family>& scalar() const { return *tables_.front(); }
  void insert(const FlowKey<Family>& key, FlowLink link, FlowState state, Ticks now) {
    for (const auto& table : tables_) {
      table->insert(key, table->hash(key), link, state, now, nullptr, nullptr);
    }
  }
  void erase(Slot slot) {
    for (const auto& table : tables_) table->erase(slot);
  }

  // Whether each variant finds of these keys what a scan of all slots finds.
  void expect_agreement(const std::vector<FlowKey<Family>>& keys) const {
    typename ConnectionTable<Family>::Batch batch;
    for (const auto& table : tables_) {
      batch.count = 0;
      for (auto& slot : batch.slot) slot = kUntouched;
      for (const auto& key : keys) {
        const auto hash = table->add(batch, key);
        ASSERT_EQ(hash.bucket[0], table->hash(key).bucket[0]);
        ASSERT_EQ(hash.bucket[1], table->hash(key).bucket[1]);
      }
      table->find(batch);
      for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(batch.slot[i], scan(keys[i])) << i;
      for (std::size_t i = keys.size(); i < batch.kMax; ++i) ASSERT_EQ(batch.slot[i], kUntouched);
    }
  }

 private:
  static constexpr Slot kUntouched = 0xdeadbeef;

  // By the entries' fields alone, without a hash or the words of an entry.
  Slot scan(const FlowKey<Family>& key) const {
    const auto hash = scalar().hash(key);
    for (const std::uint32_t bucket : hash.bucket) {
      constexpr unsigned kEntries = FlowBucket<Family>::kEntries;
      for (Slot slot = bucket * kEntries; slot < (bucket + 1) * kEntries; ++slot) {
        if (scalar().state(slot) == FlowState::empty) continue;
        if (scalar().entry(slot).key == key) return slot;
      }
    }
    return kNoSlot;
  }

  std::vector<std::unique_ptr<ConnectionTable<Family>>> tables_;
};

template <typename Family>
FlowKey<Family> with_one_bit_changed(FlowKey<Family> key, Random& random) {
  switch (random.below(4)) {
    case 0:
      key.client[random.below(Family::kAddressBytes)] ^= 1 << random.below(8);
      break;
    case 1:
      key.client_port.raw ^= 1 << random.below(16);
      break;
    case 2:
      key.vip_port.raw ^= 1 << random.below(16);
      break;
    default:
      key.vip_id ^= 1u << random.below(20);
  }
  return key;
}

template <typename Family>
std::vector<FlowKey<Family>> some_keys(const std::vector<FlowKey<Family>>& inserted, unsigned count,
                                       Random& random) {
  std::vector<FlowKey<Family>> keys;
  while (keys.size() < count) {
    const auto& one = inserted[random.below(static_cast<std::uint32_t>(inserted.size()))];
    const unsigned kind = random.below(8);
    keys.push_back(kind < 5   ? one
                   : kind < 7 ? with_one_bit_changed(one, random)
                              : FlowKey<Family>{});
  }
  return keys;
}

// Capacities down to two buckets, which all keys share; filled until full buckets refuse.
TYPED_TEST(FlowSearchTest, VariantsAgreeForEveryCount) {
  Random random(11);
  for (const std::size_t capacity : {3, 6, 100, 3000}) {
    Twins<TypeParam> twins(capacity);
    std::vector<FlowKey<TypeParam>> inserted;
    while (inserted.size() < 2 * twins.scalar().slots()) {
      const auto key = inserted.size() % 3 == 2 ? with_one_bit_changed(inserted.back(), random)
                                                : random_key<TypeParam>(random);
      inserted.push_back(key);
      if (find(twins.scalar(), key) != kNoSlot) continue;
      twins.insert(key, FlowLink{random.below(1u << 25)}, FlowState::established,
                   static_cast<Ticks>(random.next()));
    }
    for (unsigned count = 0; count <= ConnectionTable<TypeParam>::Batch::kMax; ++count) {
      twins.expect_agreement(some_keys(inserted, count, random));
      // Holes: an empty entry holds the key of zeros, which some_keys() asks for.
      twins.erase(random.below(static_cast<std::uint32_t>(twins.scalar().slots())));
    }
  }
}

// Every entry of both candidate buckets in turn.
TYPED_TEST(FlowSearchTest, VariantsFindEveryPosition) {
  Twins<TypeParam> twins(3);
  Random random(12);
  std::vector<FlowKey<TypeParam>> keys;
  while (twins.scalar().size() < twins.scalar().slots()) {
    keys.push_back(random_key<TypeParam>(random));
    twins.insert(keys.back(), FlowLink::backend(1), FlowState::established, 0);
  }
  std::vector<bool> seen(twins.scalar().slots());
  for (const auto& key : keys) {
    if (const Slot slot = find(twins.scalar(), key); slot != kNoSlot) seen[slot] = true;
  }
  EXPECT_EQ(seen, std::vector<bool>(seen.size(), true));
  if (keys.size() > 64) keys.resize(64);
  twins.expect_agreement(keys);
}

// The key of zeros equals every empty entry's: only an occupied one counts.
TYPED_TEST(FlowSearchTest, VariantsFindTheKeyOfZerosOnlyWhereItIs) {
  constexpr Slot kSlots = 2 * FlowBucket<TypeParam>::kEntries;
  const FlowKey<TypeParam> zeros{};
  for (Slot hole = 0; hole < kSlots; ++hole) {
    Twins<TypeParam> twins(3);
    twins.expect_agreement({zeros});
    Random random(13);
    for (Slot i = 0; i < hole; ++i) {
      twins.insert(random_key<TypeParam>(random), FlowLink::backend(1), FlowState::established, 0);
    }
    twins.insert(zeros, FlowLink::backend(0), FlowState::weak, 0);
    for (Slot slot = 0; slot < kSlots; ++slot) {
      if (slot == find(twins.scalar(), zeros)) continue;
      twins.erase(slot);
      twins.expect_agreement({zeros, zeros});
    }
    ASSERT_NE(find(twins.scalar(), zeros), kNoSlot);
  }
}

const std::vector<InstructionSet> kOldMachine{InstructionSet::scalar, InstructionSet::sse};

TEST(InstructionSet, AutoIsTheFastestSupported) {
  EXPECT_EQ(*choose_instruction_set("auto", kOldMachine), InstructionSet::sse);
  EXPECT_EQ(*choose_instruction_set("auto", {InstructionSet::scalar}), InstructionSet::scalar);
  EXPECT_EQ(*choose_instruction_set("auto"), fastest_instruction_set());
}

TEST(InstructionSet, EachSupportedOneCanBeForced) {
  for (const InstructionSet set : supported_instruction_sets()) {
    const auto chosen = choose_instruction_set(instruction_set_name(set));
    ASSERT_TRUE(chosen) << chosen.error();
    EXPECT_EQ(*chosen, set);
  }
  EXPECT_EQ(*choose_instruction_set("scalar", kOldMachine), InstructionSet::scalar);
}

TEST(InstructionSet, WhatThisMachineLacksIsRefusedWithWhatWouldBeRight) {
  const auto lacking = choose_instruction_set("avx512", kOldMachine);
  ASSERT_FALSE(lacking);
  EXPECT_THAT(lacking.error(), HasSubstr("\"avx512\" is not supported by this machine"));
  EXPECT_THAT(lacking.error(), HasSubstr("right here are: auto, scalar, sse"));
  EXPECT_THAT(lacking.error(), Not(HasSubstr("avx2")));
  const auto unknown = choose_instruction_set("neon", kOldMachine);
  ASSERT_FALSE(unknown);
  EXPECT_THAT(unknown.error(), HasSubstr("\"neon\" is no instruction set"));
}

}  // namespace
}  // namespace sluice
