#include "proto/address_range.h"

namespace sluice {
namespace {

// Lowest 64 bits: enough to count with, since counts are capped.
std::uint64_t low_bits(const IpAddress& a) {
  std::uint64_t value = 0;
  for (std::size_t i = a.size() == 16 ? 8 : 0; i < a.size(); ++i) value = value << 8 | a.data()[i];
  return value;
}

bool same_high_bits(const IpAddress& a, const IpAddress& b) {
  return a.size() == 4 || std::memcmp(a.data(), b.data(), 8) == 0;
}

IpAddress previous(const IpAddress& a) {
  std::string bytes = a.bytes();
  for (std::size_t i = bytes.size(); i-- > 0;) {
    const auto byte = static_cast<unsigned char>(bytes[i]);
    bytes[i] = static_cast<char>(byte - 1);
    if (byte != 0) break;
  }
  return *IpAddress::from_bytes(bytes);
}

}  // namespace

Result<AddressRange> AddressRange::parse(std::string_view text) {
  AddressRange range;
  if (const auto dash = text.find('-'); dash != std::string_view::npos) {
    const auto first = IpAddress::parse(text.substr(0, dash));
    const auto last = IpAddress::parse(text.substr(dash + 1));
    if (!first || !last) {
      return Error{"is not a range of two addresses such as 192.0.2.10-192.0.2.20"};
    }
    if (first->size() != last->size()) return Error{"mixes IPv4 and IPv6; both ends must be alike"};
    if (*last < *first) return Error{"ends before it begins; swap the two addresses"};
    range.first = *first;
    range.last = *last;
    return range;
  }
  const auto prefix = IpPrefix::parse(text);
  if (!prefix) {
    if (const auto loose = IpPrefix::parse(text, true)) {
      return Error{"has bits set beyond its prefix length; write " + loose->text()};
    }
    return Error{
        "is neither a prefix (192.0.2.0/24), a range (192.0.2.10-192.0.2.20) nor an address"};
  }
  range.first = prefix->address();
  range.last = prefix->last();
  range.prefix = *prefix;
  range.is_prefix = true;
  return range;
}

IpAddress AddressRange::first_automatic() const {
  if (!is_prefix || prefix.length() + 2 > first.size() * 8) return first;
  return first.next();
}

IpAddress AddressRange::last_automatic() const {
  if (!is_prefix || first.is_v6() || prefix.length() + 2 > 32) return last;
  return previous(last);
}

std::uint64_t AddressRange::size() const {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 63;
  if (!same_high_bits(first, last)) return kMost;
  const std::uint64_t difference = low_bits(last) - low_bits(first);
  return difference >= kMost ? kMost : difference + 1;
}

}  // namespace sluice
