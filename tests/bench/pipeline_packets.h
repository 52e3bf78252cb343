// The benchmark's packets: TCP headers worked out from a number, so that the generator reads no
// memory; and the orders in which the numbers come.
//
// Thread: one. Units: numbers and ports in host order. Shapes: IPv4 frames have 60 bytes (64 with
// FCS), IPv6 frames 74, the least that holds a TCP header. Checksums are right.
// A number below 2^39 stands for one flow: its client's address and port, and its VIP.
#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"

namespace sluice::bench {

inline constexpr std::uint32_t kVips = 1000, kBackends = 1000;
inline constexpr std::uint16_t kVipPort = 443;
inline constexpr std::uint8_t kGatewayMac[6] = {2, 0, 0, 0, 2, 1};
inline constexpr std::uint8_t kPeerMac[6] = {2, 0, 0, 0, 1, 1};
// What all backends' SYN-ACKs begin with, and what all clients acknowledge.
inline constexpr std::uint32_t kBackendSequence = 5000, kClientSequence = 1000;

// A network of numbered hosts: its first address plus the number.
template <typename Family>
struct Net {
  std::uint64_t high = 0, low = 0;  // IPv4: low alone.
  typename Family::Address host(std::uint32_t number) const {
    typename Family::Address address;
    if constexpr (Family::kAddressBytes == 4) {
      const std::uint32_t word = __builtin_bswap32(static_cast<std::uint32_t>(low) + number);
      std::memcpy(address.data(), &word, 4);
    } else {
      const std::uint64_t words[2] = {__builtin_bswap64(high), __builtin_bswap64(low + number)};
      std::memcpy(address.data(), words, 16);
    }
    return address;
  }
  std::uint32_t number(const std::uint8_t* address) const {
    return read32(address + Family::kAddressBytes - 4) - static_cast<std::uint32_t>(low);
  }
};

template <typename Family>
struct Nets;
template <>
struct Nets<Ipv4> {
  static constexpr Net<Ipv4> kClients{0, 0x0b000000}, kVips{0, 0xc6120001},
      kBackends{0, 0x0a010001}, kGateway{0, 0x0a0000fe};
};
template <>
struct Nets<Ipv6> {
  static constexpr Net<Ipv6> kClients{0x20010db800010000, 0x100000000},
      kVips{0x20010db801000000, 1}, kBackends{0xfd00000100000000, 1},
      kGateway{0xfd00000000000000, 0xfe};
};

// What differs from packet to packet.
struct PacketNumbers {
  std::uint32_t source = 0, destination = 0;  // Hosts of their networks.
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t flags = 0;
};

inline PacketNumbers from_client(std::uint64_t flow, std::uint8_t flags) {
  const auto word = static_cast<std::uint32_t>(flow);
  // Odd factors: no two flows of the same upper bits share a client address.
  const std::uint32_t client = (word * 0x9e3779b1u) & 0xffffff;
  const auto port = static_cast<std::uint32_t>(flow >> 24) + (client * 40503u >> 8);
  const std::uint32_t vip = std::uint32_t{word * 0x85ebca6bu} * std::uint64_t{kVips} >> 32;
  return {client, vip, static_cast<std::uint16_t>(1024 + (port & 0x7fff)), kVipPort, flags};
}

template <typename Family>
constexpr std::uint32_t frame_bytes() {
  return Family::kAddressBytes == 4 ? 60 : 74;
}

template <typename Family>
void write_packet(std::uint8_t* data, const Net<Family>& from, const Net<Family>& to,
                  const PacketNumbers& numbers) {
  constexpr std::size_t kIp = sizeof(EthernetHeader);
  constexpr std::size_t kTcp = kIp + sizeof(IpHeader<Family>);
  constexpr auto kSegment = static_cast<std::uint16_t>(frame_bytes<Family>() - kTcp);
  auto& ethernet = *reinterpret_cast<EthernetHeader*>(data);
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(data + kIp);
  auto& tcp = *reinterpret_cast<TcpHeader*>(data + kTcp);
  std::memcpy(ethernet.destination, kGatewayMac, 6);
  std::memcpy(ethernet.source, kPeerMac, 6);
  ethernet.type = Be16::from_host(Family::kEtherType);
  const auto source = from.host(numbers.source), destination = to.host(numbers.destination);
  const std::uint64_t addresses =
      sum_bytes(source.data(), source.size()) + sum_bytes(destination.data(), destination.size());
  if constexpr (Family::kAddressBytes == 4) {
    constexpr auto kTotal = static_cast<std::uint16_t>(sizeof(Ipv4Header) + kSegment);
    ip.version_ihl = 0x45;
    ip.tos = 0;
    ip.total_length = Be16::from_host(kTotal);
    ip.id = Be16{};
    ip.fragment = Be16::from_host(kIpv4DontFragment);
    ip.ttl = 64;
    ip.protocol = kProtocolTcp;
    constexpr std::uint64_t kConstant = Be16::from_host(0x4500).raw + Be16::from_host(kTotal).raw +
                                        Be16::from_host(kIpv4DontFragment).raw +
                                        Be16::from_host(64 << 8 | kProtocolTcp).raw;
    ip.checksum = {static_cast<std::uint16_t>(~fold(kConstant + addresses))};
    std::memset(data + kTcp + sizeof(TcpHeader), 0, kSegment - sizeof(TcpHeader));
  } else {
    ip.version_class_label[0] = 0x60;
    std::memset(ip.version_class_label + 1, 0, 3);
    ip.payload_length = Be16::from_host(kSegment);
    ip.next_header = kProtocolTcp;
    ip.hop_limit = 64;
  }
  std::memcpy(ip.source, source.data(), source.size());
  std::memcpy(ip.destination, destination.data(), destination.size());
  tcp.source_port = Be16::from_host(numbers.source_port);
  tcp.destination_port = Be16::from_host(numbers.destination_port);
  // A client's first number and what follows, a backend's likewise: by who speaks.
  const bool client = numbers.destination_port == kVipPort;
  const std::uint32_t sequence = client ? kClientSequence : kBackendSequence;
  const std::uint32_t acknowledgment = client ? kBackendSequence + 1 : kClientSequence + 1;
  write32(tcp.sequence, sequence);
  write32(tcp.acknowledgment, acknowledgment);
  tcp.data_offset = 5 << 4;
  tcp.flags = numbers.flags;
  tcp.window = Be16::from_host(0xffff);
  tcp.urgent = Be16{};
  constexpr std::uint64_t kConstant = Be16::from_host(kProtocolTcp).raw +
                                      Be16::from_host(kSegment).raw + 0xffff +
                                      Be16::from_host(kBackendSequence + kClientSequence + 1).raw;
  const std::uint64_t sum = kConstant + addresses + tcp.source_port.raw + tcp.destination_port.raw +
                            Be16::from_host(static_cast<std::uint16_t>(0x5000 | numbers.flags)).raw;
  tcp.checksum = {static_cast<std::uint16_t>(~fold(sum))};
}

// Orders. Each has next(), which gives the numbers of one more packet.

class Random {  // Knuth's MMIX generator; its upper half is uniform enough.
 public:
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::uint32_t>(state_ >> 32);
  }
  std::uint32_t below(std::uint32_t bound) { return next() * std::uint64_t{bound} >> 32; }

