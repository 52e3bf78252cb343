// FlowPlan: which client address and port the n-th flow has, and which flow the n-th packet of a
// trial belongs to, by arithmetic alone: no memory per flow.
//
// Thread: immutable; any thread. Units: ports in host order.
// Shapes: flow = port part and client part; clients are a power of two, at most 4096, so that both
// addresses and ports vary.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "proto/result.h"

namespace sluice::generator {

inline constexpr std::uint16_t kFirstClientPort = 1024;
inline constexpr std::uint32_t kPortsPerClient = 65536 - kFirstClientPort;
inline constexpr std::uint32_t kMostClients = 4096;
inline constexpr std::uint32_t kMostFlows = kMostClients * kPortsPerClient;

struct Client {
  std::uint32_t number;  // Added to the first client address.
  std::uint16_t port;
  friend bool operator==(const Client&, const Client&) = default;
};

// n % divisor without a division. Source: Lemire, Kaser, Kurz, "Faster remainder by direct
// computation" (2019); exact for all 32-bit n.
class Modulo {
 public:
  explicit Modulo(std::uint32_t divisor)
      : magic_(~std::uint64_t{0} / divisor + 1), divisor_(divisor) {}
  std::uint32_t operator()(std::uint32_t n) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint32_t>(static_cast<Wide>(magic_ * n) * divisor_ >> 64);
  }

 private:
  std::uint64_t magic_;
  std::uint32_t divisor_;
};

class FlowPlan {
 public:
  static Result<FlowPlan> make(std::uint32_t flows) {
    if (flows == 0 || flows > kMostFlows) {
      return Error{"flows: " + std::to_string(flows) + " is out of range; right is 1 to " +
                   std::to_string(kMostFlows)};
    }
    return FlowPlan(flows);
  }
  std::uint32_t flows() const { return flows_; }
  std::uint32_t clients() const { return 1u << client_bits_; }
  Client client(std::uint32_t flow) const {
    return {flow & ((1u << client_bits_) - 1),
            static_cast<std::uint16_t>(kFirstClientPort + (flow >> client_bits_))};
  }

 private:
  explicit FlowPlan(std::uint32_t flows)
      : flows_(flows),
        client_bits_(static_cast<unsigned>(
            std::bit_width(std::min(kMostClients, std::bit_ceil(flows)) - 1))) {}
  std::uint32_t flows_;
  unsigned client_bits_;
};

// The order of a trial's packets. Traffic: all flows in turn, over and over. Opening: each flow
// once; with handshakes, the SYNs of a group of flows and then their first data, so that few flows
// are half open at a time.
class Schedule {
 public:
  struct Packet {
    std::uint32_t flow;
    bool syn;
  };
  static constexpr std::uint32_t kGroup = 1024;  // Flows.

  static Schedule traffic(const FlowPlan& plan) { return {plan.flows(), false, UINT32_MAX}; }
  static Schedule opening(const FlowPlan& plan, bool handshakes) {
    if (!handshakes) return {plan.flows(), false, plan.flows()};
    const std::uint32_t groups = (plan.flows() - 1) / kGroup + 1;
    return {plan.flows(), true, groups * 2 * kGroup};
  }
  // Packets until it is over.
  std::uint32_t packets() const { return packets_; }
  Packet packet(std::uint32_t number) const {
    if (!handshakes_) [[likely]]
      return {modulo_(number), false};
    // The last group wraps to the first flows.
    const std::uint32_t flow = number / (2 * kGroup) * kGroup + number % kGroup;
    return {modulo_(flow), number / kGroup % 2 == 0};
  }

 private:
  Schedule(std::uint32_t flows, bool handshakes, std::uint32_t packets)
      : modulo_(flows), handshakes_(handshakes), packets_(packets) {}
  Modulo modulo_;
  bool handshakes_;
  std::uint32_t packets_;
};

}  // namespace sluice::generator
