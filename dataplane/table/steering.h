// Steering: the software-defined function that says which worker owns a packet, exactly as a NIC's RSS
// would: owner = RETA[Toeplitz(key, addresses and ports)]. A NIC that hashes merely does it for free.
// Source: Microsoft "RSS Hashing Functions" (Toeplitz over source address, destination address,
//   source port, destination port, network order).
// Thread: immutable after construction; any thread. No lock, no division.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/packet/family.h"

namespace sluice {

class Toeplitz {
 public:
  // `key`: at least 40 bytes (52 in some NICs); the bytes the NIC uses.
  explicit Toeplitz(std::span<const std::uint8_t> key);

  // The hash is linear: hash = source ^ destination ^ source_port ^ destination_port.
  template <typename Family>
  std::uint32_t source(const typename Family::Address& address) const;
  template <typename Family>
  std::uint32_t destination(const typename Family::Address& address) const;
  template <typename Family>
  std::uint32_t source_port(Be16 port) const;
  template <typename Family>
  std::uint32_t destination_port(Be16 port) const;
  template <typename Family>
  std::uint32_t hash(const typename Family::Address& source_address, const typename Family::Address& destination_address,
                     Be16 source_port_value, Be16 destination_port_value) const;

 private:
  std::vector<std::uint32_t> words_;  // H1: per input byte position, 256 words.
};

class Steering {
 public:
  // `reta`: worker numbers; its size is a power of two.
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
