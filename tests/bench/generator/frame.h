// Frames: what the generator sends, written from a template and a flow's number, and how it knows
// its own packets again when they come back, also inside a tunnel.
//
// Thread: immutable after make(); any thread.
// Units: sizes are those of the wire, FCS included, as in RFC 2544 (64 to 1518); a buffer holds
// 4 bytes less.
// Shapes: the stamp - sequence number and time, 8 bytes in memory order - lies in the first bytes
// of the payload with UDP, and in the sequence and acknowledgment numbers with TCP, whose smallest
// frame has no room for it behind the header. Smallest sizes: 64 for IPv4; for IPv6 74 with UDP, 78
// with TCP. The rest of the payload is zero; checksums are right.
// Errors: make() names what is out of range.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"
#include "proto/address.h"
#include "proto/result.h"
#include "tests/bench/generator/flow_plan.h"

namespace sluice::generator {

enum class Kind { tcp, syn, udp };  // syn: every packet a SYN.
using Mac = std::array<std::uint8_t, 6>;

struct FrameConfig {
  Kind kind = Kind::udp;
  IpAddress first_client, destination;
  std::uint16_t destination_port = 80;
  std::vector<unsigned> sizes{64};  // In turn.
  Mac source_mac{}, destination_mac{};
};

// "64", "imix" (7 x 64, 4 x 570, 1 x 1518; the smallest raised to what the kind needs).
Result<std::vector<unsigned>> parse_sizes(const std::string& text, bool ipv6, Kind kind);
unsigned smallest_size(bool ipv6, Kind kind);
Result<Mac> parse_mac(const std::string& text);

struct Stamp {
  std::uint32_t sequence;
  std::uint32_t time;  // In units of 16 cycles of the time-stamp counter; wraps.
};
inline std::uint32_t stamp_time(std::uint64_t cycles) {
  return static_cast<std::uint32_t>(cycles >> 4);
}

// A packet that came back.
struct Found {
  std::uint8_t* ip;
  std::uint8_t* l4;
};

template <typename Family>
class Frames {
 public:
  static constexpr unsigned kFcs = 4;
  static constexpr unsigned kL3 = sizeof(EthernetHeader);
  static constexpr unsigned kL4 = kL3 + sizeof(IpHeader<Family>);
  static constexpr std::uint16_t kGuePort = 6080;
  static constexpr unsigned kTemplateBytes = 96;  // Every buffer has room for it.

  static Result<Frames> make(const FrameConfig& config);

  unsigned longest() const { return longest_; }  // Bytes of a buffer.
  bool tcp() const { return tcp_; }

  // Writes packet `number` of a trial; the bytes behind the template must be zero. Returns its
  // bytes.
  unsigned write(std::uint8_t* frame, std::uint32_t number, Client client, bool syn,
                 std::uint32_t time) const {
    const Template& from = templates_[(syn ? kinds_ : 0) + (kinds_ == 1 ? 0 : turn_(number))];
    std::memcpy(frame, from.bytes, kTemplateBytes);
    const std::uint32_t address = __builtin_bswap32(first_client_ + client.number);
    const Be16 port = Be16::from_host(client.port);
    const Stamp stamp{number, time};
    std::memcpy(frame + kClient, &address, sizeof(address));
    std::memcpy(frame + kL4, &port, sizeof(port));
    std::memcpy(frame + kL4 + stamp_offset_, &stamp, sizeof(stamp));
    if constexpr (std::is_same_v<Family, Ipv4>) {
      const std::uint16_t sum = static_cast<std::uint16_t>(~fold(from.ip_sum + address));
      std::memcpy(frame + kL3 + offsetof(Ipv4Header, checksum), &sum, sizeof(sum));
    }
    auto sum = static_cast<std::uint16_t>(
        ~fold(from.l4_sum + address + port.raw + stamp.sequence + stamp.time));
    if (!tcp_ && sum == 0) sum = 0xffff;
    std::memcpy(frame + kL4 + checksum_offset_, &sum, sizeof(sum));
    return from.length;
  }

