#include "dataplane/kernel/tunnel_source_table.h"

#include <algorithm>
#include <cstring>

namespace sluice {
namespace {

template <typename Family>
TunnelSource<Family> fixed(const IpAddress& address) {
  TunnelSource<Family> source;
  source.present = true;
  std::memcpy(source.address.data(), address.data(), source.address.size());
  return source;
}

template <typename Family>
void take_prefix(const IpPrefix& prefix, unsigned most, TunnelSource<Family>* source) {
  if (source->present || prefix.address().size() != Family::kAddressBytes) return;
  *source = fixed<Family>(prefix.address());
  const unsigned host_bits = Family::kAddressBytes * 8 - prefix.length();
  const unsigned bits = std::min(host_bits, most);
  for (unsigned bit = 0; bit < bits; ++bit) {
    source->varies[Family::kAddressBytes - 1 - bit / 8] |=
        static_cast<std::uint8_t>(1u << (bit % 8));
  }
}

}  // namespace

TunnelSourceTable::TunnelSourceTable(std::span<const MirrorPort> ports,
                                     std::span<const IpPrefix> prefixes)
    : ports_(ports.begin(), ports.end()) {
  for (const IpPrefix& prefix : prefixes) {
    take_prefix(prefix, kVaryIpv4, &prefix_ipv4_);
    take_prefix(prefix, kVaryIpv6, &prefix_ipv6_);
  }
}

template <typename Family>
TunnelSource<Family> TunnelSourceTable::source(std::uint16_t port,
                                               const OwnAddresses::Choice& own) const {
  constexpr bool kIsV4 = Family::kAddressBytes == 4;
  if constexpr (kIsV4) {
    if (prefix_ipv4_.present) return prefix_ipv4_;
  } else {
    if (prefix_ipv6_.present) return prefix_ipv6_;
  }
  const auto at = own.find({port, kIsV4});
  return at == own.end() ? TunnelSource<Family>{} : fixed<Family>(at->second);
}

std::unique_ptr<const TunnelSources> TunnelSourceTable::update(const OwnAddresses::Choice& own) {
  if (!first_ && own == published_) return nullptr;
  first_ = false;
  published_ = own;
  auto sources = std::make_unique<TunnelSources>();
  for (const MirrorPort& port : ports_) {
    if (port.port >= sources->ports.size()) sources->ports.resize(port.port + 1u);
    sources->ports[port.port] = {source<Ipv4>(port.port, own), source<Ipv6>(port.port, own)};
  }
  return sources;
}

}  // namespace sluice
