// Publisher: writes the objects of one source, as scripts that keep object, count and stream
// together. Purpose: `sluice apply` and `delete` (source manual), agents (a cluster), re-seeding.
// Ownership: refers to the Redis, which must outlive it. Thread: the connection's.
// Errors: a refused write names the object; what was written before it stays written (every object
// is a whole on its own), so that a repeated call completes the rest. Nothing changed means nothing
// written.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/model/key.h"
#include "control/store/objects.h"
#include "control/store/redis.h"
#include "control/store/scripts.h"
#include "proto/result.h"

namespace sluice::store {

enum class Change { kUnchanged, kCreated, kConfigured, kDeleted, kAbsent };

struct PublishReport {
  std::size_t created = 0;
  std::size_t configured = 0;
  std::size_t deleted = 0;
  std::size_t unchanged = 0;
  bool marker_written = false;
};

class Publisher {
 public:
  // `token` fences: a write with a smaller token than the source has seen is refused. Without one
  // (the command line, which several people may run at once) writes are not fenced.
  Publisher(Redis& redis, std::string source, std::optional<std::uint64_t> token,
            std::string writer);

  // Writes objects that differ from what Redis has; one Change per object, in their order. The last
  // of two with the same key counts. Headers are stamped here, unknown_fields are kept.
  boost::asio::awaitable<Result<std::vector<Change>>> upsert(std::vector<v1::Object> objects);
  // Explicit deletes: every gateway drops these at once. kAbsent where there was nothing.
  boost::asio::awaitable<Result<std::vector<Change>>> remove(std::vector<ObjectKey> keys);
  // Makes the source's objects of `kinds` exactly `objects`: upserts what differs, deletes the
  // rest, and raises the marker last; until then the old marker stays valid. `cluster_uid` is empty
  // for manual; a source that already carries another one is refused.
  boost::asio::awaitable<Result<PublishReport>> publish_all(std::vector<v1::Kind> kinds,
                                                            std::vector<v1::Object> objects,
                                                            std::string cluster_uid);

 private:
  friend class Reseeder;

  ScriptCall call(const std::string& object_key) const;
  boost::asio::awaitable<Result<std::vector<Change>>> write(std::vector<v1::Object> objects,
                                                            bool only_if_absent);
  boost::asio::awaitable<Result<std::vector<Change>>> write_calls(const Script& script,
                                                                  std::vector<ScriptCall> calls);
  // Counts, and raises the marker if it promises something else than `marker` (without epoch) and
  // the counts; `force`: in any case. True: written.
  boost::asio::awaitable<Result<bool>> finish(v1::SourceMarker marker, bool force);

  Redis& redis_;
  std::string source_;
  std::string token_;     // Empty: not fenced.
  std::string instance_;  // Of the leader a re-seeding acts for; else empty.
  std::string writer_;
  std::string incarnation_;  // For a source that has none yet.
};

// Lets absences of this source that are held for want of proof, or by the 20 % rule, take effect:
// `sluice source accept NAME`. Holds for ten minutes and for what Redis has now (this incarnation).
boost::asio::awaitable<Status> accept_source(Redis& redis, std::string source);

}  // namespace sluice::store
