// Pools as allocation uses them. Thread: one; made for one allocation.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/model/allocation.h"
#include "control/model/label_selector.h"

namespace sluice {

// Who asks for an address, as pools see it. Refers to both.
struct Applicant {
  const AddressRequest* request = nullptr;
  const v1::Namespace* ns = nullptr;  // Null: not known.
};

struct Admission {
  Match match = Match::yes;
  std::string why;  // If not yes: "is for ... alone", to come after the pool's name.
};

enum class Sharing { in_namespace, in_cluster, anywhere };

class PoolView {
 public:
  explicit PoolView(const v1::AddressPool& pool);

  const std::string& name() const { return pool_->metadata().name(); }
  bool auto_assign() const { return !spec().has_auto_assign() || spec().auto_assign(); }
  bool allows_external_ips() const { return spec().allow_external_ips(); }
  int priority() const { return spec().priority(); }
  Sharing sharing() const;
  bool contains(const IpAddress& address) const;
  bool has_family(IpFamily family) const;
  bool is_for_everybody() const { return !narrowed_; }
  // By clusters, namespaces and selectors.
  Admission admits(const Applicant& who) const;
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
  const v1::AddressPoolSpec& spec() const { return pool_->spec(); }
  Admission by_namespace_labels(const Applicant& who) const;

  const v1::AddressPool* pool_;
  bool narrowed_ = false;  // Not for everybody.
  std::vector<Range> ranges_;
  std::string ranges_text_;
};

// All pools, in the order of preference. Ranges that cannot be read are left out: they were refused
// on entry. Refers to the objects.
class Pools {
 public:
  explicit Pools(const std::map<std::string, ObjectPointer>& objects);
  Pools(const Pools&) = delete;
  Pools& operator=(const Pools&) = delete;

  std::vector<PoolView>& all() { return views_; }
  const std::vector<PoolView>& all() const { return views_; }
  const PoolView* find(std::string_view name) const;  // Null: there is none of that name.
  // Of a pool that is no more too.
  Sharing sharing(std::string_view name) const;
  std::string text() const;  // For messages.

 private:
  std::vector<PoolView> views_;
  std::unordered_map<std::string_view, const PoolView*> by_name_;
};

}  // namespace sluice
