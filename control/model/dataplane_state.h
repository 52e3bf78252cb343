// The state of one dataplane, wanted or reported. Values are shared: what several states have alike
// is in memory once, and two that point to the same message are equal without a look into it.
// Ownership: counted references to immutable messages. Thread: one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "dataplane.pb.h"
#include "proto/address.h"

namespace sluice {

template <typename Message>
using Shared = std::shared_ptr<const Message>;

struct VipName {
  IpAddress address;
  v1::Protocol protocol = v1::PROTOCOL_TCP;
  std::uint32_t port = 0;

  friend auto operator<=>(const VipName&, const VipName&) = default;
  friend bool operator==(const VipName&, const VipName&) = default;
};
VipName vip_name(const v1::VipKey& key);
v1::VipKey vip_key(const VipName& name);

struct DataplaneState {
  std::map<VipName, Shared<v1::Vip>> vips;
  std::map<std::uint32_t, Shared<v1::Backend>> backends;
  std::map<IpAddress, Shared<v1::ServedAddress>> addresses;

  void add(v1::Report report);  // Each of the replies of a full report.
};

// Of messages without maps, whose bytes are canonical.
bool same_bytes(const google::protobuf::MessageLite& a, const google::protobuf::MessageLite& b);

}  // namespace sluice
