// A fast keyed hash of a few 64-bit words: multiply 64 x 64 to 128 bits, fold, and once more.
// Without the secret nobody can choose keys that share a bucket; it is not a MAC and its values are
// never sent.
//
// Thread: any, pure. Shapes: 2 or 4 words; the value is the same in every process that has the
// secret. Source: the folded multiply of wyhash and its relatives (public domain idea; the code is
// ours).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {

struct HashSecret {
  std::array<std::uint64_t, 6> words{};
};

// Expands 16 bytes by splitmix64; the last word is odd, so that the last multiplication loses
// nothing.
inline HashSecret make_hash_secret(const std::uint8_t (&bytes)[16]) {
  const auto mix = [](std::uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  };
  std::uint64_t half[2];
  std::memcpy(half, bytes, sizeof half);
  HashSecret secret;
  for (std::uint64_t& word : secret.words) {
    half[0] += 0x9e3779b97f4a7c15u;
    half[1] += 0xd1342543de82ef95u;
    word = mix(mix(half[0]) + half[1]);
  }
  secret.words.back() |= 1;
  return secret;
}

inline std::uint64_t multiply_fold(std::uint64_t a, std::uint64_t b) {
  const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

template <std::size_t kWords>
std::uint64_t keyed_hash(const HashSecret& secret, const std::array<std::uint64_t, kWords>& words) {
  static_assert(kWords == 2 || kWords == 4);
  const auto& s = secret.words;
  std::uint64_t h = multiply_fold(words[0] ^ s[0], words[1] ^ s[1]);
  if constexpr (kWords == 4) h ^= multiply_fold(words[2] ^ s[2], words[3] ^ s[3]);
  // One multiplication leaves traces of the top bits' differences; the second one removes them.
  return multiply_fold(h ^ s[4], s[5]);
}

}  // namespace sluice
