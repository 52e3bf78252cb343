#include "control/store/objects.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <set>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kBatchKeys = 512;
constexpr std::size_t kBatchBytes = 8u
                                    << 20;  // Values asked for at once; far below a reply's bound.

// Sizes first: a value of another program's may be of any type and size, and must cost us neither
// memory nor the connection.
asio::awaitable<Status> measure(Redis& redis, const std::vector<std::string>& keys,
                                std::size_t begin, std::size_t end, std::size_t max_bytes,
                                std::vector<Fetched>* values, std::vector<std::size_t>* sizes) {
  std::vector<RedisCommand> commands;
  for (std::size_t i = begin; i < end; ++i) {
    RedisCommand command;
    command.push_back("STRLEN");
    command.push_back(keys[i]);
    commands.push_back(std::move(command));
  }
  auto replies = co_await redis.pipeline(std::move(commands));
  if (!replies) co_return Error{replies.error()};
  for (std::size_t i = begin; i < end; ++i) {
    const RedisValue& reply = (*replies)[i - begin];
    Fetched& value = (*values)[i];
    if (reply.is_error()) {
      value.state = Fetched::State::kUnusable;
      value.problem = explain_error("STRLEN", reply.text);
    } else if (reply.integer > static_cast<std::int64_t>(max_bytes)) {
      value.state = Fetched::State::kUnusable;
      value.problem = "its value has " + std::to_string(reply.integer) + " bytes, more than " +
                      std::to_string(max_bytes);
    } else {
      (*sizes)[i] = static_cast<std::size_t>(reply.integer);
    }
  }
  co_return Ok{};
}

// The values of `indexes` by one MGET.
asio::awaitable<Status> get(Redis& redis, const std::vector<std::string>& keys,
                            const std::vector<std::size_t>& indexes, std::vector<Fetched>* values) {
  RedisCommand command;
  command.push_back("MGET");
  for (const std::size_t i : indexes) command.push_back(keys[i]);
  auto reply = co_await redis.command(std::move(command));
  if (!reply) co_return Error{reply.error()};
  for (std::size_t n = 0; n < indexes.size() && n < reply->elements.size(); ++n) {
    RedisValue& element = reply->elements[n];
    if (!element.is_string()) continue;
    (*values)[indexes[n]].state = Fetched::State::kPresent;
    (*values)[indexes[n]].bytes = std::move(element.text);
  }
  co_return Ok{};
}

}  // namespace

void stamp(v1::Header* header, const std::string& writer) {
  header->set_major(kMajor);
  header->set_minor(kMinor);
  header->set_writer(writer);
}

std::string encode(const google::protobuf::MessageLite& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream output(&stream);
  output.SetSerializationDeterministic(true);
  message.SerializeToCodedStream(&output);
  output.Trim();
  return bytes;
}

Result<v1::Object> decode_object(const ObjectKey& key, const std::string& bytes) {
  v1::Object object;
  if (!object.ParseFromString(bytes)) return Error{"its value is not an Object message"};
  if (object.header().major() != kMajor) {
    return Error{"its value has layout version " + std::to_string(object.header().major()) + "." +
                 std::to_string(object.header().minor()) + " (written by \"" +
                 object.header().writer() + "\"); this program reads " + std::to_string(kMajor) +
                 ".x: upgrade it"};
  }
  if (metadata_of(object) == nullptr) return Error{"its value has no object in it"};
  if (key_of(key.source, object) != key) {
    return Error{"its value is " + key_of(key.source, object).text() + ", not what its key names"};
  }
  return object;
}

asio::awaitable<Result<std::vector<Fetched>>> fetch(Redis& redis, std::vector<std::string> keys,
                                                    std::size_t max_bytes) {
  std::vector<Fetched> values(keys.size());
  std::vector<std::size_t> sizes(keys.size(), 0);
  for (std::size_t begin = 0; begin < keys.size(); begin += kBatchKeys) {
    const std::size_t end = std::min(begin + kBatchKeys, keys.size());
    const Status measured = co_await measure(redis, keys, begin, end, max_bytes, &values, &sizes);
    if (!measured) co_return Error{measured.error()};
    std::size_t next = begin;
    while (next < end) {
      std::vector<std::size_t> indexes;
      std::size_t bytes = 0;
      for (; next < end && (indexes.empty() || bytes + sizes[next] <= kBatchBytes); ++next) {
        if (values[next].state == Fetched::State::kUnusable || sizes[next] == 0) continue;
        bytes += sizes[next];
        indexes.push_back(next);
      }
      if (indexes.empty()) continue;
      const Status got = co_await get(redis, keys, indexes, &values);
      if (!got) co_return Error{got.error()};
    }
  }
  co_return values;
}