 private:
  std::uint64_t state_ = 0x853c49e6748fea9b;
};

// Any of the first `flows` flows, each as likely as the others.
struct Uniform {
  std::uint32_t flows;
  Random random{};
  PacketNumbers next() { return from_client(random.below(flows), kTcpAck); }
};

// Flow r with a probability of 1 / (r + 1), by the inverse of the continuous distribution, exp2 by
// a parabola (0.2 % off).
class Zipf {
 public:
  explicit Zipf(std::uint32_t flows)
      : flows_(flows), log2_(static_cast<std::uint64_t>(std::log2(flows) * (1 << kBits))) {}
  std::uint32_t rank() {
    const std::uint64_t exponent = random_.next() * log2_ >> 32;
    const std::uint64_t fraction = exponent & ((1 << kBits) - 1);
    constexpr auto kLinear = static_cast<std::uint64_t>(0.6565 * (1 << kBits));
    const std::uint64_t bent = kLinear + ((((1u << kBits) - kLinear) * fraction) >> kBits);
    const std::uint64_t mantissa = (1u << kBits) + ((fraction * bent) >> kBits);
    const std::uint64_t value = (mantissa << (exponent >> kBits) >> kBits) - 1;
    return static_cast<std::uint32_t>(value < flows_ ? value : flows_ - 1);
  }
  PacketNumbers next() { return from_client(rank(), kTcpAck); }

 private:
  static constexpr unsigned kBits = 26;
  std::uint32_t flows_;
  std::uint64_t log2_;
  Random random_;
};

// Flow after flow, every `step`th of `count` round and round; without a common divisor all come.
struct InTurn {
  std::uint64_t number;
  std::uint8_t flags;
  std::uint64_t step = 1, count = ~std::uint64_t{0};
  PacketNumbers next() {
    const std::uint64_t flow = number;
    number += step;
    if (number >= count) number -= count;
    return from_client(flow, flags);
  }
};

// Nine SYNs of flows never seen to one packet of an established flow, in random order.
struct Flood {
  std::uint32_t flows;
  std::uint64_t number;
  Random random{};
  std::uint64_t established = 0;  // Packets of established flows so far.
  PacketNumbers next() {
    const bool known = random.next() < (1ull << 32) / 10;
    const std::uint64_t flow = known ? random.below(flows) : number;
    established += known;
    number += !known;
    return from_client(flow, known ? kTcpAck : kTcpSyn);
  }
};

// What backends send. Only the gateway knows which backend and port a flow got: the numbers are
// read, in the order they lie in memory, 8 bytes a packet.
struct Reply {
  std::uint16_t backend, port;  // Where it comes from, and the gateway's port it goes to.
  std::uint32_t flow;           // Where it goes when the client's address is kept.
};
class Replies {
 public:
  // `to_client`: not to an address of the gateway, which passes them on unasked.
  Replies(const std::vector<Reply>& all, std::uint16_t backend_port, bool to_client,
          std::uint8_t flags)
      : all_(all), backend_port_(backend_port), to_client_(to_client), flags_(flags) {}
  PacketNumbers next() {
    const Reply& reply = all_[at_];
    if (++at_ == all_.size()) at_ = 0;
    const std::uint32_t to = to_client_ ? from_client(reply.flow, 0).source : 0;
    return {reply.backend, to, backend_port_, reply.port, flags_};
  }

 private:
  const std::vector<Reply>& all_;
  std::uint16_t backend_port_;
  bool to_client_;
  std::uint8_t flags_;
  std::size_t at_ = 0;
};

}  // namespace sluice::bench
