// `sluice flows`, `stats` and `trace`: questions to this gateway's dataplane.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "control/cli/context.h"
#include "dataplane.pb.h"
#include "proto/address.h"

namespace sluice {

struct FlowsOptions {
  std::string client;  // Address.
  std::string vip;     // "ADDRESS:PORT", "[ADDRESS]:PORT", with "/udp" for UDP.
  std::uint32_t limit = 1000;
  bool wide = false;
};
int flows_command(Context& context, const FlowsOptions& options);

struct StatsOptions {
  bool drops = false, vips = false, backends = false, workers = false;  // None: drops and workers.
  bool all = false;  // Also drop counters at zero.
};
int stats_command(Context& context, const StatsOptions& options);

struct TraceOptions {
  std::string source;             // "ADDRESS" or "ADDRESS:PORT".
  std::string destination;        // "ADDRESS:PORT".
  bool tcp = false, udp = false;  // Neither: TCP.
  std::string flags;              // "syn,ack": names of TCP flags.
  std::string port;
};
int trace_command(Context& context, const TraceOptions& options);

struct AddressPort {
  IpAddress address;
  std::uint32_t port = 0;  // 0: none given.
};
// "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]:80".
Result<AddressPort> parse_address_port(std::string_view text);
// "syn,ack" -> 0x12; empty text: 0.
Result<std::uint32_t> parse_tcp_flags(std::string_view text);

}  // namespace sluice
