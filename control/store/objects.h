// objects: object values in Redis, read and checked.
// Purpose: the one decoder of stored objects, and one-shot reads for the command line.
// Ownership: by value. Thread: the Redis connection's. Errors: a Redis that does not answer is an
// Error; a single value that cannot be used is a Problem and never hides the others.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/model/key.h"
#include "control/store/redis.h"
#include "proto/result.h"

namespace sluice::store {

inline constexpr std::uint32_t kMajor = 1;
inline constexpr std::uint32_t kMinor = 0;
inline constexpr std::size_t kMaxObjectBytes = 1u
                                               << 20;  // As large as the API server takes, about.

// A key of ours whose value is not usable, and why.
struct Problem {
  std::string key;   // Redis key.
  std::string text;  // For people.
};

// Names of a set, sorted, without those `valid` refuses.
boost::asio::awaitable<Result<std::vector<std::string>>> list_set(Redis& redis, std::string set,
                                                                  bool (*valid)(std::string_view));

// Header of this version for values this program writes; `writer` is "program version".
void stamp(v1::Header* header, const std::string& writer);

// Same bytes for the same message, whatever the order its maps were filled in.
std::string encode(const google::protobuf::MessageLite& message);
// The object as it is stored: with a header of this version, the object's own unknown_fields kept.
std::string encode_stamped(const v1::Object& object, const std::string& writer);
// Checks size, version, and that the object is the one `key` names.
Result<v1::Object> decode_object(const ObjectKey& key, const std::string& bytes);

struct Fetched {
  enum class State { kPresent, kAbsent, kUnusable };
  State state = State::kAbsent;
  std::string bytes;    // When present.
  std::string problem;  // When unusable: wrong type, too large.
};
// Hands over the value of each key as it comes, in their order, with its index; asked for in
// bounded batches. Larger ones are unusable.
boost::asio::awaitable<Status> fetch_each(Redis& redis, std::vector<std::string> keys,
                                          std::function<void(std::size_t, Fetched)> found,
                                          std::size_t max_bytes = kMaxObjectBytes);
// The same, all at once.
boost::asio::awaitable<Result<std::vector<Fetched>>> fetch(Redis& redis,
                                                           std::vector<std::string> keys,
                                                           std::size_t max_bytes = kMaxObjectBytes);
// Calls `found` for every key under `prefix`, each at least once.
boost::asio::awaitable<Status> scan(Redis& redis, std::string_view prefix,
                                    std::function<void(std::string)> found);

struct StoredObject {
  ObjectKey key;
  v1::Object object;
};
struct Listing {
  std::vector<StoredObject> objects;  // In the order of their keys.
  std::vector<Problem> problems;
};
// Objects of one source (empty: of all) and kind (KIND_UNSPECIFIED: of all).
boost::asio::awaitable<Result<Listing>> list_objects(Redis& redis, std::string source,
                                                     v1::Kind kind);
// The objects of these keys that exist.
boost::asio::awaitable<Result<Listing>> get_objects(Redis& redis, std::vector<ObjectKey> keys);
// Names of the sources Redis has.
boost::asio::awaitable<Result<std::vector<std::string>>> list_sources(Redis& redis);

}  // namespace sluice::store
