// Adjacency: all that is needed to send a packet to a backend, in one line: MACs, port, MTU and the
// addresses of a tunnel to it. Worked out from state and routing when a packet needs it, and again
// when either has changed, so that a packet reads one line instead of six.
//
// Thread: one worker. Ownership: a line per possible backend id, allocated once.
// Units: MTU in bytes of layer 3; addresses and MACs as on the wire.
// Errors: what is not reachable just now, or has several ways, cannot leave(): the stages know why.
#pragma once

#include <cstdint>
#include <memory>

#include "dataplane/forward/routing.h"
#include "dataplane/forward/state.h"
#include "dataplane/table/prefetch.h"
#include "dataplane/table/table_memory.h"

namespace sluice {

struct alignas(64) Adjacency {
  enum Can : std::uint8_t {
    kLeave = 1,       // Whatever goes to the backend; without it the rest means nothing.
    kReachByMac = 2,  // No router between.
    kTunnelIpv4 = 4,  // source, destination and varies are of this family.
    kTunnelIpv6 = 8,
    kThroughOverlay = 16,  // Translated packets must.
    kIsThere = 32,         // There is such a backend, whether anything reaches it or not.
  };
  std::uint64_t ethernet[2] = {};  // The first 14 bytes of a frame; the type is the tunnel's.
  std::uint32_t epoch = 0;         // Of the tables it was worked out from; 0: work it out.
  NextHopIndex next_hop = 0;
  std::uint16_t mtu = 0;
  std::uint8_t port = 0;
  std::uint8_t can = 0;
  std::uint32_t varies = 0;  // Bits of the source's last four bytes that the flow chooses.
  std::uint8_t source[16] = {}, destination[16] = {};

  bool leaves() const { return (can & kLeave) != 0; }
};
static_assert(sizeof(Adjacency) == 64 && kMaxPorts <= 256);

class Adjacencies {
 public:
  // False: `memory` has not enough.
  bool create(std::uint32_t backends, TableMemory memory);
  Adjacencies() = default;
  Adjacencies(const Adjacencies&) = delete;
  Adjacencies& operator=(const Adjacencies&) = delete;
  ~Adjacencies();

  // Before the packets of a burst: what is known of other tables is forgotten.
  void begin(const ForwardingState& state, const Routing& routing) {
    const std::uint32_t version = routing.version();
    if (version == version_ && state.serial() == serial_) [[likely]]
      return;
    version_ = version;
    serial_ = state.serial();
    if (++epoch_ == 0) epoch_ = 1;
  }
  std::uint32_t count() const { return count_; }
  void prefetch(std::uint32_t backend) const { prefetch_near_line(&lines_[backend]); }
  // For an id below count(), with the state and routing of begin().
  const Adjacency& get(std::uint32_t backend, const ForwardingState& state, const Routing& routing,
                       Ticks now) {
    Adjacency& line = lines_[backend];
    if (line.epoch != epoch_) [[unlikely]]
      work_out(line, backend, state, routing, now);
    return line;
  }

 private:
  void work_out(Adjacency& line, std::uint32_t backend, const ForwardingState& state,
                const Routing& routing, Ticks now) const;

  Adjacency* lines_ = nullptr;
  std::uint32_t count_ = 0, epoch_ = 1, version_ = 0;
  std::uint64_t serial_ = 0;
  TableMemory memory_;
};

}  // namespace sluice
