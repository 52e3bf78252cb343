#include "proto/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <iterator>

namespace sluice {
namespace {

void clear_host_bits(std::uint8_t* bytes, std::size_t size, unsigned length) {
  for (std::size_t i = 0; i < size; ++i) {
    unsigned kept = length > i * 8 ? std::min<unsigned>(8, length - static_cast<unsigned>(i) * 8) : 0;
    bytes[i] &= static_cast<std::uint8_t>(0xff00u >> kept);
  }
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof buffer) return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  if (std::strlen(buffer) != text.size()) return std::nullopt;
  std::uint8_t raw[16];
  if (inet_pton(AF_INET, buffer, raw) == 1) return v4(raw);
  if (inet_pton(AF_INET6, buffer, raw) == 1) return v6(raw);
  return std::nullopt;
}

std::optional<IpAddress> IpAddress::from_bytes(std::string_view bytes) {
  if (bytes.size() == 4) return v4(bytes.data());
  if (bytes.size() == 16) return v6(bytes.data());
  return std::nullopt;
}

IpAddress IpAddress::v4(const void* four_bytes) {
  IpAddress a;
  a.size_ = 4;
  std::memcpy(a.bytes_.data(), four_bytes, 4);
  return a;
}

IpAddress IpAddress::v6(const void* sixteen_bytes) {
  IpAddress a;
  a.size_ = 16;
  std::memcpy(a.bytes_.data(), sixteen_bytes, 16);
  return a;
}

std::string IpAddress::text() const {
  char buffer[INET6_ADDRSTRLEN] = "";
  if (size_ == 0) return "";
  if (is_v6()) return inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
  char* end = buffer;  // inet_ntop goes by printf, which is slow for what is asked so often.
  for (std::size_t i = 0; i < size_; ++i) {
    if (i > 0) *end++ = '.';
    end = std::to_chars(end, std::end(buffer), bytes_[i]).ptr;
  }
  return std::string(buffer, end);
}

bool IpAddress::is_unspecified() const {
  return std::all_of(bytes_.begin(), bytes_.end(), [](auto b) { return b == 0; });
}

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[0] == 127;
  return is_v6() && bytes_[15] == 1 && std::all_of(bytes_.begin(), bytes_.end() - 1, [](auto b) { return b == 0; });
}

bool IpAddress::is_multicast() const {
  return is_v4() ? (bytes_[0] & 0xf0) == 0xe0 : is_v6() && bytes_[0] == 0xff;
}

bool IpAddress::is_link_local() const {
  if (is_v4()) return bytes_[0] == 169 && bytes_[1] == 254;
  return is_v6() && bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

IpAddress IpAddress::next() const {
  IpAddress a = *this;
  for (std::size_t i = size_; i-- > 0;) {
    if (++a.bytes_[i] != 0) break;
  }
  return a;
}

IpPrefix::IpPrefix(IpAddress address, unsigned length)
    : length_(std::min<unsigned>(length, static_cast<unsigned>(address.size()) * 8)) {
  std::uint8_t raw[16];
  std::memcpy(raw, address.data(), 16);
  clear_host_bits(raw, address.size(), length_);
  address_ = address.is_v4() ? IpAddress::v4(raw) : IpAddress::v6(raw);
}

std::optional<IpPrefix> IpPrefix::parse(std::string_view text, bool allow_host_bits) {
  auto slash = text.find('/');
  auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  unsigned length = static_cast<unsigned>(address->size()) * 8;
  if (slash != std::string_view::npos) {
    auto digits = text.substr(slash + 1);
    unsigned given = 0;
    auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), given);
    if (code != std::errc{} || end != digits.data() + digits.size() || digits.empty() || given > length) {
      return std::nullopt;
    }
    length = given;
  }
  IpPrefix prefix(*address, length);
  if (!allow_host_bits && prefix.address() != *address) return std::nullopt;
  return prefix;
}

IpAddress IpPrefix::last() const {
  std::uint8_t raw[16];
  std::memcpy(raw, address_.data(), 16);
  for (std::size_t i = 0; i < address_.size(); ++i) {
    unsigned kept = length_ > i * 8 ? std::min<unsigned>(8, length_ - static_cast<unsigned>(i) * 8) : 0;
    raw[i] |= static_cast<std::uint8_t>(0xffu >> kept);
  }
  return address_.is_v4() ? IpAddress::v4(raw) : IpAddress::v6(raw);
}

bool IpPrefix::contains(const IpAddress& a) const {
  return a.size() == address_.size() && IpPrefix(a, length_).address() == address_;
}

std::string IpPrefix::text() const { return address_.text() + "/" + std::to_string(length_); }

std::string address_port_text(const IpAddress& address, unsigned port) {
  std::string text = address.text();
  return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

}  // namespace sluice
