#include "control/model/maglev_size.h"

#include <algorithm>
#include <array>

namespace sluice {
namespace {

constexpr std::size_t kSlotsPerMember = 100;
// Primes, doubling; the sizes the dataplane is built for.
constexpr std::array<std::uint32_t, 11> kSizes{1009,  2003,   4001,   8009,   16001,  32003,
                                               65537, 131071, 262139, 524287, 1048573};

}  // namespace

std::uint32_t maglev_size_for(std::size_t members) {
  const auto enough = [members](std::uint32_t size) { return size / kSlotsPerMember >= members; };
  const auto size = std::find_if(kSizes.begin(), kSizes.end(), enough);
  return size == kSizes.end() ? kSizes.back() : *size;
}

std::uint32_t sticky_maglev_size(std::uint32_t current, std::size_t members) {
  const std::uint32_t needed = maglev_size_for(members);
  const bool quarter_would_do = members <= current / (4 * kSlotsPerMember);
  return current < needed || quarter_would_do ? needed : current;
}

}  // namespace sluice
