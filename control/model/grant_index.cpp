#include "control/model/grant_index.h"

#include <algorithm>

namespace sluice {

void GrantIndex::take_out(const IpAddress& address, const Record& record,
                          std::vector<ServiceKey>* changed) {
  for (const ServiceKey& holder : record.holders) {
    const auto at = addresses_.find(holder);
    if (at == addresses_.end()) continue;
    std::erase(at->second, address);
    if (at->second.empty()) addresses_.erase(at);
    changed->push_back(holder);
  }
}

void GrantIndex::put_in(const IpAddress& address, const v1::Address& from, Record* record,
                        std::vector<ServiceKey>* changed) {
  record->revision = from.revision();
  record->pool = from.pool();
  record->holders.clear();
  for (const v1::AddressHolder& holder : from.holders()) {
    const ServiceKey key{holder.source(), holder.namespace_(), holder.name()};
    if (std::find(record->holders.begin(), record->holders.end(), key) != record->holders.end())
      continue;
    record->holders.push_back(key);
    std::vector<IpAddress>& held = addresses_[key];
    held.insert(std::lower_bound(held.begin(), held.end(), address), address);
    changed->push_back(key);
  }
}

std::vector<ServiceKey> GrantIndex::update(const Ledger& ledger, bool all) {
  std::vector<ServiceKey> changed;
  for (auto& [address, record] : records_) record.seen = false;
  for (const auto& [address, from] : ledger) {
    const auto [at, added] = records_.try_emplace(address);
    Record& record = at->second;
    record.seen = true;
    if (!added && !all && record.revision == from.revision()) continue;
    take_out(address, record, &changed);
    put_in(address, from, &record, &changed);
  }
  for (auto at = records_.begin(); at != records_.end();) {
    if (at->second.seen) {
      ++at;
      continue;
    }
    take_out(at->first, at->second, &changed);
    at = records_.erase(at);
  }
  return changed;
}

const std::vector<IpAddress>& GrantIndex::addresses(const ServiceKey& service) const {
  static const std::vector<IpAddress> none;
  const auto at = addresses_.find(service);
  return at == addresses_.end() ? none : at->second;
}

std::vector<ServiceKey> GrantIndex::services_of_pool(const std::string& pool) const {
  std::vector<ServiceKey> services;
  for (const auto& [address, record] : records_) {
    if (record.pool == pool)
      services.insert(services.end(), record.holders.begin(), record.holders.end());
  }
  return services;
}

}  // namespace sluice
