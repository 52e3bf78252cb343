// Splitter: an IP packet as fragments that are no longer than an MTU. It says where each fragment's
// payload lies and writes the headers in front of it; the bytes of the payload are the caller's to
// copy.
//
// Requires: the frame begins with an Ethernet header without VLAN tags; the IP header, with IPv4
//   options or an IPv6 fragment header that follows at once, is contiguous and right.
// Takes whole packets and fragments, which keep their place in their datagram. Of IPv6, what stands
//   behind the fixed header is split, extension headers too: senders of those split themselves.
// Thread: any, pure. Ownership: refers to the caller's frame. Units: bytes; offsets from where the
//   frame begins. Errors: ok() is false when nothing fits, or the headers contradict each other.
// Sources: RFC 791 3.2 (with which options are copied), RFC 8200 4.5.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "dataplane/packet/checksum.h"
#include "dataplane/packet/headers.h"

namespace sluice {

// Ethernet, and the longest IPv4 header.
inline constexpr std::uint32_t kMostFragmentHeaders = 14 + 60;

struct FragmentPiece {
  std::uint32_t header_bytes = 0;    // As written by next().
  std::uint32_t begin = 0, end = 0;  // Of the payload, in the frame.
};

template <typename Family>
class Splitter {
 public:
  static constexpr bool kV4 = Family::kAddressBytes == 4;
  static constexpr std::uint32_t kL3 = sizeof(EthernetHeader);
  static constexpr std::uint32_t kIpv6FragmentBytes = 8;

  // `contiguous` bytes lie at `frame`, of a packet of `total`. `id`: of IPv6, for whole packets;
  // IPv4 has it in the header.
  Splitter(const std::uint8_t* frame, std::uint32_t contiguous, std::uint32_t total,
           std::uint32_t mtu, std::uint32_t id)
      : frame_(frame), mtu_(mtu), id_(id) {
    if (contiguous < kL3 + sizeof(IpHeader<Family>)) return;
    ok_ = read(contiguous) && end_ <= total && at_ < end_ && room(begin_ - kL3) >= 8;
    at_ = begin_;
  }

  bool ok() const { return ok_; }

  // False: there are no more. `headers`: kMostFragmentHeaders.
  bool next(std::uint8_t* headers, FragmentPiece& piece) {
    if (!ok_ || at_ >= end_) return false;
    piece.header_bytes = kL3 + write_header(headers);
    const std::uint32_t most = mtu_ - std::min(mtu_, piece.header_bytes - kL3);
    piece.begin = at_;
    piece.end = end_ - at_ <= most ? end_ : at_ + room(piece.header_bytes - kL3);
    finish(headers, piece);
    at_ = piece.end;
    return true;
  }

 private:
  // Multiples of eight that fit behind so long a header.
  std::uint32_t room(std::uint32_t header) const {
    return mtu_ <= header ? 0 : (mtu_ - header) & ~7u;
  }

  bool read(std::uint32_t contiguous) {
    const std::uint8_t* l3 = frame_ + kL3;
    if constexpr (kV4) {
      const auto& ip = *reinterpret_cast<const Ipv4Header*>(l3);
      begin_ = at_ = kL3 + ip.header_bytes();
      end_ = kL3 + ip.total_length.host();
      offset_ = (ip.fragment.host() & kIpv4FragmentOffset) * 8u;
      more_ = (ip.fragment.host() & kIpv4MoreFragments) != 0;
      return ip.header_bytes() >= sizeof(ip) && begin_ <= contiguous;
    } else {
      const auto& ip = *reinterpret_cast<const Ipv6Header*>(l3);
      begin_ = at_ = kL3 + sizeof(ip);
      end_ = begin_ + ip.payload_length.host();
      next_header_ = ip.next_header;
      // The header that all will have comes on top.
      if (next_header_ != kIpv6Fragment) return room(sizeof(ip) + kIpv6FragmentBytes) >= 8;
      if (begin_ + kIpv6FragmentBytes > contiguous) return false;
      const std::uint8_t* fragment = frame_ + begin_;
      Be16 field;
      std::memcpy(&field, fragment + 2, sizeof(field));
      next_header_ = fragment[0];
      offset_ = field.host() & kIpv6FragmentOffset;
      more_ = (field.host() & kIpv6MoreFragments) != 0;
      id_ = read32(fragment + 4);
      begin_ = at_ = begin_ + kIpv6FragmentBytes;
      return true;
    }
  }

