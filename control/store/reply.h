// ReplyParser: bytes from Redis to RedisValues, by hiredis' parser building our value type
// directly. Ownership: by value. Thread: any, one at a time. Bounds: bytes and elements of one
// reply, and seven levels of nesting (hiredis'). Errors: after one the parser is of no further use.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "control/store/redis.h"
#include "proto/result.h"

struct redisReader;

namespace sluice::store {

class ReplyParser {
 public:
  ReplyParser(std::size_t max_bytes, std::size_t max_elements);

  Status feed(std::string_view bytes);
  // The next complete reply, or nothing when more bytes are needed. Moves what is left in front of
  // the buffer, so that little should be fed at once.
  Result<std::optional<RedisValue>> next();

 private:
  struct Free {
    void operator()(redisReader* reader) const;
  };
  std::unique_ptr<redisReader, Free> reader_;
  std::size_t max_bytes_;
  std::size_t max_elements_;
  std::size_t unfinished_ = 0;  // Bytes fed since the last complete reply.
};

// Appends the command as RESP to `out`.
void append_command(std::span<const std::string_view> words, std::string* out);
void append_command(const RedisCommand& command, std::string* out);

}  // namespace sluice::store
