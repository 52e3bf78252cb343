// snapshot: one consistent read of everything all sources have in Redis.
// Purpose: objects and source hashes as they stood at one moment, and the stream's position then:
// SCAN, then the changes since, until the hashes read together with the last of them agree. Values
// the caller has, and which the stream proves unchanged, are not read.
// Ownership: by value. Thread: the connection's. Errors: Redis does not answer, the stream is not
// ours, or it changed faster than it could be read; the caller tries again later.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/store/judge.h"
#include "control/store/objects.h"
#include "control/store/redis.h"
#include "control/store/replication.h"
#include "control/store/source_hash.h"

namespace sluice::store {

// One object's value as read. Neither object nor problem: Redis had no value when asked.
struct ReadObject {
  std::shared_ptr<const v1::Object> object;
  std::size_t fingerprint = 0;  // Of its bytes: equal bytes need no delivery. 0: not read.
  std::string problem;
};

std::size_t fingerprint_of(const std::string& bytes);

struct SourceSnapshot {
  SourceHash hash;
  bool entry_lost = false;
  bool accepted = false;
  std::map<ObjectKey, ReadObject> objects;  // Of all keys found.
  std::set<ObjectKey> deleted;  // Explicitly, in gap-free sequence since the position known.
};

struct Snapshot {
  std::map<std::string, SourceSnapshot> sources;
  std::string stream_id;          // Follow the stream from here.
  std::string ledger;             // Incarnation, sequence and readiness of the ledger, to compare.
  std::string replication_id;     // Redis'.
  std::vector<Problem> problems;  // Keys under our prefix that are not ours.
  bool whole = true;              // Every value was read: Earlier::exact saved none.
};

// The object the caller has under this key, if its bytes have this fingerprint: it is not decoded
// again.
using KnownObject = std::function<std::shared_ptr<const v1::Object>(const ObjectKey&, std::size_t)>;

// What the caller knows of an earlier read.
struct Earlier {
  std::map<std::string, Position> positions;  // Last change read of each source.
  KnownObject known;                          // May be empty.
  // Sources whose objects are those Redis had at their position, every one. Of these, what did not
  // change since by the gap-free stream is taken from `object` (null: not there) and not read.
  std::set<std::string> exact;
  std::function<std::shared_ptr<const v1::Object>(const ObjectKey&)> object;
};

boost::asio::awaitable<Result<Snapshot>> read_snapshot(Redis& redis, Earlier earlier);

// Hashes, accept keys and ledger only: for the periodic comparison.
struct Marks {
  std::map<std::string, SourceHash> hashes;
  std::set<std::string> accepted;
  std::string ledger;
  std::string replication_id;
};
// An error, too, when this Redis is not a master any more.
boost::asio::awaitable<Result<Marks>> read_marks(Redis& redis, std::set<std::string> known);

// Reads and decodes values; one ReadObject per key, in their order.
boost::asio::awaitable<Result<std::vector<ReadObject>>> read_objects(Redis& redis,
                                                                     std::vector<ObjectKey> keys,
                                                                     KnownObject known = {});

}  // namespace sluice::store
