// Internet checksums: whole ones, and the incremental update that NAT uses.
// Sources: RFC 1071 (sum), RFC 1624 eq. 3 (update: ~(~HC + ~m + m')), RFC 768 (a computed zero is
//   sent as 0xffff, zero means none), RFC 8200 8.1 (pseudo header).
// Thread: any, pure. Units: one's complement sums are kept unfolded in 64 bits, in packet byte
//   order (the checksum is the same in either order as long as it is never mixed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/family.h"

namespace sluice {

// Sum of 16-bit words as they lie in memory; an odd last byte counts as if a zero followed.
inline std::uint64_t sum_bytes(const std::uint8_t* p, std::size_t bytes) {
  std::uint64_t sum = 0;
  for (; bytes >= 4; bytes -= 4, p += 4) {
    std::uint32_t word;
    std::memcpy(&word, p, sizeof(word));
    sum += word;
  }
  if (bytes >= 2) {
    std::uint16_t word;
    std::memcpy(&word, p, sizeof(word));
    sum += word;
    p += 2;
    bytes -= 2;
  }
  return bytes == 0 ? sum : sum + *p;
}

// Halves added with the carry coming round: a value plus itself turned by half its width has that
// in its upper half, for the lower halves' sum carries over into it.
inline std::uint16_t fold(std::uint64_t sum) {
  sum += sum << 32 | sum >> 32;
  auto half = static_cast<std::uint32_t>(sum >> 32);
  half += half << 16 | half >> 16;
  return static_cast<std::uint16_t>(half >> 16);
}

// What a set of replaced words adds to a checksum field: sums of ~old + new.
class ChecksumDelta {
 public:
  template <std::size_t kBytes>
  void replace(const std::uint8_t* old_bytes, const std::uint8_t* new_bytes) {
    static_assert(kBytes % 2 == 0);
    std::size_t at = 0;
    for (; at + 4 <= kBytes; at += 4) {
      std::uint32_t before, after;
      std::memcpy(&before, old_bytes + at, 4);
      std::memcpy(&after, new_bytes + at, 4);
      sum_ += std::uint64_t{~before} + after;  // Two words at once: fold() takes them apart.
    }
    if constexpr (kBytes % 4 != 0) {
      Be16 before, after;
      std::memcpy(&before, old_bytes + at, 2);
      std::memcpy(&after, new_bytes + at, 2);
      replace(before, after);
    }
  }
  void replace(std::uint32_t before, std::uint32_t after) {  // Two words, as they lie in memory.
    sum_ += std::uint64_t{~before} + after;
  }
  void replace(Be16 before, Be16 after) {
    sum_ += static_cast<std::uint16_t>(~before.raw);
    sum_ += after.raw;
  }
  Be16 apply(Be16 checksum) const {
    return {static_cast<std::uint16_t>(~fold(sum_ + static_cast<std::uint16_t>(~checksum.raw)))};
  }
  // For UDP: no checksum stays none, and a computed zero is written as 0xffff.
  Be16 apply_udp(Be16 checksum) const {
    if (checksum.raw == 0) return checksum;
    const Be16 updated = apply(checksum);
    return updated.raw == 0 ? Be16{0xffff} : updated;
  }

 private:
  std::uint64_t sum_ = 0;
};

// Sum of the pseudo header of TCP, UDP and ICMPv6.
template <typename Family>
std::uint64_t pseudo_header_sum(const std::uint8_t* source, const std::uint8_t* destination,
                                std::uint8_t protocol, std::uint32_t length) {
  std::uint64_t sum =
      sum_bytes(source, Family::kAddressBytes) + sum_bytes(destination, Family::kAddressBytes);
  sum += Be16::from_host(protocol).raw;
  sum += Be16::from_host(static_cast<std::uint16_t>(length)).raw;
  return sum + Be16::from_host(static_cast<std::uint16_t>(length >> 16)).raw;
}

// The checksum field of a transport segment whose own field is zero.
template <typename Family>
Be16 transport_checksum(const std::uint8_t* source, const std::uint8_t* destination,
                        std::uint8_t protocol, const std::uint8_t* segment, std::uint32_t length) {
  const std::uint64_t sum = pseudo_header_sum<Family>(source, destination, protocol, length);
  const Be16 checksum{static_cast<std::uint16_t>(~fold(sum + sum_bytes(segment, length)))};
  return protocol == kProtocolUdp && checksum.raw == 0 ? Be16{0xffff} : checksum;
}

inline Be16 header_checksum(const std::uint8_t* header, std::size_t bytes) {
  return {static_cast<std::uint16_t>(~fold(sum_bytes(header, bytes)))};
}

}  // namespace sluice
