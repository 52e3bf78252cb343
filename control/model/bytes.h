// Bytes: a short text or an encoded message that many states share. One pointer large, one piece of
// memory for all that share it. Two that share are equal without a look at the bytes.
// Ownership: counted. Immutable. Thread: one at a time, all that share it together; the count is
// not atomic.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace sluice {

class Bytes {
 public:
  Bytes() = default;  // Nothing, which is not the same as an empty text.
  explicit Bytes(std::string_view bytes)
      : Bytes(bytes.size(), [&](std::uint8_t* to) {
          if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
        }) {}
  // `fill` writes the bytes to where it is told.
  template <typename Fill>
  Bytes(std::size_t size, const Fill& fill)
      : block_(new (::operator new(sizeof(Block) + size))
                   Block{1, static_cast<std::uint32_t>(size)}) {
    fill(reinterpret_cast<std::uint8_t*>(block_ + 1));
  }
  Bytes(const Bytes& other) noexcept : block_(other.block_) {
    if (block_ != nullptr) ++block_->users;
  }
  Bytes(Bytes&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
  Bytes& operator=(Bytes other) noexcept {
    std::swap(block_, other.block_);
    return *this;
  }
  ~Bytes() {
    if (block_ != nullptr && --block_->users == 0) ::operator delete(block_);
  }

  explicit operator bool() const { return block_ != nullptr; }
  std::string_view view() const {
    if (block_ == nullptr) return {};
    return {reinterpret_cast<const char*>(block_ + 1), block_->size};
  }
  friend bool operator==(const Bytes& a, const Bytes& b) {
    return a.block_ == b.block_ ||
           (a.block_ != nullptr && b.block_ != nullptr && a.view() == b.view());
  }

 private:
  struct Block {
    std::uint32_t users;
    std::uint32_t size;  // Of the bytes that follow.
  };
  Block* block_ = nullptr;
};

// For containers keyed by Bytes that are asked by any text.
struct BytesHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>()(text);
  }
  std::size_t operator()(const Bytes& bytes) const noexcept { return (*this)(bytes.view()); }
};
struct BytesEqual {
  using is_transparent = void;
  bool operator()(const Bytes& a, const Bytes& b) const noexcept { return a == b; }
  bool operator()(const Bytes& a, std::string_view b) const noexcept { return a.view() == b; }
  bool operator()(std::string_view a, const Bytes& b) const noexcept { return a == b.view(); }
};

// A message without maps, whose bytes are canonical, as these bytes: a quarter of its size in
// memory, and ready to be compared and sent.
template <typename Message>
class Encoded {
 public:
  Encoded() = default;  // None.
  explicit Encoded(const Message& message)
      : bytes_(message.ByteSizeLong(),
               [&](std::uint8_t* to) { message.SerializeWithCachedSizesToArray(to); }) {}

  explicit operator bool() const { return static_cast<bool>(bytes_); }
  std::string_view bytes() const { return bytes_.view(); }
  Message message() const {
    Message result;
    read(&result);
    return result;
  }
  // The same into one that is used again and again.
  void read(Message* message) const {
    const std::string_view all = bytes();
    (void)message->ParseFromArray(all.data(), static_cast<int>(all.size()));
  }
  friend bool operator==(const Encoded& a, const Encoded& b) { return a.bytes_ == b.bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace sluice
