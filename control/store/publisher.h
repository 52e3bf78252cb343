// Publisher: writes the objects of one source, as scripts that keep object, count and stream
// together. Purpose: `sluice apply` and `delete` (source manual), agents (a cluster), re-seeding.
// Ownership: refers to the Redis, which must outlive it. Thread: the connection's; one call of a
// Publisher after the other, but for check(), which may be called at any time.
// Errors: a refused write names the object; what was written before it stays written (every object
// is a whole on its own), so that a repeated call completes the rest. Nothing changed means nothing
// written.
//
// An agent calls publish_all() when it begins to lead, after each reconnect, when check() says so,
// and every 10 minutes; upsert() and remove() in between, as changes come.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/model/key.h"
#include "control/store/object_writer.h"
#include "control/store/objects.h"
#include "control/store/redis.h"
#include "control/store/replication.h"
#include "control/store/source_hash.h"
#include "proto/result.h"

namespace sluice::store {

struct PublishReport {
  std::size_t created = 0;
  std::size_t configured = 0;
  std::size_t deleted = 0;
  std::size_t unchanged = 0;
  // Objects that were left as they are in Redis, and why: no name or size that can be stored, or
  // another program's value in their place. They stop neither the others nor the marker.
  std::vector<std::string> refused;
  bool marker_written = false;
  bool renewed = false;  // Redis had lost writes, or might have: the source has a new incarnation.
};

// Whether the source in Redis is as its publisher left it.
struct Standing {
  bool intact = true;
  std::string reason;  // Why not, for the log: publish_all() is due.
};

class Publisher {
 public:
  // `token` fences: a write with a smaller token than the source has seen is refused. Without one
  // (the command line, which several people may run at once) writes are not fenced.
  Publisher(Redis& redis, std::string source, std::optional<std::uint64_t> token,
            std::string writer);

  // Writes objects that differ from what Redis has; one Change per object, in their order. The last
  // of two with the same key counts. Headers are stamped here, unknown_fields are kept.
  // `arrivals`: of the events that brought them, for those who measure how long a change takes.
  boost::asio::awaitable<Result<std::vector<Change>>> upsert(PutList objects, Arrivals arrivals);
  boost::asio::awaitable<Result<std::vector<Change>>> upsert(ObjectList objects);
  boost::asio::awaitable<Result<std::vector<Change>>> upsert(ObjectList objects, Arrivals arrivals);
  boost::asio::awaitable<Result<std::vector<Change>>> upsert(std::vector<v1::Object> objects);
  // Explicit deletes: every gateway drops these at once. kAbsent where there was nothing.
  boost::asio::awaitable<Result<std::vector<Change>>> remove(std::vector<ObjectKey> keys);
  boost::asio::awaitable<Result<std::vector<Change>>> remove(std::vector<ObjectKey> keys,
                                                             Arrivals arrivals);
  // Makes the source's objects of `kinds` exactly `objects`: upserts what differs, deletes the
  // rest, and raises the marker last; until then the old marker stays valid. `cluster_uid` is empty
  // for manual; a source that already carries another one is refused. A source whose Redis was
  // restarted, restored or failed over since its marker was raised gets a new incarnation together
  // with the marker, so that every gateway believes it again.
  boost::asio::awaitable<Result<PublishReport>> publish_all(std::vector<v1::Kind> kinds,
                                                            PutList objects,
                                                            std::string cluster_uid);
  boost::asio::awaitable<Result<PublishReport>> publish_all(std::vector<v1::Kind> kinds,
                                                            ObjectList objects,
                                                            std::string cluster_uid);
  boost::asio::awaitable<Result<PublishReport>> publish_all(std::vector<v1::Kind> kinds,
                                                            std::vector<v1::Object> objects,
                                                            std::string cluster_uid);
  // Compares incarnation, sequence and Redis' replication id with what the last publish_all() and
  // the writes since have left there: one round trip, of use every few seconds. Not intact before
  // the first publish_all() and after a failed write.
  boost::asio::awaitable<Result<Standing>> check();

 private:
  friend class Reseeder;

  // What the last complete run and the writes since have left in Redis.
  struct Expected {
    std::string incarnation;
    std::uint64_t sequence = 0;
    std::string replication_id;
  };
  // Objects of each kind, as counted when the source stood at this change.
  struct Counts {
    std::string incarnation;
    std::uint64_t sequence = 0;
    std::map<v1::Kind, std::uint64_t> kinds;
  };
  class Writing;

  void advance(const std::vector<Change>& changes);
  Result<std::vector<Change>> all_or_error(Result<Written> written);
  bool lost_writes(const SourceHash& hash, const Replication& replication) const;
  std::string why_not_intact(const SourceHash& hash, const Replication& replication) const;
  boost::asio::awaitable<Result<PublishReport>> differ(std::vector<v1::Kind> kinds, PutList objects,
                                                       std::string cluster_uid);
  boost::asio::awaitable<Result<Counts>> count_all(const SourceHash& hash,
                                                   std::function<void(const ObjectKey&)> found);
  // Counts, if `counts` is not of now, and raises the marker if it promises something else than
  // `marker` (without epoch) and the counts; `force`: in any case, `renew`: under a new
  // incarnation. True: written.
  boost::asio::awaitable<Result<bool>> finish(v1::SourceMarker marker, bool force, bool renew,
                                              std::optional<Counts> counts);

  Redis& redis_;
  std::string source_;
  ObjectWriter writer_;
  std::optional<Expected> expected_;
  std::uint64_t writing_ = 0;  // Calls begun and ended, for check().
};

// Lets absences of this source that are held for want of proof, or by the 20 % rule, take effect:
// `sluice source accept NAME`. Holds for ten minutes and for what Redis has now (this incarnation).
boost::asio::awaitable<Status> accept_source(Redis& redis, std::string source);

}  // namespace sluice::store
