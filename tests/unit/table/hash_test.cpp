#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <string>
#include <vector>

#include "dataplane/table/keyed_hash.h"
#include "dataplane/table/siphash.h"
#include "table_test_support.h"

namespace sluice {
namespace {

HashSecret secret_of(std::uint8_t first) {
  std::uint8_t bytes[16] = {first};
  return make_hash_secret(bytes);
}

// The first and some further vectors of the reference implementation: key 00..0f, input 00 01 02
// ...
TEST(SipHash, GivesThePublishedValues) {
  const SipKey key{0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
  std::string text;
  const auto hash_of = [&](std::size_t length) {
    text.clear();
    for (std::size_t i = 0; i < length; ++i) text.push_back(static_cast<char>(i));
    return siphash(key, text);
  };
  EXPECT_EQ(hash_of(0), 0x726fdb47dd0e0e31u);
  EXPECT_EQ(hash_of(1), 0x74f839c593dc67fdu);
  EXPECT_EQ(hash_of(8), 0x93f5f5799a932462u);
  EXPECT_EQ(hash_of(15), 0xa129ca6149be45e5u);
}

TEST(KeyedHash, EveryInputBitFlipsHalfOfTheOutput) {
  const HashSecret secret = secret_of(1);
  Random random(1);
  for (unsigned bit = 0; bit < 256; ++bit) {
    double flipped = 0;
    for (int i = 0; i < 400; ++i) {
      std::array<std::uint64_t, 4> words{random.next(), random.next(), random.next(),
                                         random.next()};
      const std::uint64_t before = keyed_hash(secret, words);
      words[bit / 64] ^= std::uint64_t{1} << (bit % 64);
      flipped += std::popcount(before ^ keyed_hash(secret, words));
    }
    EXPECT_NEAR(flipped / 400, 32, 2) << "bit " << bit;  // 10 standard deviations.
  }
}

// Keys that differ little (one client, ports counting up) fill buckets evenly, whatever the secret.
TEST(KeyedHash, SequentialKeysSpreadEvenly) {
  constexpr int kBuckets = 1021, kKeys = 100 * kBuckets;
  for (std::uint8_t seed = 0; seed < 5; ++seed) {
    const HashSecret secret = secret_of(seed);
    for (const int shift : {0, 32}) {
      std::vector<int> load(kBuckets);
      for (std::uint64_t i = 0; i < kKeys; ++i) {
        const std::uint64_t h = keyed_hash(secret, std::array<std::uint64_t, 2>{i << 32, 5});
        ++load[(h >> shift & 0xffffffffu) * kBuckets >> 32];
      }
      double chi_square = 0;
      for (const int n : load) chi_square += (n - 100.0) * (n - 100.0) / 100.0;
      EXPECT_NEAR(chi_square, kBuckets - 1, 6 * std::sqrt(2.0 * kBuckets));
    }
  }
}

TEST(KeyedHash, DependsOnTheWholeSecret) {
  const std::array<std::uint64_t, 2> words{1, 2};
  std::uint8_t bytes[16] = {};
  const std::uint64_t before = keyed_hash(make_hash_secret(bytes), words);
  for (auto& byte : bytes) {
    byte = 1;
    EXPECT_NE(keyed_hash(make_hash_secret(bytes), words), before);
    byte = 0;
  }
}

}  // namespace
}  // namespace sluice
