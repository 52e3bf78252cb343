#include "control/store/reply.h"

#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>
#include <vector>

namespace sluice::store {
namespace {

RedisValue::Type type_of(int hiredis_type) {
  switch (hiredis_type) {
    case REDIS_REPLY_STATUS:
      return RedisValue::Type::kStatus;
    case REDIS_REPLY_ERROR:
      return RedisValue::Type::kError;
    default:
      return RedisValue::Type::kString;
  }
}

// Where hiredis wants the value of this task: in its parent's array, whose size is already set, or
// a new root.
RedisValue* place(const redisReadTask* task) {
  if (task->parent == nullptr) return new RedisValue;
  return &static_cast<RedisValue*>(task->parent->obj)
              ->elements[static_cast<std::size_t>(task->idx)];
}

void* create_string(const redisReadTask* task, char* text, size_t size) {
  RedisValue* value = place(task);
  value->type = type_of(task->type);
  value->text.assign(text, size);
  return value;
}

void* create_array(const redisReadTask* task, int size) {
  const std::size_t limit = *static_cast<std::size_t*>(task->privdata);
  if (size < 0 || static_cast<std::size_t>(size) > limit) return nullptr;  // hiredis: out of memory
  RedisValue* value = place(task);
  value->type = RedisValue::Type::kArray;
  value->elements.resize(static_cast<std::size_t>(size));
  return value;
}

void* create_integer(const redisReadTask* task, long long integer) {
  RedisValue* value = place(task);
  value->type = RedisValue::Type::kInteger;
  value->integer = integer;
  return value;
}

void* create_nil(const redisReadTask* task) {
  return place(task);
}

void free_value(void* root) {
  delete static_cast<RedisValue*>(root);
}

redisReplyObjectFunctions functions = {create_string, create_array, create_integer, create_nil,
                                       free_value};

}  // namespace

void ReplyParser::Free::operator()(redisReader* reader) const {
  redisReaderFree(reader);
}

ReplyParser::ReplyParser(std::size_t max_bytes, std::size_t max_elements)
    : reader_(redisReaderCreateWithFunctions(&functions)),
      max_bytes_(max_bytes),
      max_elements_(max_elements) {
  reader_->maxbuf = 0;  // Keeps its buffer, instead of making a new one whenever it is empty.
}

Status ReplyParser::feed(std::string_view bytes) {
  unfinished_ += bytes.size();
  if (unfinished_ > max_bytes_) {
    return Error{"Redis sent a reply of more than " + std::to_string(max_bytes_) + " bytes"};
  }
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK) {
    return Error{std::string("cannot take Redis' reply: ") + reader_->errstr};
  }
  return Ok{};
}

Result<std::optional<RedisValue>> ReplyParser::next() {
  reader_->privdata = &max_elements_;
  void* root = nullptr;
  if (redisReaderGetReply(reader_.get(), &root) != REDIS_OK) {
    return Error{std::string("what answers does not speak Redis' protocol: ") + reader_->errstr};
  }
  if (root == nullptr) return std::optional<RedisValue>{};
  std::unique_ptr<RedisValue> value(static_cast<RedisValue*>(root));
  unfinished_ = reader_->len - reader_->pos;
  return std::optional<RedisValue>{std::move(*value)};
}

void append_command(std::span<const std::string_view> words, std::string* out) {
  std::size_t size = 16;
  for (const std::string_view word : words) size += word.size() + 16;
  if (out->capacity() - out->size() < size) out->reserve(std::max(2 * out->size(), size));
  const auto head = [out](char type, std::size_t number) {
    std::array<char, 24> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
    out->push_back(type);
    out->append(digits.data(), end);
    out->append("\r\n");
  };
  head('*', words.size());
  for (const std::string_view word : words) {
    head('$', word.size());
    out->append(word);
    out->append("\r\n");
  }
}

void append_command(const RedisCommand& command, std::string* out) {
  const std::vector<std::string_view> words(command.begin(), command.end());
  append_command(words, out);
}

}  // namespace sluice::store
