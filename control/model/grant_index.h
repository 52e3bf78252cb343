// GrantIndex: which addresses each Service holds by the ledger, kept up to date with it.
// Ownership: by value; records stay in the ledger. Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/model/allocation.h"

namespace sluice {

class GrantIndex {
 public:
  // Looks at records whose revision is another one than before; `all`: at every record, since a
  // rebuilt ledger may have other contents under a known revision. Services whose grants changed.
  std::vector<ServiceKey> update(const Ledger& ledger, bool all);
  // In order.
  const std::vector<IpAddress>& addresses(const ServiceKey& service) const;
  // Services with an address drawn from the pool.
  std::vector<ServiceKey> services_of_pool(const std::string& pool) const;

 private:
  struct Record {
    std::uint64_t revision = 0;
    std::string pool;
    std::vector<ServiceKey> holders;
    bool seen = false;  // In the update under way.
  };
  void take_out(const IpAddress& address, const Record& record, std::vector<ServiceKey>* changed);
  void put_in(const IpAddress& address, const v1::Address& from, Record* record,
              std::vector<ServiceKey>* changed);

  std::map<IpAddress, Record> records_;
  std::map<ServiceKey, std::vector<IpAddress>> addresses_;
};

}  // namespace sluice