  // Whether a frame of `length` bytes is one of ours: this family and protocol, as it is or in one
  // IP-in-IP or GUE tunnel.
  bool find(std::uint8_t* frame, unsigned length, Found& found) const {
    if (is_ours(frame + kL3, length - kL3, ether_type(frame, length))) [[likely]] {
      found = {frame + kL3, frame + kL4};
      // UDP may be a tunnel's, or a client's that has that port.
      if (!tcp_ && (found.l4[2] << 8 | found.l4[3]) == kGuePort) [[unlikely]]
        find_in_tunnel(frame, length, found);
      return true;
    }
    return find_in_tunnel(frame, length, found);
  }
  Stamp stamp(const Found& found) const {
    Stamp stamp;
    std::memcpy(&stamp, found.l4 + stamp_offset_, sizeof(stamp));
    return stamp;
  }
  // Whether the packet is the client's, or for it.
  bool from_client(const Found& found, Client client) const {
    return is_client(source(found), found.l4, client);
  }
  bool to_client(const Found& found, Client client) const {
    return is_client(source(found) + Family::kAddressBytes, found.l4 + 2, client);
  }
  // Where its source address lies; the destination follows.
  static std::uint8_t* source(const Found& found) { return found.ip + kSource; }
  // Makes it the answer of whoever it was sent to.
  void turn_round(std::uint8_t* frame, const Found& found) const {
    swap<6>(frame, frame + 6);
    swap<Family::kAddressBytes>(source(found), source(found) + Family::kAddressBytes);
    swap<2>(found.l4, found.l4 + 2);
    if (!tcp_) return;
    auto& header = *reinterpret_cast<TcpHeader*>(found.l4);
    if (header.flags != kTcpSyn) return;
    std::uint8_t before[2], after[2];
    std::memcpy(before, found.l4 + 12, 2);  // Offset and flags.
    header.flags = kTcpSyn | kTcpAck;
    std::memcpy(after, found.l4 + 12, 2);
    ChecksumDelta delta;
    delta.replace<2>(before, after);
    header.checksum = delta.apply(header.checksum);
  }

 private:
  struct Template {
    alignas(32) std::uint8_t bytes[kTemplateBytes];
    std::uint64_t ip_sum, l4_sum;
    unsigned length;
  };
  static constexpr unsigned kSource = std::is_same_v<Family, Ipv4> ? 12 : 8;  // In the IP header.
  static constexpr unsigned kClient = kL3 + kSource + Family::kAddressBytes - 4;

  Frames() = default;
  Template make_template(const FrameConfig& config, unsigned size, std::uint8_t flags) const;
  // Leaves `found` alone when there is none.
  bool find_in_tunnel(std::uint8_t* frame, unsigned length, Found& found) const;
  static std::uint16_t ether_type(const std::uint8_t* frame, unsigned length) {
    return length < kL3 ? 0 : static_cast<std::uint16_t>(frame[12] << 8 | frame[13]);
  }
  bool is_ours(const std::uint8_t* ip, unsigned length, std::uint16_t type) const {
    if (type != Family::kEtherType || length < kL4 - kL3 + l4_bytes_) return false;
    if constexpr (std::is_same_v<Family, Ipv4>) {
      return ip[0] == 0x45 && ip[9] == protocol_;
    } else {
      return ip[6] == protocol_;
    }
  }
  bool is_client(const std::uint8_t* address, const std::uint8_t* port, Client client) const {
    return read32(address + Family::kAddressBytes - 4) == first_client_ + client.number &&
           (port[0] << 8 | port[1]) == client.port;
  }
  template <unsigned kBytes>
  static void swap(std::uint8_t* a, std::uint8_t* b) {
    std::uint8_t copy[kBytes];
    std::memcpy(copy, a, kBytes);
    std::memcpy(a, b, kBytes);
    std::memcpy(b, copy, kBytes);
  }

  std::vector<Template> templates_;  // By size, without and then with SYN.
  unsigned kinds_ = 1;               // Sizes.
  Modulo turn_{1};
  std::uint32_t first_client_ = 0;  // Its last four bytes, host order.
  unsigned stamp_offset_ = 0, checksum_offset_ = 0, longest_ = 0;
  unsigned l4_bytes_ = 0;  // Header and stamp.
  std::uint8_t protocol_ = 0;
  bool tcp_ = false;
};

extern template class Frames<Ipv4>;
extern template class Frames<Ipv6>;

}  // namespace sluice::generator
