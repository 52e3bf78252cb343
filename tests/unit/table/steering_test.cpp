#include "dataplane/table/steering.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "dataplane/table/nat_ports.h"
#include "proto/address.h"
#include "table_test_support.h"

namespace sluice {
namespace {

using Bytes = std::vector<std::uint8_t>;

// Toeplitz as its definition has it: for each bit set in the input, the 32 bits of key from there
// on.
std::uint32_t toeplitz_by_bits(std::span<const std::uint8_t> key, const Bytes& input) {
  const auto key_bit = [&](std::size_t at) {
    return at / 8 < key.size() ? key[at / 8] >> (7 - at % 8) & 1u : 0u;
  };
  std::uint32_t hash = 0, window = 0;
  for (std::size_t i = 0; i < 32; ++i) window = window << 1 | key_bit(i);
  for (std::size_t bit = 0; bit < input.size() * 8; ++bit) {
    if ((input[bit / 8] >> (7 - bit % 8) & 1) != 0) hash ^= window;
    window = window << 1 | key_bit(bit + 32);
  }
  return hash;
}

template <typename Address>
Bytes tuple(const Address& source, const Address& destination, unsigned source_port,
            unsigned destination_port) {
  Bytes input(source.begin(), source.end());
  input.insert(input.end(), destination.begin(), destination.end());
  for (const unsigned port : {source_port, destination_port}) {
    input.push_back(static_cast<std::uint8_t>(port >> 8));
    input.push_back(static_cast<std::uint8_t>(port));
  }
  return input;
}

template <typename Family>
typename Family::Address address(const char* text) {
  typename Family::Address a{};
  const auto parsed = IpAddress::parse(text);
  EXPECT_TRUE(parsed && parsed->size() == a.size()) << text;
  if (parsed && parsed->size() == a.size()) std::memcpy(a.data(), parsed->data(), a.size());
  return a;
}

template <typename Family>
typename Family::Address random_address(Random& random) {
  typename Family::Address a;
  for (auto& byte : a) byte = static_cast<std::uint8_t>(random.next());
  return a;
}

// "Verifying the RSS Hash Calculation", Microsoft.
struct Vector {
  const char* destination;
  unsigned destination_port;
  const char* source;
  unsigned source_port;
  std::uint32_t addresses, with_ports;
};
constexpr Vector kIpv4Vectors[] = {
    {"161.142.100.80", 1766, "66.9.149.187", 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", 4739, "199.92.111.2", 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", 38024, "24.19.198.95", 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", 2217, "38.27.205.30", 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", 1303, "153.39.163.191", 44251, 0x5d1809c5, 0x10e828a2},
};
constexpr Vector kIpv6Vectors[] = {
    {"3ffe:2501:200:3::1", 1766, "3ffe:2501:200:1fff::7", 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", 4739, "3ffe:501:8::260:97ff:fe40:efab", 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", 38024, "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 44251, 0x4b61e985,
     0x02d1feef},
};

template <typename Family>
class ToeplitzTest : public ::testing::Test {
 public:
  static std::span<const Vector> vectors() {
    if constexpr (Family::kAddressBytes == 4) return kIpv4Vectors;
    return kIpv6Vectors;
  }
};
TYPED_TEST_SUITE(ToeplitzTest, Families, FamilyNames);

TYPED_TEST(ToeplitzTest, GivesThePublishedHashes) {
  const Toeplitz toeplitz(default_rss_key());
  for (const Vector& v : this->vectors()) {
    const auto source = address<TypeParam>(v.source);
    const auto destination = address<TypeParam>(v.destination);
    const std::uint32_t addresses =
        toeplitz.source<TypeParam>(source) ^ toeplitz.destination<TypeParam>(destination);
    EXPECT_EQ(addresses, v.addresses);
    EXPECT_EQ(toeplitz.hash<TypeParam>(source, destination, Be16::from_host(v.source_port & 0xffff),
                                       Be16::from_host(v.destination_port & 0xffff)),
              v.with_ports);
  }
}

TYPED_TEST(ToeplitzTest, IsLinearAndAgreesWithItsDefinition) {
  Random random(5);
  for (const std::size_t key_bytes : {40, 52}) {
    Bytes key(key_bytes);
    for (auto& byte : key) byte = static_cast<std::uint8_t>(random.next());
    const Toeplitz toeplitz(key);
    for (int i = 0; i < 200; ++i) {
      const auto a = random_address<TypeParam>(random), b = random_address<TypeParam>(random);
      auto both = a;
      for (std::size_t j = 0; j < a.size(); ++j) both[j] ^= b[j];
      const Be16 p{static_cast<std::uint16_t>(random.next())};
      const Be16 q{static_cast<std::uint16_t>(random.next())};
      const Be16 p_and_q{static_cast<std::uint16_t>(p.raw ^ q.raw)};
      ASSERT_EQ(toeplitz.hash<TypeParam>(a, b, p, q),
                toeplitz_by_bits(key, tuple(a, b, p.host(), q.host())));
      ASSERT_EQ(toeplitz.hash<TypeParam>(a, b, p, q) ^ toeplitz.hash<TypeParam>(b, a, q, p),
                toeplitz.hash<TypeParam>(both, both, p_and_q, p_and_q));
    }
  }
}

TEST(Steering, OwnerIsTheEntryOfTheLowBits) {
  std::vector<std::uint16_t> reta(128);
  std::iota(reta.begin(), reta.end(), std::uint16_t{0});
  const Steering steering(Toeplitz(default_rss_key()), reta);
  EXPECT_EQ(steering.owner(0xabcdef85), 0x05);
  EXPECT_EQ(steering.owner(0x7f), 0x7f);
  const Steering one(Toeplitz(default_rss_key()), {});
  EXPECT_EQ(one.owner(0xffffffff), 0);
}

Bytes symmetric_key() {
  Bytes key;
  while (key.size() < 40) key.insert(key.end(), {0x6d, 0x5a});
  return key;
}

Bytes random_rss_key(std::size_t bytes, std::uint64_t seed) {
  Random random(seed);
  Bytes key(bytes);
  for (auto& byte : key) byte = static_cast<std::uint8_t>(random.next());
  return key;
}

std::vector<std::uint16_t> dealt(std::size_t size, unsigned workers) {
  std::vector<std::uint16_t> reta(size);
  for (std::size_t i = 0; i < size; ++i) reta[i] = static_cast<std::uint16_t>(i % workers);
  return reta;
}

template <typename Family>
class NatPorts : public ::testing::Test {};
TYPED_TEST_SUITE(NatPorts, Families, FamilyNames);

TYPED_TEST(NatPorts, EveryReplyFallsToTheFlowsOwner) {
  const Bytes standard(default_rss_key().begin(), default_rss_key().end());
  const struct {
    Bytes key;
    std::size_t reta;
    unsigned workers;
  } cases[] = {{standard, 128, 2},
               {standard, 512, 8},
               {symmetric_key(), 64, 3},
               {random_rss_key(40, 1), 128, 5},
               {random_rss_key(52, 2), 256, 16},
               {random_rss_key(52, 3), 64, 1}};
  constexpr PortRange kRange{1024, 32767};
  for (const auto& c : cases) {
    const auto reta = dealt(c.reta, c.workers);
    const Steering steering(Toeplitz(c.key), reta);
    Random random(c.workers);
    const auto nat_source = random_address<TypeParam>(random);
    std::vector<std::uint16_t> cursor(c.workers, kRange.first);
    for (int flow = 0; flow < 100000; ++flow) {
      auto backend = nat_source;
      backend.back() = static_cast<std::uint8_t>(random.next());
      const Be16 backend_port = Be16::from_host(static_cast<std::uint16_t>(random.next()));
      const auto worker = static_cast<std::uint16_t>(random.below(c.workers));
      const std::uint32_t fixed =
          nat_reply_hash<TypeParam>(steering.toeplitz(), backend, backend_port, nat_source);
      const std::uint16_t port =
          next_nat_port<TypeParam>(steering, worker, fixed, kRange, cursor[worker]);
      ASSERT_GE(port, kRange.first);
      ASSERT_LE(port, kRange.last);
      cursor[worker] = static_cast<std::uint16_t>(port + 1);
      // What the NIC would do with the reply, from its bytes alone.
      const std::uint32_t hash =
          toeplitz_by_bits(c.key, tuple(backend, nat_source, backend_port.host(), port));
      ASSERT_EQ(reta[hash % c.reta], worker);
    }
  }
}

TYPED_TEST(NatPorts, WorkersShareTheRangeOutWithoutOverlap) {
  constexpr PortRange kRange{1030, 4000};
  constexpr std::uint16_t kWorkers = 3;
  const Steering steering(Toeplitz(default_rss_key()), dealt(128, kWorkers));
  std::vector<int> owners(kRange.last + 1, 0);
  for (std::uint16_t worker = 0; worker < kWorkers; ++worker) {
    std::uint16_t cursor = kRange.first, before = 0;
    for (;;) {
      const std::uint16_t port =
          next_nat_port<TypeParam>(steering, worker, 0x12345678, kRange, cursor);
      ASSERT_NE(port, 0);
      if (port <= before) break;  // It went round.
      ++owners[port];
      before = port;
      cursor = static_cast<std::uint16_t>(port + 1);  // Beyond the last one it starts again.
    }
  }
  for (unsigned port = kRange.first; port <= kRange.last; ++port) ASSERT_EQ(owners[port], 1);
}

TYPED_TEST(NatPorts, SaysZeroWhenNoPortIsTheWorkers) {
  const Steering steering(Toeplitz(default_rss_key()), dealt(128, 2));
  EXPECT_EQ(next_nat_port<TypeParam>(steering, 2, 1, {1024, 65535}, 1024), 0);
  EXPECT_EQ(next_nat_port<TypeParam>(steering, 7, 1, {1, 65535}, 65535, 1u << 31), 0);
  const Steering one(Toeplitz(default_rss_key()), dealt(64, 1));
  EXPECT_EQ(next_nat_port<TypeParam>(one, 0, 1, {5000, 5000}, 1), 5000);
  EXPECT_EQ(next_nat_port<TypeParam>(one, 0, 1, {65534, 65535}, 65535), 65535);
  EXPECT_EQ(next_nat_port<TypeParam>(one, 0, 1, {5000, 5001}, 5001, 0), 0);
}

}  // namespace
}  // namespace sluice
