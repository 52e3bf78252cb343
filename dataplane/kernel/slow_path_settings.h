// What the slow path takes from the configuration.
// Ownership: by value. Thread: any.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config.pb.h"
#include "proto/address.h"

namespace sluice {

struct SlowPathSettings {
  std::string vip_interface;
  std::uint32_t packets_per_second, waiting_packets;
  std::vector<IpAddress> nat_addresses;
  std::vector<IpPrefix> tunnel_sources;
  std::uint16_t first_port, last_port;

  // The configuration is checked where it is read; what it leaves out has gateway.yaml's defaults.
  explicit SlowPathSettings(const v1::Dataplane& config) {
    const auto& slow_path = config.slow_path();
    const auto or_else = [](std::uint32_t value, std::uint32_t otherwise) {
      return value != 0 ? value : otherwise;
    };
    vip_interface = slow_path.vip_interface().empty() ? "sluice-vips" : slow_path.vip_interface();
    packets_per_second = or_else(slow_path.packets_per_second(), 10000);
    waiting_packets = or_else(slow_path.waiting_packets(), 16);
    first_port = static_cast<std::uint16_t>(or_else(config.nat().first_port(), 20000));
    last_port = static_cast<std::uint16_t>(or_else(config.nat().last_port(), 65535));
    for (const std::string& text : config.nat().addresses()) {
      if (const auto address = IpAddress::parse(text)) nat_addresses.push_back(*address);
    }
    for (const std::string& text : config.tunnel().sources()) {
      if (const auto prefix = IpPrefix::parse(text)) tunnel_sources.push_back(*prefix);
    }
  }
};

}  // namespace sluice