asio::awaitable<Status> scan(Redis& redis, std::string_view prefix,
                             std::function<void(std::string)> found) {
  std::string cursor = "0";
  do {
    RedisCommand command;
    command.push_back("SCAN");
    command.push_back(cursor);
    command.push_back("MATCH");
    command.push_back(std::string(prefix) + "*");
    command.push_back("COUNT");
    command.push_back("512");
    auto reply = co_await redis.command(std::move(command));
    if (!reply) co_return Error{reply.error()};
    if (!reply->at(0).is_string()) co_return Error{"Redis answered SCAN with something else"};
    cursor = reply->at(0).text;
    if (reply->elements.size() > 1) {
      for (RedisValue& key : reply->elements[1].elements) found(std::move(key.text));
    }
  } while (cursor != "0");
  co_return Ok{};
}

asio::awaitable<Result<Listing>> list_objects(Redis& redis, std::string source, v1::Kind kind) {
  std::string prefix(keys::kObjectPrefix);
  if (!source.empty()) {
    prefix += source + ":";
    if (kind != v1::KIND_UNSPECIFIED) prefix += std::string(kind_name(kind)) + ":";
  }
  std::set<ObjectKey> wanted;
  Listing listing;
  const Status scanned = co_await scan(redis, prefix, [&](std::string name) {
    const std::optional<ObjectKey> key = keys::parse_object(name);
    if (!key) {
      listing.problems.push_back({name, "not the key of an object"});
    } else if (kind == v1::KIND_UNSPECIFIED || key->kind == kind) {
      wanted.insert(*key);
    }
  });
  if (!scanned) co_return Error{scanned.error()};
  std::vector<ObjectKey> in_order(wanted.begin(), wanted.end());
  auto found = co_await get_objects(redis, std::move(in_order));
  if (!found) co_return Error{found.error()};
  listing.objects = std::move(found->objects);
  std::ranges::move(found->problems, std::back_inserter(listing.problems));
  co_return listing;
}

asio::awaitable<Result<Listing>> get_objects(Redis& redis, std::vector<ObjectKey> keys) {
  std::vector<std::string> names;
  for (const ObjectKey& key : keys) names.push_back(keys::object(key));
  auto values = co_await fetch(redis, names);
  if (!values) co_return Error{values.error()};
  Listing listing;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const Fetched& value = (*values)[i];
    if (value.state == Fetched::State::kAbsent) continue;
    if (value.state == Fetched::State::kUnusable) {
      listing.problems.push_back({names[i], value.problem});
      continue;
    }
    Result<v1::Object> object = decode_object(keys[i], value.bytes);
    if (object) {
      listing.objects.push_back({keys[i], std::move(*object)});
    } else {
      listing.problems.push_back({names[i], object.error()});
    }
  }
  co_return listing;
}

asio::awaitable<Result<std::vector<std::string>>> list_set(Redis& redis, std::string set,
                                                           bool (*valid)(std::string_view)) {
  RedisCommand command;
  command.push_back("SMEMBERS");
  command.push_back(std::move(set));
  auto reply = co_await redis.command(std::move(command));
  if (!reply) co_return Error{reply.error()};
  std::vector<std::string> names;
  for (RedisValue& element : reply->elements) {
    if (valid(element.text)) names.push_back(std::move(element.text));
  }
  std::ranges::sort(names);
  co_return names;
}

asio::awaitable<Result<std::vector<std::string>>> list_sources(Redis& redis) {
  co_return co_await list_set(redis, std::string(keys::kSources), keys::valid_source);
}

}  // namespace sluice::store
