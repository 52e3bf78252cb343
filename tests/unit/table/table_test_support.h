// What the tests of the tables share: a small generator, keys by number, and both families as
// types.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "dataplane/table/connection_table.h"

namespace sluice {

// splitmix64: a fixed seed gives the same test everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint32_t below(std::uint32_t n) {
    return static_cast<std::uint32_t>((next() >> 32) * n >> 32);
  }

 private:
  std::uint64_t state_;
};

// The n-th key: distinct n below 2^32 give distinct keys.
template <typename Family>
FlowKey<Family> numbered_key(std::uint32_t n) {
  FlowKey<Family> key;
  key.client.fill(0);
  const std::uint16_t high = static_cast<std::uint16_t>(n >> 16);
  std::memcpy(&key.client[Family::kAddressBytes - 2], &high, 2);
  key.client[0] = 10;
  key.client_port.raw = static_cast<std::uint16_t>(n);
  key.vip_port = Be16::from_host(443);
  key.vip_id = 7;
  return key;
}

template <typename Family>
FlowKey<Family> random_key(Random& random) {
  FlowKey<Family> key;
  for (auto& byte : key.client) byte = static_cast<std::uint8_t>(random.next());
  key.client_port.raw = static_cast<std::uint16_t>(random.next());
  key.vip_port.raw = static_cast<std::uint16_t>(random.next());
  key.vip_id = random.below(kMaxVipIds);
  return key;
}

template <typename Family>
std::unique_ptr<ConnectionTable<Family>> make_table(
    std::size_t capacity, std::uint64_t seed = 1, InstructionSet set = fastest_instruction_set()) {
  std::uint8_t secret[16];
  Random random(seed);
  for (auto& byte : secret) byte = static_cast<std::uint8_t>(random.next());
  return ConnectionTable<Family>::create(capacity, secret, TableMemory::heap(), set);
}

// Inserts with a callback that nobody expects to be called.
template <typename Family>
Slot insert(ConnectionTable<Family>& table, const FlowKey<Family>& key, std::uint32_t backend,
            FlowState state = FlowState::established, Ticks now = 0) {
  return table.insert(
      key, table.hash(key), FlowLink::backend(backend), state, now,
      [](void*, const auto& entry) {
        ADD_FAILURE() << "evicted an entry in state " << static_cast<int>(entry.state);
      },
      nullptr);
}

template <typename Family>
Slot find(const ConnectionTable<Family>& table, const FlowKey<Family>& key) {
  return table.find(key, table.hash(key));
}

using Families = ::testing::Types<Ipv4, Ipv6>;
struct FamilyNames {
  template <typename Family>
  static std::string GetName(int) {
    return Family::kAddressBytes == 4 ? "IPv4" : "IPv6";
  }
};

}  // namespace sluice
