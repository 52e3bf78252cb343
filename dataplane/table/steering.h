// Steering: the software-defined function that says which worker owns a packet, exactly as a NIC's
// RSS would: owner = RETA[Toeplitz(key, addresses and ports)]. A NIC that hashes merely does it for
// free. Source: Microsoft "RSS Hashing Functions" (Toeplitz over source address, destination
// address,
//   source port, destination port, network order).
// Thread: immutable after construction; any thread. No lock, no division.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/packet/family.h"

namespace sluice {

class Toeplitz {
 public:
  // `key`: at least 40 bytes (52 in some NICs); the bytes the NIC uses. Bytes missing count as
  // zero.
  explicit Toeplitz(std::span<const std::uint8_t> key);

  // The hash is linear: hash = source ^ destination ^ source_port ^ destination_port.
  template <typename Family>
  std::uint32_t source(const typename Family::Address& address) const {
    return bytes<Family::kAddressBytes>(0, address.data());
  }
  template <typename Family>
  std::uint32_t destination(const typename Family::Address& address) const {
    return bytes<Family::kAddressBytes>(Family::kAddressBytes, address.data());
  }
  template <typename Family>
  std::uint32_t source_port(Be16 port) const {
    return port_at(2 * Family::kAddressBytes, port);
  }
  template <typename Family>
  std::uint32_t destination_port(Be16 port) const {
    return port_at(2 * Family::kAddressBytes + 2, port);
  }
  template <typename Family>
  std::uint32_t hash(const typename Family::Address& source_address,
                     const typename Family::Address& destination_address, Be16 source_port_value,
                     Be16 destination_port_value) const {
    return source<Family>(source_address) ^ destination<Family>(destination_address) ^
           source_port<Family>(source_port_value) ^
           destination_port<Family>(destination_port_value);
  }

 private:
  static constexpr std::size_t kInputBytes = 36;  // Two IPv6 addresses, two ports.

  template <std::size_t kCount>
  std::uint32_t bytes(std::size_t position, const std::uint8_t* input) const {
    std::uint32_t hash = 0;
    for (std::size_t i = 0; i < kCount; ++i) hash ^= words_[(position + i) * 256 + input[i]];
    return hash;
  }
  std::uint32_t port_at(std::size_t position, Be16 port) const {
    // A Be16 lies in memory as in the packet: its low byte comes first.
    return words_[position * 256 + (port.raw & 0xff)] ^
           words_[(position + 1) * 256 + (port.raw >> 8)];
  }

  std::vector<std::uint32_t> words_;  // By byte position, then by the byte's value.
};

class Steering {
 public:
  // `reta`: worker numbers; its size is a power of two (else it is repeated up to the next one,
  // which no NIC does; an empty one stands for worker 0 alone).
  Steering(Toeplitz toeplitz, std::vector<std::uint16_t> reta);
  const Toeplitz& toeplitz() const { return toeplitz_; }
  std::uint16_t owner(std::uint32_t hash) const { return reta_[hash & mask_]; }

 private:
  Toeplitz toeplitz_;
  std::vector<std::uint16_t> reta_;
  std::uint32_t mask_;
};

// Microsoft's verification key, DPDK's and many NICs' default.
std::span<const std::uint8_t> default_rss_key();

}  // namespace sluice
