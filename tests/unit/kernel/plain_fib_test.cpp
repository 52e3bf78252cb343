#include "dataplane/kernel/plain_fib.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>

namespace sluice {
namespace {

template <typename Family>
class PlainFibTest : public testing::Test {
 protected:
  using Address = typename Family::Address;
  static constexpr unsigned kBits = Family::kAddressBytes * 8;

  static Address masked(Address address, unsigned length) {
    for (unsigned bit = length; bit < kBits; ++bit) {
      address[bit / 8] = static_cast<std::uint8_t>(address[bit / 8] & ~(0x80u >> (bit % 8)));
    }
    return address;
  }
  static NextHopIndex lookup(const Fib<Family>& fib, const Address& address) {
    NextHopIndex found = 12345;
    fib.lookup(&address, &found, 1);
    return found;
  }
  // All of few addresses: collisions, nesting and neighbours are frequent.
  Address random_address() {
    Address address{};
    address[0] = static_cast<std::uint8_t>(random_() % 4 * 85);  // 0, 85, 170, 255
    address[1] = static_cast<std::uint8_t>(random_() % 3 * 127);
    address.back() = static_cast<std::uint8_t>(random_());
    address[address.size() - 2] = static_cast<std::uint8_t>(random_() % 2 * 255);
    return address;
  }
  std::mt19937 random_{7};
};

using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(PlainFibTest, Families);

TYPED_TEST(PlainFibTest, AgreesWithALinearSearchThroughChanges) {
  using Prefix = std::pair<typename TypeParam::Address, unsigned>;
  PlainFib<TypeParam> fib;
  std::map<Prefix, NextHopIndex> all;
  for (int round = 0; round < 25; ++round) {
    for (int change = 0; change < 20; ++change) {
      const unsigned length = this->random_() % (this->kBits + 1);
      const auto prefix = this->masked(this->random_address(), length);
      if (this->random_() % 3 == 0) {
        fib.erase(prefix, length);
        all.erase({prefix, length});
      } else {
        const NextHopIndex hop = this->random_() % 1000 + 1;
        ASSERT_TRUE(fib.insert(prefix, length, hop));
        all[{prefix, length}] = hop;
      }
    }
    (void)fib.publish();
    for (int probe = 0; probe < 300; ++probe) {
      const auto address = this->random_address();
      NextHopIndex expected = kNoNextHop;
      int longest = -1;
      for (const auto& [prefix, hop] : all) {
        if (static_cast<int>(prefix.second) <= longest) continue;
        if (this->masked(address, prefix.second) != prefix.first) continue;
        expected = hop;
        longest = static_cast<int>(prefix.second);
      }
      ASSERT_EQ(this->lookup(fib, address), expected);
    }
  }
}

TYPED_TEST(PlainFibTest, TheWholeSpaceAndItsLastAddress) {
  PlainFib<TypeParam> fib;
  typename TypeParam::Address last, zero{};
  last.fill(0xff);
  EXPECT_EQ(this->lookup(fib, zero), kNoNextHop);
  ASSERT_TRUE(fib.insert(zero, 0, 5));
  ASSERT_TRUE(fib.insert(last, this->kBits, 6));
  (void)fib.publish();
  EXPECT_EQ(this->lookup(fib, zero), 5u);
  EXPECT_EQ(this->lookup(fib, last), 6u);
  --last.back();
  EXPECT_EQ(this->lookup(fib, last), 5u);
}

TYPED_TEST(PlainFibTest, ReadersSeeNothingBeforePublishAndMayKeepTheOld) {
  PlainFib<TypeParam> fib;
  const typename TypeParam::Address zero{};
  ASSERT_TRUE(fib.insert(zero, 0, 5));
  EXPECT_EQ(this->lookup(fib, zero), kNoNextHop);
  EXPECT_NE(fib.publish(), nullptr);
  EXPECT_EQ(this->lookup(fib, zero), 5u);
  EXPECT_EQ(fib.publish(), nullptr);  // Nothing changed.
}

TYPED_TEST(PlainFibTest, FullRefusesNewPrefixesAndTakesChanges) {
  PlainFib<TypeParam> fib(1);
  typename TypeParam::Address zero{}, one{};
  one[0] = 0x80;
  ASSERT_TRUE(fib.insert(zero, 0, 5));
  EXPECT_FALSE(fib.insert(one, 1, 6));
  EXPECT_TRUE(fib.insert(zero, 0, 7));
  (void)fib.publish();
  EXPECT_EQ(this->lookup(fib, one), 7u);
}

}  // namespace
}  // namespace sluice
