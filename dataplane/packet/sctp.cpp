#include "dataplane/packet/sctp.h"

#include <array>
#include <cstring>

namespace sluice {
namespace {

// Polynomials over GF(2) of degree below 32, the highest power in the lowest bit, as CRC32c has
// them; products are modulo its polynomial.
constexpr std::uint32_t kCastagnoli = 0x82f63b78;
constexpr std::uint32_t kOne = 0x80000000;

constexpr std::uint32_t times_x(std::uint32_t a) {
  return (a >> 1) ^ (kCastagnoli & (0u - (a & 1)));
}
constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (unsigned power = 0; power < 32; ++power) {
    product ^= b & (0u - (a >> (31 - power) & 1));
    b = times_x(b);
  }
  return product;
}

// x to the power of 8 * i * step.
using Powers = std::array<std::uint32_t, 256>;
constexpr Powers powers(std::uint32_t step) {
  std::uint32_t base = kOne;
  for (unsigned i = 0; i < 8; ++i) base = times_x(base);
  for (; step > 1; step /= 2) base = multiply(base, base);
  Powers all{};
  all[0] = kOne;
  for (unsigned i = 1; i < 256; ++i) all[i] = multiply(all[i - 1], base);
  return all;
}
constexpr Powers kBytes = powers(1), kBytesOf256 = powers(256);

std::uint32_t read_lowest_first(const std::uint8_t* p) {
  std::uint32_t v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

}  // namespace

std::uint32_t crc32c(const std::uint8_t* data, std::size_t bytes) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < bytes; ++i) {
    crc ^= data[i];
    for (unsigned bit = 0; bit < 8; ++bit) crc = times_x(crc);
  }
  return ~crc;
}

void translate_sctp_ports(std::uint8_t* sctp, std::uint32_t bytes, Be16 source, Be16 destination) {
  auto& header = *reinterpret_cast<SctpHeader*>(sctp);
  const std::uint32_t before = read_lowest_first(sctp);
  header.source_port = source;
  header.destination_port = destination;
  std::uint32_t crc = read_lowest_first(header.checksum);
  if (crc == 0) return;
  const std::uint32_t changed = before ^ read_lowest_first(sctp);
  crc ^= multiply(multiply(changed, kBytes[bytes & 255]), kBytesOf256[bytes >> 8 & 255]);
  std::memcpy(header.checksum, &crc, sizeof(crc));
}

}  // namespace sluice
