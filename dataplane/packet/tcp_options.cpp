#include "dataplane/packet/tcp_options.h"

namespace sluice {
namespace {

// The checksum's words begin at even offsets of the segment; options may begin at odd ones, then
// each byte counts for the other half of its word.
void replace_bytes(std::uint8_t* tcp, std::uint8_t* field, const std::uint8_t* bytes,
                   std::uint32_t count, ChecksumDelta& delta) {
  for (std::uint32_t i = 0; i < count; ++i) {
    const bool odd = ((field + i - tcp) & 1) != 0;
    const unsigned shift = odd ? 8 : 0;
    delta.replace(Be16{static_cast<std::uint16_t>(field[i] << shift)},
                  Be16{static_cast<std::uint16_t>(bytes[i] << shift)});
    field[i] = bytes[i];
  }
}

}  // namespace

void replace_number(std::uint8_t* tcp, std::uint8_t* field, std::uint32_t number,
                    ChecksumDelta& delta) {
  std::uint8_t bytes[4];
  write32(bytes, number);
  if (((field - tcp) & 1) != 0) [[unlikely]]
    return replace_bytes(tcp, field, bytes, sizeof(bytes), delta);
  delta.replace<sizeof(bytes)>(field, bytes);
  std::memcpy(field, bytes, sizeof(bytes));
}

void shift_timestamps(std::uint8_t* tcp, std::uint32_t value, std::uint32_t echo,
                      ChecksumDelta& delta) {
  std::uint8_t* option = find_tcp_timestamps(tcp);
  if (option == nullptr) return;
  if (value != 0) replace_number(tcp, option + 2, read32(option + 2) + value, delta);
  const std::uint32_t echoed = read32(option + 6);
  if (echo != 0 && echoed != 0) replace_number(tcp, option + 6, echoed + echo, delta);
}

void clamp_mss(std::uint8_t* tcp, std::uint16_t limit, ChecksumDelta& delta) {
  for_each_tcp_option(tcp, [&](std::uint8_t* option, std::uint32_t bytes) {
    if (option[0] != kTcpOptionMss || bytes != 4) return;
    Be16 mss;
    std::memcpy(&mss, option + 2, sizeof(mss));
    if (mss.host() <= limit) return;
    const std::uint8_t clamped[2] = {static_cast<std::uint8_t>(limit >> 8),
                                     static_cast<std::uint8_t>(limit)};
    replace_bytes(tcp, option + 2, clamped, sizeof(clamped), delta);
  });
}

void remove_fast_open(std::uint8_t* tcp, ChecksumDelta& delta) {
  constexpr std::uint8_t kMagic[2] = {0xf9, 0x89};
  for_each_tcp_option(tcp, [&](std::uint8_t* option, std::uint32_t bytes) {
    const bool experiment = option[0] == kTcpOptionExperiment && bytes >= 4 &&
                            std::memcmp(option + 2, kMagic, sizeof(kMagic)) == 0;
    if (option[0] != kTcpOptionFastOpen && !experiment) return;
    std::uint8_t nops[40];
    std::memset(nops, kTcpOptionNop, sizeof(nops));
    replace_bytes(tcp, option, nops, bytes, delta);
  });
}

}  // namespace sluice
