// Ports: the NICs of gateway.yaml as DPDK sees them, from configuration to running queues.
//
// Thread: open, start, close on the main thread; describe any. Ownership: Ports stops and closes
// its
//   devices; it must outlive the workers. Units: bytes; MTU is of layer 3.
// Shapes: queue q is polled by worker q % workers; worker w sends on queue w if there is one, else
//   through worker w % tx_queues.
// Errors: name the port, and say what would be right.
#pragma once

#include <rte_mempool.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "config.pb.h"
#include "dataplane.pb.h"
#include "dataplane/table/steering.h"
#include "proto/result.h"

namespace sluice {

struct Port {
  std::string name;  // Also its TAP's.
  std::string device;
  std::string driver;
  std::uint16_t id = 0;  // DPDK port number.
  std::array<std::uint8_t, 6> mac{};
  std::uint16_t mtu = 1500;
  std::uint16_t rx_queues = 1, tx_queues = 1;
  int socket = 0;    // NUMA node.
  bool rss = false;  // The NIC, or the sender, spreads as `steering` says; else software steers.
  std::shared_ptr<const Steering> steering;
};

class Ports {
 public:
  // Finds and configures the ports for `workers` workers. They are started, but receive nothing of
  // interest before somebody polls them.
  static Result<std::unique_ptr<Ports>> open(const v1::Dataplane& config, unsigned workers);
  ~Ports();
  Ports(const Ports&) = delete;
  Ports& operator=(const Ports&) = delete;

  const std::vector<Port>& all() const { return ports_; }
  // Pool for packets that are made here.
  rte_mempool* pool() const { return pool_; }
  // Highest DPDK port number + 1.
  std::uint16_t id_limit() const;
  // State and counters of each, without the kernel's addresses.
  std::vector<v1::Port> describe() const;

 private:
  Ports() = default;
  std::vector<Port> ports_;
  rte_mempool* pool_ = nullptr;
};

}  // namespace sluice
