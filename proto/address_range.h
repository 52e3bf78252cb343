// AddressRange: the addresses between two, as pools write them: "192.0.2.0/24",
// "192.0.2.1-192.0.2.9" or one address. Ownership: by value. Thread: any. Errors: parse says what
// would be right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proto/address.h"
#include "proto/result.h"

namespace sluice {

struct AddressRange {
  IpAddress first;
  IpAddress last;   // Of the same family, not below first.
  IpPrefix prefix;  // Set if it was written as a prefix: automatic allocation spares its ends.
  bool is_prefix = false;

  static Result<AddressRange> parse(std::string_view text);

  bool contains(const IpAddress& a) const {
    return a.size() == first.size() && first <= a && a <= last;
  }
  bool overlaps(const AddressRange& other) const {
    return first.size() == other.first.size() && first <= other.last && other.first <= last;
  }
  // First and last address given out without being asked for: a prefix's network address, its IPv4
  // broadcast address and its IPv6 subnet-router anycast address (RFC 4291, 2.6.1) are spared where
  // others remain. Ranges and single addresses are given out whole.
  IpAddress first_automatic() const;
  IpAddress last_automatic() const;
  // Number of addresses, at most 2^63.
  std::uint64_t size() const;
};

}  // namespace sluice
