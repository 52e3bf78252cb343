// What to change in a dataplane: wanted against reported. Pure. Thread: one.
// Shapes: parts in no order that means anything; the dataplane checks them together.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "control/model/dataplane_state.h"

namespace sluice {

struct Difference {
  std::vector<std::string> parts;  // Each an encoded v1::ApplyPart of at most kMaxPartBytes.
  std::size_t vips = 0;            // Upserts of VIPs alone,
  std::size_t upserts = 0;         //   of everything,
  std::size_t deletes = 0;         //   and what goes.

  bool empty() const { return upserts == 0 && deletes == 0; }
};

inline constexpr std::size_t kMaxPartBytes = 512 * 1024;

// Collects changes one by one. A null `wanted` or `reported`: it is not there.
class DifferenceBuilder {
 public:
  void add(const VipName& name, const Shared<v1::Vip>& wanted, const Shared<v1::Vip>& reported);
  void add(std::uint32_t id, const EncodedBackend& wanted, const EncodedBackend& reported);
  void add(const IpAddress& address, const Shared<v1::ServedAddress>& wanted,
           const Shared<v1::ServedAddress>& reported);
  Difference take() { return std::move(result_); }

 private:
  enum class Step { none, upsert, remove };
  template <typename Value>
  Step step(const Value& wanted, const Value& reported);  // Counts it.
  // The part the next element goes to, with the element's tag and length.
  std::string& begin_element(std::uint32_t field, std::size_t bytes);
  void append(std::uint32_t field, const google::protobuf::MessageLite& message);

  Difference result_;
};

// The fewest upserts and deletes that turn `reported` into `wanted`.
Difference difference(const DataplaneState& wanted, const DataplaneState& reported);

}  // namespace sluice
