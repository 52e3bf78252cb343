// ObjectWriter: puts and deletes objects of one source by the scripts, many in one call.
// Purpose: what publisher and re-seeding share. Ownership: refers to the Redis, which must outlive
// it. Thread: the connection's, one call at a time. Errors: a lost connection, a fenced or refused
// writer end a call, what came before stays written; one object that cannot be stored (its name,
// its size, another program's key in its place) is named in Written.refused and stops no other.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/model/key.h"
#include "control/store/redis.h"
#include "control/store/scripts.h"
#include "proto/result.h"

namespace sluice::store {

enum class Change { kUnchanged, kCreated, kConfigured, kDeleted, kAbsent };

// When each change's event arrived here, in the order of the objects or keys; empty: no event
// brought them. Goes with the stream's entries (ChangeTimes).
using Arrivals = std::vector<std::chrono::system_clock::time_point>;

using ObjectList = std::vector<std::shared_ptr<const v1::Object>>;

// One object to write: as a message, which gets a header of this writer, or encoded, as it will lie
// in Redis (encode_stamped): then it is neither decoded nor copied on the way.
struct ObjectToPut {
  ObjectKey key;
  std::string uid;
  std::shared_ptr<const v1::Object> object;
  std::shared_ptr<const std::string> encoded;  // One of the two.
};
using PutList = std::vector<ObjectToPut>;
PutList to_put(const std::string& source, ObjectList objects);

struct Written {
  std::vector<Change> changes;       // Of each object, in their order.
  std::vector<std::string> refused;  // Objects that could not be written, and why.
};

class ObjectWriter {
 public:
  enum class Mode {
    kCompare,   // Reads first: what differs in nothing but its writer is not written.
    kByScript,  // One round trip: all that is not the same byte for byte is written.
    kAbsent,    // What is there is left as it is.
  };

  // `token` empty: not fenced.
  ObjectWriter(Redis& redis, std::string source, std::string token, std::string writer);

  // From now on every script compares the lease of this leader.
  void act_for(std::string instance) { instance_ = std::move(instance); }

  // The last of two objects with the same key counts. Headers are stamped, unknown_fields kept.
  boost::asio::awaitable<Result<Written>> put(PutList objects, Mode mode, Arrivals arrivals);
  boost::asio::awaitable<Result<Written>> erase(std::vector<ObjectKey> keys, Arrivals arrivals);

  // Keys and arguments that every script of a source begins with.
  ScriptCall call();
  // One that was never used before, so that a second loss is not taken for the first.
  std::string new_incarnation();
  bool fenced() const { return !token_.empty(); }
  const std::string& name() const { return writer_; }

 private:
  struct Item;

  Status check(ObjectToPut& object) const;
  boost::asio::awaitable<Status> put_some(std::vector<Item> items, Mode mode, Written* written);
  boost::asio::awaitable<Status> drop_equal(std::vector<Item>* items);
  boost::asio::awaitable<Status> run(const Script& script, std::string option,
                                     std::vector<Item> items, Written* written);

  Redis& redis_;
  std::string source_;
  std::string token_;
  std::string instance_;
  std::string writer_;              // Program and version.
  std::string id_;                  // Random; incarnations are made of it and a number.
  std::uint64_t incarnations_ = 0;  // Made so far.
};

}  // namespace sluice::store
