#include "dataplane/forward/tcp_translation.h"

#include <algorithm>

namespace sluice {
namespace {

// Behind this many bytes no reordered packet speaks of the stream's start any more. Far below half
// of the sequence space, and more than any window before the header is acknowledged.
constexpr std::uint32_t kNear = 1u << 30;
// What a client can have sent, the header aside, when nothing of it is acknowledged yet: the window
// of a SYN-ACK is never scaled (RFC 7323 2.2). A number beyond it is of another connection, that
// the backend still holds at this port.
constexpr std::uint32_t kFirstWindow = 0xffff + 1;  // A FIN may follow it.

TcpHeader& header_at(std::uint8_t* tcp) {
  return *reinterpret_cast<TcpHeader*>(tcp);
}
const TcpHeader& header_at(const std::uint8_t* tcp) {
  return *reinterpret_cast<const TcpHeader*>(tcp);
}

// Flags, as the word they share with the data offset.
Be16 flags_word(const TcpHeader& header) {
  return {static_cast<std::uint16_t>(header.data_offset | header.flags << 8)};
}

void add_to_word(Be16& word, std::uint32_t bytes, ChecksumDelta& delta) {
  const Be16 now = Be16::from_host(static_cast<std::uint16_t>(word.host() + bytes));
  delta.replace(word, now);
  word = now;
}

// False: the packet would be too long.
template <typename Family>
bool grow_ip(std::uint8_t* l3, std::uint32_t bytes) {
  auto& ip = *reinterpret_cast<IpHeader<Family>*>(l3);
  if constexpr (Family::kAddressBytes == 4) {
    if (ip.total_length.host() + bytes > 0xffff) return false;
    ChecksumDelta delta;
    add_to_word(ip.total_length, bytes, delta);
    ip.checksum = delta.apply(ip.checksum);
  } else {
    if (ip.payload_length.host() + bytes > 0xffff) return false;
    ip.payload_length =
        Be16::from_host(static_cast<std::uint16_t>(ip.payload_length.host() + bytes));
  }
  return true;
}

}  // namespace

std::uint32_t TcpTranslation::sequence_for_backend(std::uint32_t client) const {
  const std::uint32_t header = header_bytes();
  if (header == 0) return client;
  if (acknowledged()) return client + header;
  // The header itself stands at the start; a number before it is a SYN's or a keep-alive's.
  return client - (client_isn + 1) - 1 < kNear ? client + header : client;
}

std::uint32_t TcpTranslation::acknowledgment_for_client(std::uint32_t backend) const {
  const std::uint32_t header = header_bytes();
  if (header == 0) return backend;
  const std::uint32_t first = client_isn + 1;
  if ((flags & kFar) != 0) return backend - header;
  if (backend - first <= header) return first;
  // Before the start: nothing of the stream.
  return backend - first < kNear || acknowledged() ? backend - header : backend;
}

template <typename Family>
TcpTranslation begin_tcp_translation(std::uint8_t* tcp, bool proxy, std::uint32_t milliseconds) {
  TcpTranslation translation;
  translation.client_isn = read32(header_at(tcp).sequence);
  if (const std::uint8_t* option = find_tcp_timestamps(tcp)) {
    // Zero, echoed, would mean that nothing is.
    translation.timestamp_delta = std::max(milliseconds, 1u) - read32(option + 2);
    translation.flags |= TcpTranslation::kTimestamps;
  }
  if (proxy) {
    translation.flags |=
        Family::kAddressBytes == 4 ? TcpTranslation::kProxyIpv4 : TcpTranslation::kProxyIpv6;
  }
  return translation;
}

void saw_backend_acknowledgment(TcpTranslation& translation, std::uint32_t acknowledgment) {
  const std::uint32_t header = translation.header_bytes();
  if (header == 0 || (translation.flags & TcpTranslation::kFar) != 0) return;
  const std::uint32_t behind = acknowledgment - (translation.client_isn + 1) - header;
  if (behind <= kFirstWindow) translation.flags |= TcpTranslation::kHeaderAcknowledged;
  // Only then can a far number be one of the stream's.
  if (translation.acknowledged() && behind >= kNear / 2 && behind < kNear)
    translation.flags |= TcpTranslation::kFar;
}

bool carries_proxy_header(const TcpTranslation& translation, const std::uint8_t* tcp) {
  if (translation.header_bytes() == 0 || translation.acknowledged()) return false;
  const TcpHeader& header = header_at(tcp);
  return (header.flags & (kTcpSyn | kTcpRst | kTcpAck)) == kTcpAck &&
         read32(header.sequence) == translation.client_isn + 1;
}

void translate_tcp_to_backend(const TcpTranslation& translation, std::uint8_t* tcp) {
  TcpHeader& header = header_at(tcp);
  ChecksumDelta delta;
  if (translation.timestamps()) shift_timestamps(tcp, translation.timestamp_delta, 0, delta);
  if (translation.header_bytes() != 0) {
    if ((header.flags & kTcpSyn) != 0) {
      remove_fast_open(tcp, delta);
    } else {
      const std::uint32_t sequence = read32(header.sequence);
      replace_number(tcp, header.sequence, translation.sequence_for_backend(sequence), delta);
    }
  }
  apply_tcp(tcp, delta);
}

void translate_tcp_to_client(const TcpTranslation& translation, std::uint8_t* tcp) {
  TcpHeader& header = header_at(tcp);
  if ((header.flags & kTcpAck) == 0) return;  // It echoes and acknowledges nothing.
  ChecksumDelta delta;
  if (translation.timestamps()) shift_timestamps(tcp, 0, 0 - translation.timestamp_delta, delta);
  if (translation.header_bytes() != 0) {
    const auto for_client = [&translation](std::uint32_t number) {
      return translation.acknowledgment_for_client(number);
    };
    replace_number(tcp, header.acknowledgment, for_client(read32(header.acknowledgment)), delta);
    translate_sack(tcp, for_client, delta);
  }
  apply_tcp(tcp, delta);
}

template <typename Family>
std::uint8_t* insert_proxy_header(std::uint8_t* frame, std::uint32_t l3, std::uint32_t l4,
                                  const Endpoint<Family>& client, const Endpoint<Family>& vip) {
  constexpr std::uint32_t kBytes = kProxyHeaderBytes<Family>;
  if (!grow_ip<Family>(frame + l3, kBytes)) return nullptr;
  const std::uint32_t tcp_bytes = header_at(frame + l4).header_bytes();
  const auto& ip = *reinterpret_cast<const IpHeader<Family>*>(frame + l3);
  std::uint32_t segment;  // As it is now, with the header.
  if constexpr (Family::kAddressBytes == 4) {
    segment = ip.total_length.host() - (l4 - l3);
  } else {
    segment = ip.payload_length.host() + static_cast<std::uint32_t>(sizeof(ip)) - (l4 - l3);
  }

  std::uint8_t* moved = frame - kBytes;
  std::memmove(moved, frame, l4 + tcp_bytes);
  std::uint8_t* payload = moved + l4 + tcp_bytes;
  write_proxy_header(payload, client, vip);

  TcpHeader& tcp = header_at(moved + l4);
  ChecksumDelta delta;
  delta.replace(Be16{}, Be16{fold(sum_bytes(payload, kBytes))});
  Be16 length = Be16::from_host(static_cast<std::uint16_t>(segment - kBytes));
  add_to_word(length, kBytes, delta);
  const Be16 before = flags_word(tcp);
  tcp.flags |= kTcpPsh;
  delta.replace(before, flags_word(tcp));
  if ((tcp.flags & kTcpUrg) != 0) add_to_word(tcp.urgent, kBytes, delta);
  tcp.checksum = delta.apply(tcp.checksum);
  return moved;
}

void clamp_tcp_mss(std::uint8_t* tcp, std::uint16_t limit) {
  if (header_at(tcp).header_bytes() == sizeof(TcpHeader)) return;
  ChecksumDelta delta;
  clamp_mss(tcp, limit, delta);
  apply_tcp(tcp, delta);
}

template TcpTranslation begin_tcp_translation<Ipv4>(std::uint8_t*, bool, std::uint32_t);
template TcpTranslation begin_tcp_translation<Ipv6>(std::uint8_t*, bool, std::uint32_t);
template std::uint8_t* insert_proxy_header<Ipv4>(std::uint8_t*, std::uint32_t, std::uint32_t,
                                                 const Endpoint<Ipv4>&, const Endpoint<Ipv4>&);
template std::uint8_t* insert_proxy_header<Ipv6>(std::uint8_t*, std::uint32_t, std::uint32_t,
                                                 const Endpoint<Ipv6>&, const Endpoint<Ipv6>&);

}  // namespace sluice
