// Pools as allocation uses them. Thread: one; made for one allocation.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "control/model/allocation.h"

namespace sluice {

class PoolView {
 public:
  explicit PoolView(const v1::AddressPool& pool);

  const std::string& name() const { return name_; }
  bool auto_assign() const { return auto_assign_; }
  int priority() const { return priority_; }
  bool contains(const IpAddress& address) const;
  bool has_family(IpFamily family) const;
  // The lowest address of the family that is given out unasked and is free, by `is_free`. What was
  // not free once is not asked about again: nothing becomes free during one allocation.
  std::optional<IpAddress> lowest_free(IpFamily family,
                                       const std::function<bool(const IpAddress&)>& is_free);
  std::string text() const;  // "NAME (RANGE, RANGE)".

 private:
  struct Range {
    AddressRange range;
    std::optional<IpAddress> next;  // To look at; absent: exhausted.
  };
  std::string name_;
  bool auto_assign_ = true;
  int priority_ = 0;
  std::vector<Range> ranges_;
  std::string ranges_text_;
};

// In the order of preference. Ranges that cannot be read are left out: they were refused on entry.
std::vector<PoolView> pool_views(const std::map<std::string, ObjectPointer>& pools);

}  // namespace sluice
