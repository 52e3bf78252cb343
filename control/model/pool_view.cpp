#include "control/model/pool_view.h"

#include <algorithm>
#include <tuple>

namespace sluice {

PoolView::PoolView(const v1::AddressPool& pool)
    : name_(pool.metadata().name()),
      auto_assign_(!pool.spec().has_auto_assign() || pool.spec().auto_assign()),
      priority_(pool.spec().priority()) {
  for (const std::string& text : pool.spec().addresses()) {
    auto range = AddressRange::parse(text);
    if (!range) continue;
    ranges_.push_back({*range, range->first_automatic()});
    ranges_text_ += (ranges_text_.empty() ? "" : ", ") + text;
  }
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.range.first < b.range.first; });
}

bool PoolView::contains(const IpAddress& address) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& r) { return r.range.contains(address); });
}

bool PoolView::has_family(IpFamily family) const {
  return std::any_of(ranges_.begin(), ranges_.end(),
                     [&](const Range& r) { return family_of(r.range.first) == family; });
}

std::optional<IpAddress> PoolView::lowest_free(
    IpFamily family, const std::function<bool(const IpAddress&)>& is_free) {
  for (Range& r : ranges_) {
    if (family_of(r.range.first) != family) continue;
    const IpAddress last = r.range.last_automatic();
    while (r.next) {
      const IpAddress address = *r.next;
      if (is_free(address)) return address;
      r.next = address == last ? std::nullopt : std::optional(address.next());
    }
  }
  return std::nullopt;
}

std::string PoolView::text() const {
  return name_ + " (" + ranges_text_ + ")";
}

std::vector<PoolView> pool_views(const std::map<std::string, ObjectPointer>& pools) {
  std::vector<PoolView> views;
  for (const auto& [name, object] : pools) views.emplace_back(object->address_pool());
  std::sort(views.begin(), views.end(), [](const PoolView& a, const PoolView& b) {
    return std::tuple(-static_cast<long>(a.priority()), a.name()) <
           std::tuple(-static_cast<long>(b.priority()), b.name());
  });
  return views;
}

}  // namespace sluice
