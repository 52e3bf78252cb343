// Sizes of Maglev tables: a prime of a short list, at least a hundred slots a member, sticky. Pure.
// The size is part of what makes tables alike on all gateways, so it changes seldom: it grows when
// members need it and shrinks only when a quarter of it would do.
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

// The smallest size of the list with a hundred slots for each member; the largest if none has.
std::uint32_t maglev_size_for(std::size_t members);
// The size to use now for a table that has `current` slots; 0: none yet.
std::uint32_t sticky_maglev_size(std::uint32_t current, std::size_t members);

}  // namespace sluice
