// Large tables, over rte_fib and rte_fib6, against PlainFib. EAL runs without huge pages.
#include "dataplane/kernel/fib.h"

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <unistd.h>

#include <random>
#include <string>
#include <vector>

#include "dataplane/kernel/plain_fib.h"

namespace sluice {
namespace {

bool eal_runs() {
  static const bool runs = [] {
    std::string prefix = "--file-prefix=fibtest" + std::to_string(getpid());
    std::vector<std::string> arguments = {
        "fib_test", "--no-huge", "-m", "300", "--no-pci", "--lcores=0@0", "--no-telemetry", prefix};
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    return rte_eal_init(static_cast<int>(pointers.size()), pointers.data()) >= 0;
  }();
  return runs;
}

template <typename Family>
class LargeFibTest : public testing::Test {
 protected:
  using Address = typename Family::Address;
  static constexpr unsigned kBits = Family::kAddressBytes * 8;

  Address random_address() {
    Address address{};
    for (std::size_t i = 0; i < 6 && i < address.size(); ++i) {
      address[i] = static_cast<std::uint8_t>(random_() % 3 * 100);
    }
    address.back() = static_cast<std::uint8_t>(random_());
    return address;
  }
  static Address masked(Address address, unsigned length) {
    for (unsigned bit = length; bit < kBits; ++bit) {
      address[bit / 8] = static_cast<std::uint8_t>(address[bit / 8] & ~(0x80u >> (bit % 8)));
    }
    return address;
  }
  std::mt19937 random_{11};
};

using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(LargeFibTest, Families);

TYPED_TEST(LargeFibTest, AgreesWithPlainFibThroughChanges) {
  ASSERT_TRUE(eal_runs());
  auto made = make_fib<TypeParam>("fib_test", 20000, -1);
  ASSERT_TRUE(made.ok()) << made.error();
  Fib<TypeParam>& large = **made;
  ASSERT_EQ(dynamic_cast<PlainFib<TypeParam>*>(&large), nullptr);
  PlainFib<TypeParam> plain;
  std::vector<std::pair<typename TypeParam::Address, unsigned>> present;
  for (int round = 0; round < 20; ++round) {
    for (int change = 0; change < 50; ++change) {
      if (!present.empty() && this->random_() % 3 == 0) {
        const auto [prefix, length] = present[this->random_() % present.size()];
        large.erase(prefix, length);
        plain.erase(prefix, length);
        continue;
      }
      const unsigned length = this->random_() % (this->kBits + 1);
      const auto prefix = this->masked(this->random_address(), length);
      const NextHopIndex hop =
          (this->random_() % 2 ? kMultipath : 0) | (this->random_() % 1000 + 1);
      ASSERT_TRUE(large.insert(prefix, length, hop));
      ASSERT_TRUE(plain.insert(prefix, length, hop));
      present.emplace_back(prefix, length);
    }
    (void)plain.publish();
    std::vector<typename TypeParam::Address> probes(500);
    for (auto& probe : probes) probe = this->random_address();
    std::vector<NextHopIndex> by_large(probes.size()), by_plain(probes.size());
    large.lookup(probes.data(), by_large.data(), 500);
    plain.lookup(probes.data(), by_plain.data(), 500);
    ASSERT_EQ(by_large, by_plain) << "round " << round;
  }
}

TYPED_TEST(LargeFibTest, SmallTablesArePlain) {
  auto made = make_fib<TypeParam>("small", 1024, -1);
  ASSERT_TRUE(made.ok()) << made.error();
  EXPECT_NE(dynamic_cast<PlainFib<TypeParam>*>(made->get()), nullptr);
}

TYPED_TEST(LargeFibTest, TooLittleMemoryIsSaid) {
  ASSERT_TRUE(eal_runs());
  auto made = make_fib<TypeParam>("huge", 8000000, -1);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().find("raise dataplane.memory.megabytes"), std::string::npos);
}

}  // namespace
}  // namespace sluice
