// LeaseRecord: a Lease object as read, and the bodies of the writes that follow from it.
// Ownership: by value. Thread: any, pure. Errors: a body that is no Lease is an Error; fields with
// absurd values count as absent. Source: Lease API reference (coordination.k8s.io/v1).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "proto/result.h"

namespace sluice::kube {

// leaseTransitions is an int32.
inline constexpr std::uint64_t kMaxTransitions = 2'147'483'647;

struct LeaseRecord {
  std::string resource_version;
  std::string uid;
  std::string holder;  // Empty: released.
  std::chrono::seconds duration{0};
  std::uint64_t transitions = 0;
  std::string acquire_time;  // As in the object.
  std::string renew_time;
  std::string json;  // The object, to keep what is not ours in it.

  // Whether somebody has written it in between.
  bool same_as(const LeaseRecord& other) const {
    return uid == other.uid && resource_version == other.resource_version;
  }
};

Result<LeaseRecord> parse_lease(std::string_view json);

// What to write: spec's fields; all else stays as it was read.
struct LeaseWrite {
  std::string holder;
  std::chrono::seconds duration{0};
  std::uint64_t transitions = 0;
  bool acquired = false;  // Sets acquireTime as well.
};
// Body of a PUT, with the resourceVersion of `before`.
std::string lease_update(const LeaseRecord& before, const LeaseWrite& write);
// Body of a POST.
std::string new_lease(const std::string& ns, const std::string& name, const LeaseWrite& write);

}  // namespace sluice::kube
