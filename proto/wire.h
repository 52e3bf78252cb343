// Pieces of encoded messages put together by hand, where building the whole message first would
// cost its size in memory again. Thread: any.
// Source: the encoding of Protocol Buffers, varints and wire type 2.
#pragma once

#include <cstdint>
#include <string>

namespace sluice {

inline void append_varint(std::uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

// What goes before the `size` bytes of a message, text, bytes or packed field: its tag and length.
inline void append_frame(std::uint32_t field, std::uint64_t size, std::string* out) {
  append_varint(std::uint64_t{field} << 3 | 2, out);
  append_varint(size, out);
}

}  // namespace sluice
