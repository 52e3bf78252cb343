// IpAddress and IpPrefix: one value type for both families, as the messages carry them.
// Shapes: 4 or 16 bytes in network order; text is canonical (RFC 5952 for IPv6, no leading zeros for
// IPv4). Ownership: by value. Thread: any. Errors: parse gives std::nullopt.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace sluice {

class IpAddress {
 public:
  IpAddress() = default;
  // Strict: no zone, no leading zeros, no surrounding space.
  static std::optional<IpAddress> parse(std::string_view text);
  // From a message's bytes field: 4 or 16 bytes.
  static std::optional<IpAddress> from_bytes(std::string_view bytes);
  static IpAddress v4(const void* four_bytes);
  static IpAddress v6(const void* sixteen_bytes);

  bool is_v4() const { return size_ == 4; }
  bool is_v6() const { return size_ == 16; }
  std::size_t size() const { return size_; }  // Bytes: 4 or 16; 0 when default-constructed.
  const std::uint8_t* data() const { return bytes_.data(); }
  std::string bytes() const { return {reinterpret_cast<const char*>(bytes_.data()), size_}; }
  std::string text() const;
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_multicast() const;
  bool is_link_local() const;
  // The address after this one in its family; wraps to zero.
  IpAddress next() const;

  friend auto operator<=>(const IpAddress& a, const IpAddress& b) = default;
  friend bool operator==(const IpAddress& a, const IpAddress& b) = default;

 private:
  std::uint8_t size_ = 0;
  std::array<std::uint8_t, 16> bytes_{};  // Unused bytes are zero.
};

class IpPrefix {
 public:
  // "192.0.2.0/24" or a bare address. Host bits must be zero unless `allow_host_bits`.
  static std::optional<IpPrefix> parse(std::string_view text, bool allow_host_bits = false);
  IpPrefix() = default;
  IpPrefix(IpAddress address, unsigned length);

  const IpAddress& address() const { return address_; }  // The first one: host bits are cleared.
  unsigned length() const { return length_; }
  IpAddress last() const;
  bool contains(const IpAddress& a) const;
  std::string text() const;

  friend auto operator<=>(const IpPrefix& a, const IpPrefix& b) = default;

 private:
  IpAddress address_;
  unsigned length_ = 0;
};

// "192.0.2.1:80" or "[2001:db8::1]:80".
std::string address_port_text(const IpAddress& address, unsigned port);

}  // namespace sluice

template <>
struct std::hash<sluice::IpAddress> {
  std::size_t operator()(const sluice::IpAddress& a) const noexcept {
    std::uint64_t w[2];
    std::memcpy(w, a.data(), 16);
    return (w[0] ^ (w[1] * 0x9e3779b97f4a7c15u)) * 0xff51afd7ed558ccdu + a.size();
  }
};
