// SlowPath: the thread between the workers and the kernel. Punted packets go to the TAP of their
// port, the kernel's frames leave by the port; the kernel's routes and neighbours are mirrored into
// Routing; packets for unknown neighbours wait here; VIPs are held on a kernel interface of their
// own.
//
// Thread: start, stop: the owner's. The rest: any. Everything else happens on
//   a thread of its own, that nothing of control can delay.
// Ownership: config is copied; SlowPathPackets and Routing must outlive the SlowPath. Once it is
// made,
//   it is the one writer of Routing.
// Errors: start() says what is wrong and leaves the kernel without a change that matters; once
// running,
//   nothing stops it: what the kernel refuses is logged and tried again.
// The TAPs, the VIP interface and their addresses stay in the kernel after stop() and after a kill.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/forward/routing.h"
#include "dataplane/kernel/packets.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice {

namespace v1 {
class Dataplane;
}

struct PortInfo {
  std::uint16_t id = 0;  // DPDK port number.
  std::string name;      // Also the TAP's; at most 15 characters.
  std::uint8_t mac[6] = {};
  std::uint32_t mtu = 1500;  // Bytes of layer 3.
};

// Where packets to a backend go: its address, or that of the node its overlay leads to.
struct BackendAddress {
  std::uint32_t id = 0;  // Below Routing::backend_count.
  IpAddress address;
};

struct SlowPathCounter {
  const char* name;  // For instance "slow-path-punted".
  const char* help;
  std::uint64_t value;
};

class SlowPath {
 public:
  // `config` gives slowPath, nat and tunnel. routing.fib_ipv4 and fib_ipv6 must be set (see fib.h,
  // plain_fib.h).
  SlowPath(const v1::Dataplane& config, std::span<const PortInfo> ports, SlowPathPackets& packets,
           Routing& routing);
  ~SlowPath();  // As stop().

  // Opens or makes the TAPs and the VIP interface, reads the kernel's state, then starts the
  // thread. Routing is filled when it returns. Needs CAP_NET_ADMIN.
  Status start();
  // Ends the thread; waiting packets are released.
  void stop();

  // The whole set each time. Before the first call nothing is removed from the VIP interface.
  void set_served(std::vector<IpAddress> addresses);
  // New ones and those that are reached another way now; ids that are gone get kNoNextHop. No id
  // stands in both.
  void change_backends(std::vector<BackendAddress> now, std::vector<std::uint32_t> gone);

  // slowPath.packetsPerSecond, within a second.
  void set_packets_per_second(std::uint32_t rate);

  // Every counter, also those at 0.
  std::vector<SlowPathCounter> counters() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice
