// How full pools are and who holds what, by the ledger. Thread: any, pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "control/model/allocation.h"

namespace sluice {

v1::AddressPoolStatus usage_of(const v1::AddressPoolSpec& pool, const Ledger& ledger);

// "3", or "IPv4:3,IPv6:1" for a pool of both families, of one of the numbers.
std::string usage_text(const v1::AddressPoolStatus& status,
                       std::uint64_t (v1::PoolUsage::*number)() const);

// Names of the others that have an address in common with it.
std::vector<std::string> overlapping(const v1::AddressPool& pool,
                                     const std::vector<const v1::AddressPool*>& all);

// `sluice describe pool`: what it is, for whom, how full, and every holder.
std::string describe_pool(const v1::AddressPool& pool,
                          const std::vector<const v1::AddressPool*>& all, const Ledger& ledger,
                          std::chrono::system_clock::time_point now);

// What applying these pools means for what is there: overlaps, and holders left outside.
std::vector<std::string> pool_warnings(const std::vector<const v1::AddressPool*>& applied,
                                       const std::vector<const v1::AddressPool*>& existing,
                                       const Ledger& ledger);

}  // namespace sluice
