// NatSourceTable: which addresses the gateway translates to: those configured, else its own on each
// port. A number is given again only after all others have been, since flows hang on it.
// Thread: one. Ownership: by value. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "dataplane/forward/routing.h"
#include "dataplane/kernel/own_addresses.h"

namespace sluice {

class NatSourceTable {
 public:
  static constexpr std::size_t kMaxPerFamily = 64;
  static constexpr std::uint32_t kNumbers = 1024;

  // `configured`: not empty: these alone.
  NatSourceTable(std::vector<IpAddress> configured, std::uint16_t first_port,
                 std::uint16_t last_port);

  // What is to be published, if it differs from what was last returned.
  std::unique_ptr<const NatSources> update(const OwnAddresses::Choice& own);

 private:
  std::uint32_t number_of(const IpAddress& address);

  std::vector<IpAddress> configured_;
  std::uint16_t first_port_, last_port_;
  OwnAddresses::Choice published_;
  std::map<IpAddress, std::uint32_t> numbers_;  // Of the chosen ones.
  std::uint32_t next_number_ = 0;
  bool first_ = true;
};

}  // namespace sluice
