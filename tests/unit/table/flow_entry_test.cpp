#include "dataplane/table/flow_entry.h"

#include <gtest/gtest.h>

#include "table_test_support.h"

namespace sluice {
namespace {

template <typename Family>
class FlowEntryTest : public ::testing::Test {};
TYPED_TEST_SUITE(FlowEntryTest, Families, FamilyNames);

TYPED_TEST(FlowEntryTest, KeyAndMetaSurvivePacking) {
  Random random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto key = random_key<TypeParam>(random);
    const FlowLink link{random.below(1u << 25)};
    const auto state = static_cast<FlowState>(1 + random.below(4));
    const auto now = static_cast<Ticks>(random.next());
    FlowWords<TypeParam> words = flow_words<TypeParam>(key);
    ASSERT_EQ(flow_key<TypeParam>(words), key);
    words.back() = flow_meta::pack(key.vip_id, link, state, now);
    ASSERT_EQ(flow_key<TypeParam>(words), key);
    ASSERT_EQ(flow_meta::link(words.back()), link);
    ASSERT_EQ(flow_meta::state(words.back()), state);
    ASSERT_EQ(flow_meta::age(words.back()), static_cast<std::uint16_t>(now));
  }
}

TYPED_TEST(FlowEntryTest, MatchAgreesWithScalar) {
  Random random(2);
  FlowBucket<TypeParam> bucket;
  for (int i = 0; i < 20000; ++i) {
    const auto key = flow_words<TypeParam>(random_key<TypeParam>(random));
    unsigned expected = 0;
    for (unsigned e = 0; e < FlowBucket<TypeParam>::kEntries; ++e) {
      auto& words = bucket.entries[e].words;
      words = key;
      words.back() |= random.next() & ~flow_meta::kVipMask;  // Any link, state and age.
      // Half of the entries differ, in a single bit of the key.
      if (random.below(2) == 0) {
        expected |= 1u << (4 * e);
        continue;
      }
      auto w = random.below(static_cast<std::uint32_t>(words.size()));
      words[w] ^= std::uint64_t{1} << random.below(w + 1 == words.size() ? 20 : 64);
    }
    ASSERT_EQ(match_scalar<TypeParam>(bucket, key), expected);
    ASSERT_EQ(match<TypeParam>(bucket, key), expected);
  }
}

TYPED_TEST(FlowEntryTest, EmptyEntriesAreFound) {
  constexpr unsigned kEntries = FlowBucket<TypeParam>::kEntries;
  Random random(3);
  for (unsigned occupied = 0; occupied < 1u << kEntries; ++occupied) {
    FlowBucket<TypeParam> bucket;
    for (unsigned e = 0; e < kEntries; ++e) {
      auto& words = bucket.entries[e].words;
      words = flow_words<TypeParam>(random_key<TypeParam>(random));
      if ((occupied >> e & 1) != 0) words.back() |= flow_meta::pack(0, {}, FlowState::closing, 0);
    }
    EXPECT_EQ(empty_entries(bucket), ~occupied & ((1u << kEntries) - 1));
  }
}

TYPED_TEST(FlowEntryTest, OnlyTheKeyOfZerosMatchesEmptyEntries) {
  const FlowBucket<TypeParam> bucket{};
  EXPECT_EQ(match<TypeParam>(bucket, FlowWords<TypeParam>{}),
            FlowBucket<TypeParam>::kEntries == 4 ? 0x1111u : 0x11u);
  EXPECT_EQ(match<TypeParam>(bucket, flow_words<TypeParam>(numbered_key<TypeParam>(0))), 0u);
  EXPECT_FALSE(bucket.entries[0].occupied());
}

}  // namespace
}  // namespace sluice
