#include "dataplane/forward/state.h"

#include <algorithm>
#include <cstddef>

namespace sluice {

static_assert(offsetof(VipBlock, service) <= 64, "a worker reads one line of a VIP");
static_assert(sizeof(BackendRecord) <= 32, "two backends share a line");

const char* name(Mode mode) {
  constexpr const char* kNames[kModes] = {"nat", "dnat", "dsr-mac", "ipip", "gue"};
  return kNames[static_cast<unsigned>(mode)];
}

std::string protocol_name(std::uint8_t protocol) {
  switch (protocol) {
    case kProtocolTcp:
      return "TCP";
    case kProtocolUdp:
      return "UDP";
    case kProtocolSctp:
      return "SCTP";
    default:
      return "protocol " + std::to_string(protocol);
  }
}

IpAddress address_of(const BackendRecord& record) {
  return record.address_bytes == 4 ? IpAddress::v4(record.address) : IpAddress::v6(record.address);
}

std::string to_text(const BackendRecord& record) {
  return "backend " + std::to_string(record.id) + " (" +
         address_port_text(address_of(record), record.port.host()) + ")";
}

const VipBlock* ForwardingState::find_vip(std::uint32_t vip_id, Be16 port) const {
  const VipIdentity* of = identity(vip_id);
  return of == nullptr ? nullptr : find_vip(of->address, of->protocol, port);
}

const VipBlock* ForwardingState::find_vip(const IpAddress& address, std::uint8_t protocol,
                                          Be16 port) const {
  return vips_.find(hash_of(address, protocol, port), [&](const VipBlock& vip) {
    return vip.port == port && vip.protocol == protocol && vip.address == address;
  });
}

const AddressBlock* ForwardingState::find_address(const IpAddress& address) const {
  return addresses_.find(hash_of(address, 0, Be16{}),
                         [&](const AddressBlock& block) { return block.address == address; });
}

const BackendRecord* ForwardingState::quic_backend(const VipBlock& vip,
                                                   const QuicServer& server) const {
  const auto& servers = vip.quic_servers;
  for (const std::uint8_t bytes : {std::uint8_t{4}, std::uint8_t{8}}) {
    if (server.bytes < bytes) continue;
    const std::uint64_t key = quic_server_key(server.id, bytes);
    const auto found =
        std::lower_bound(servers.begin(), servers.end(), VipBlock::QuicServerName{bytes, key, 0});
    if (found != servers.end() && found->bytes == bytes && found->key == key)
      return backend(found->backend);
  }
  return nullptr;
}

const BackendInfo* ForwardingState::backend_info(std::uint32_t id) const {
  return backend(id) == nullptr ? nullptr : infos_.find(id)->get();
}

}  // namespace sluice
