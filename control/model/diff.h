// What to change in a dataplane: wanted against reported. Pure. Thread: one.
// Shapes: parts in no order that means anything; the dataplane checks them together.
#pragma once

#include <cstddef>
#include <vector>

#include "control/model/dataplane_state.h"

namespace sluice {

struct Difference {
  std::vector<v1::ApplyPart> parts;  // Each of at most kMaxPartBytes.
  std::size_t vips = 0;              // Upserts of VIPs alone,
  std::size_t upserts = 0;           //   of everything,
  std::size_t deletes = 0;           //   and what goes.

  bool empty() const { return upserts == 0 && deletes == 0; }
};

inline constexpr std::size_t kMaxPartBytes = 512 * 1024;

// Collects changes one by one. A null `wanted` or `reported`: it is not there.
class DifferenceBuilder {
 public:
  void add(const VipName& name, const v1::Vip* wanted, const v1::Vip* reported);
  void add(std::uint32_t id, const v1::Backend* wanted, const v1::Backend* reported);
  void add(const IpAddress& address, const v1::ServedAddress* wanted,
           const v1::ServedAddress* reported);
  Difference take() { return std::move(result_); }

 private:
  v1::ApplyPart& room_for(std::size_t bytes);
  // Whether to upsert; counts it.
  bool upserts(const google::protobuf::MessageLite* wanted,
               const google::protobuf::MessageLite* reported);

  Difference result_;
  std::size_t used_ = 0;  // Bytes of the last part.
};

// The fewest upserts and deletes that turn `reported` into `wanted`.
Difference difference(const DataplaneState& wanted, const DataplaneState& reported);

}  // namespace sluice
