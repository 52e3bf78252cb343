#include "dataplane/kernel/port_facts.h"

#include <algorithm>
#include <utility>

namespace sluice {
namespace {

// Workers may go on with what was published before until their next quiescent state.
template <typename T, typename Publish>
void replace(Publish publish, std::unique_ptr<const T>& kept, std::unique_ptr<const T> next,
             GraceQueue& grace) {
  if (next == nullptr) return;
  publish(next.get());
  std::shared_ptr<const T> old = std::exchange(kept, std::move(next));
  if (old != nullptr) grace.retire([old = std::move(old)] {});
}

}  // namespace

PortFacts::PortFacts(std::span<const MirrorPort> links, std::span<const PortInfo> ports,
                     const SlowPathSettings& settings, Routing& routing, GraceQueue& grace)
    : routing_(routing),
      grace_(grace),
      own_(links),
      nat_(settings.nat_addresses, settings.first_port, settings.last_port),
      tunnels_(links, settings.tunnel_sources) {
  for (std::size_t i = 0; i < links.size(); ++i) {
    mtus_.push_back({links[i].link, links[i].port, ports[i].mtu});
    set_mtu(mtus_.back(), ports[i].mtu);
  }
}

void PortFacts::set_mtu(const Mtu& port, std::uint32_t mtu) {
  if (port.port >= kMaxPorts) return;
  const std::uint32_t usable = std::min<std::uint32_t>({mtu, port.most, UINT16_MAX});
  routing_.set_port_mtu(port.port, static_cast<std::uint16_t>(usable));
}

void PortFacts::apply(const KernelEvent& event) {
  own_.apply(event);
  const auto* link = std::get_if<LinkEvent>(&event);
  if (link == nullptr || link->removed || link->mtu == 0) return;
  for (const Mtu& port : mtus_) {
    if (port.link == link->index) set_mtu(port, link->mtu);
  }
}

void PortFacts::publish() {
  const OwnAddresses::Choice& own = own_.choose();
  replace([&](const NatSources* next) { routing_.nat_sources.store(next); }, nat_sources_,
          nat_.update(own), grace_);
  replace([&](const TunnelSources* next) { routing_.set_tunnel_sources(next); }, tunnel_sources_,
          tunnels_.update(own), grace_);
}

}  // namespace sluice
