// The state of one dataplane, wanted or reported. Values are shared: what several states have alike
// is in memory once, and two that point to the same message are equal without a look into it.
// Backends are ten times as many as the rest, and kept encoded.
// Ownership: counted references to immutable messages. Thread: one at a time; a state and what it
// shares are handed over together.
#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <cstdint>
#include <map>
#include <memory>

#include "control/model/bytes.h"
#include "dataplane.pb.h"
#include "proto/address.h"

namespace sluice {

template <typename Message>
using Shared = std::shared_ptr<const Message>;
using EncodedBackend = Encoded<v1::Backend>;

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
  boost::unordered_flat_map<std::uint32_t, EncodedBackend> backends;
  std::map<IpAddress, Shared<v1::ServedAddress>> addresses;

  void add(v1::Report& report);  // Each of the replies of a full report; takes its VIPs.
};

// Of messages without maps, whose bytes are canonical.
bool same_bytes(const google::protobuf::MessageLite& a, const google::protobuf::MessageLite& b);
template <typename Message>
bool same_value(const Shared<Message>& a, const Shared<Message>& b) {
  return a == b || (a != nullptr && b != nullptr && same_bytes(*a, *b));
}
inline bool same_value(const EncodedBackend& a, const EncodedBackend& b) {
  return a == b;
}

}  // namespace sluice
