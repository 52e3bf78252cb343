#include "control/store/objects.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kBatchKeys = 256;  // Values asked for at once.

Fetched take(RedisValue& reply, std::size_t max_bytes) {
  Fetched value;
  if (reply.is_error()) {
    value.state = Fetched::State::kUnusable;
    value.problem = explain_error("GETRANGE", reply.text);
  } else if (reply.text.size() > max_bytes) {
    value.state = Fetched::State::kUnusable;
    value.problem = "its value has more than " + std::to_string(max_bytes) + " bytes";
  } else if (!reply.text.empty()) {
    value.state = Fetched::State::kPresent;
    value.bytes = std::move(reply.text);
  }
  return value;
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

std::string encode_stamped(const v1::Object& object, const std::string& writer) {
  v1::Object head;
  *head.mutable_header()->mutable_unknown_fields() = object.header().unknown_fields();
  stamp(head.mutable_header(), writer);
  // The header is the first field, so that the object need not be copied to be given another one.
  const std::string all = encode(object);
  std::size_t old = 0;
  if (object.has_header()) {
    const std::size_t size = object.header().ByteSizeLong();
    old = 1 + google::protobuf::io::CodedOutputStream::VarintSize64(size) + size;
  }
  return encode(head).append(all, old);
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

asio::awaitable<Status> fetch_each(Redis& redis, std::vector<std::string> keys,
                                   std::function<void(std::size_t, Fetched)> found,
                                   std::size_t max_bytes) {
  const std::string last_index = std::to_string(max_bytes);
  std::size_t at = 0;
  Redis::OnReply on_reply = [&found, &at, max_bytes](RedisValue reply) {
    const std::size_t index = at++;
    found(index, take(reply, max_bytes));
  };
  while (at < keys.size()) {
    const std::size_t end = std::min(at + kBatchKeys, keys.size());
    CommandBatch batch;
    for (std::size_t i = at; i < end; ++i) {
      // A value of another program's may be of any type and size, and must cost us neither memory
      // nor the connection: of none more is asked for than one byte beyond the longest of ours.
      const std::array<std::string_view, 4> words = {"GETRANGE", keys[i], "0", last_index};
      batch.add(words);
    }
    const Status status = co_await redis.pipeline(std::move(batch), on_reply);
    if (!status) co_return Error{status.error()};
  }
  co_return Ok{};
}

asio::awaitable<Result<std::vector<Fetched>>> fetch(Redis& redis, std::vector<std::string> keys,
                                                    std::size_t max_bytes) {
  std::vector<Fetched> values(keys.size());
  std::function<void(std::size_t, Fetched)> keep = [&values](std::size_t index, Fetched value) {
    values[index] = std::move(value);
  };
  const Status status = co_await fetch_each(redis, std::move(keys), std::move(keep), max_bytes);
  if (!status) co_return Error{status.error()};
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
    command.push_back("1024");
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
