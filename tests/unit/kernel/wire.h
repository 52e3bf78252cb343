// Wire: the workers' side of a SlowPath, and the network beyond it, in plain memory: what the
// kernel sends is kept and, for the hosts it was told of, answered (ARP, neighbour discovery).
// Thread: any. Ownership: packets it made up are its own until the test ends.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "dataplane/kernel/packets.h"
#include "proto/address.h"

namespace sluice::test {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

class Wire : public SlowPathPackets {
 public:
  // A host that answers for itself on a port.
  void add_host(const IpAddress& address, const Mac& mac);
  void remove_host(const IpAddress& address);

  // A frame arrives for the kernel.
  void inject(std::uint16_t port, Bytes frame);
  // A packet waits for the neighbour of the next hop.
  void inject_waiting(NextHopIndex next_hop, Bytes frame);

  // Frames of the kernel so far that fit.
  std::vector<Bytes> sent(const std::function<bool(const Bytes&)>& fits = nullptr) const;
  std::size_t asked_for(const IpAddress& address) const;  // ARP requests or solicitations.
  struct Transmitted {
    Bytes frame;
    std::uint16_t port;
  };
  std::vector<Transmitted> transmitted() const;
  std::size_t released() const;
  std::size_t outstanding() const;  // Packets given and neither transmitted nor released.

  // Until `done`, at most `seconds`.
  static bool wait_until(const std::function<bool()>& done, double seconds = 5);

  bool receive(PuntedPacket& packet) override;
  void release(void* handle) override;
  bool send(std::uint16_t port, const std::uint8_t* frame, std::uint32_t length) override;
  bool transmit(void* handle, std::uint16_t port) override;
  std::uint64_t grace_start() override { return 1; }
  bool grace_passed(std::uint64_t) override { return true; }

 private:
  struct Packet {
    Bytes frame;
    PuntedPacket punted;
  };
  void add(std::uint16_t port, bool resolve, NextHopIndex next_hop, Bytes frame);
  void answer(std::uint16_t port, const Bytes& frame);

  mutable std::recursive_mutex mutex_;
  std::map<IpAddress, Mac> hosts_;
  std::map<void*, std::unique_ptr<Packet>> packets_;
  std::deque<void*> arriving_;
  std::set<void*> given_;
  std::vector<Bytes> sent_;
  std::map<IpAddress, std::size_t> asked_;
  std::vector<Transmitted> transmitted_;
  std::size_t released_ = 0;
};

// Frames, checksums included.
Bytes arp_request(const Mac& from_mac, const IpAddress& from, const IpAddress& target);
Bytes neighbour_solicitation(const Mac& from_mac, const IpAddress& from, const IpAddress& target);
Bytes echo_request(const Mac& to_mac, const Mac& from_mac, const IpAddress& from,
                   const IpAddress& to);

// What a frame is, if it is that.
bool is_arp_reply(const Bytes& frame, const IpAddress& of);
bool is_neighbour_advertisement(const Bytes& frame, const IpAddress& of);
bool is_echo_reply(const Bytes& frame, const IpAddress& from, const IpAddress& to);

}  // namespace sluice::test
