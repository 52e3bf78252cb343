#include "control/model/dataplane_state.h"

#include <string>
#include <utility>

namespace sluice {

VipName vip_name(const v1::VipKey& key) {
  return {IpAddress::from_bytes(key.address()).value_or(IpAddress()), key.protocol(), key.port()};
}

v1::VipKey vip_key(const VipName& name) {
  v1::VipKey key;
  key.set_address(name.address.bytes());
  key.set_protocol(name.protocol);
  key.set_port(name.port);
  return key;
}

void DataplaneState::add(v1::Report& report) {
  for (v1::Vip& vip : *report.mutable_vips()) {
    const VipName name = vip_name(vip.key());
    vips[name] = std::make_shared<const v1::Vip>(std::move(vip));
  }
  for (const v1::Backend& backend : report.backends())
    backends[backend.id()] = EncodedBackend(backend);
  for (v1::ServedAddress& served : *report.mutable_addresses()) {
    if (const auto address = IpAddress::from_bytes(served.address()))
      addresses[*address] = std::make_shared<const v1::ServedAddress>(std::move(served));
  }
}

bool same_bytes(const google::protobuf::MessageLite& a, const google::protobuf::MessageLite& b) {
  if (&a == &b) return true;
  if (a.ByteSizeLong() != b.ByteSizeLong()) return false;
  return a.SerializeAsString() == b.SerializeAsString();
}

}  // namespace sluice