  // Gives the bytes of layer 3.
  std::uint32_t write_header(std::uint8_t* headers) const {
    std::memcpy(headers, frame_, kL3 + sizeof(IpHeader<Family>));
    std::uint8_t* l3 = headers + kL3;
    if constexpr (kV4) {
      const std::uint32_t whole = begin_ - kL3;
      std::uint32_t bytes = sizeof(Ipv4Header);
      if (at_ == begin_) {
        std::memcpy(l3, frame_ + kL3, whole);
        bytes = whole;
      } else {
        bytes += copy_options(frame_ + kL3 + bytes, whole - bytes, l3 + bytes);
      }
      auto& ip = *reinterpret_cast<Ipv4Header*>(l3);
      ip.version_ihl = static_cast<std::uint8_t>(0x40 | bytes / 4);
      return bytes;
    } else {
      auto& ip = *reinterpret_cast<Ipv6Header*>(l3);
      ip.next_header = kIpv6Fragment;
      std::uint8_t* fragment = l3 + sizeof(ip);
      fragment[0] = next_header_;
      fragment[1] = 0;
      write32(fragment + 4, id_);
      return sizeof(ip) + kIpv6FragmentBytes;
    }
  }

  // Those with the copied bit, padded to words.
  static std::uint32_t copy_options(const std::uint8_t* from, std::uint32_t bytes,
                                    std::uint8_t* to) {
    constexpr std::uint8_t kEnd = 0, kNop = 1, kCopied = 0x80;
    std::uint32_t made = 0;
    for (std::uint32_t at = 0; at < bytes && from[at] != kEnd;) {
      if (from[at] == kNop) {
        ++at;
        continue;
      }
      if (at + 2 > bytes || from[at + 1] < 2 || at + from[at + 1] > bytes) break;
      if ((from[at] & kCopied) != 0) {
        std::memcpy(to + made, from + at, from[at + 1]);
        made += from[at + 1];
      }
      at += from[at + 1];
    }
    while (made % 4 != 0) to[made++] = kEnd;
    return made;
  }

  // Lengths, place and checksum.
  void finish(std::uint8_t* headers, const FragmentPiece& piece) const {
    const std::uint32_t payload = piece.end - piece.begin;
    const std::uint32_t offset = offset_ + (piece.begin - begin_);
    const bool more = more_ || piece.end < end_;
    std::uint8_t* l3 = headers + kL3;
    if constexpr (kV4) {
      auto& ip = *reinterpret_cast<Ipv4Header*>(l3);
      const std::uint32_t bytes = piece.header_bytes - kL3;
      ip.total_length = Be16::from_host(static_cast<std::uint16_t>(bytes + payload));
      ip.fragment =
          Be16::from_host(static_cast<std::uint16_t>(offset / 8 | (more ? kIpv4MoreFragments : 0)));
      ip.checksum = {};
      ip.checksum = Be16{static_cast<std::uint16_t>(~fold(sum_bytes(l3, bytes)))};
    } else {
      auto& ip = *reinterpret_cast<Ipv6Header*>(l3);
      ip.payload_length = Be16::from_host(static_cast<std::uint16_t>(kIpv6FragmentBytes + payload));
      const Be16 field = Be16::from_host(static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
      std::memcpy(l3 + sizeof(ip) + 2, &field, sizeof(field));
    }
  }

  const std::uint8_t* frame_;
  const std::uint32_t mtu_;
  std::uint32_t id_;
  bool ok_ = false, more_ = false;
  std::uint8_t next_header_ = 0;
  std::uint32_t begin_ = 0, end_ = 0, at_ = 0;  // Of the payload.
  std::uint32_t offset_ = 0;                    // Of its begin, in its datagram.
};

}  // namespace sluice
