// StoreReader: follows everything the sources publish, and says what is true of it.
// Purpose: the only way objects get from Redis into control's model. Reads markers and objects,
// then the stream of changes; a gap, a step back, another incarnation or a marker that disagrees
// (compared every five seconds) means reading everything again. A start from a disk whose state
// Redis passed through reads what changed since, and all values ten seconds later, when there is
// time: what was changed past our scripts is found then. An object leaves only by an
// explicit delete in gap-free order, or by proven absence; everything else that is missing or
// unreadable is held at its last good state and reported (proto/README.md). Ownership: the observer
// must outlive the reader, the reader its run(). Thread: the executor's, one. Errors: none come out
// of run(); it reconnects with back-off and reports through on_source.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/model/key.h"
#include "control/store/disk.h"
#include "control/store/objects.h"
#include "control/store/redis.h"
#include "control/store/stream.h"

namespace sluice::store {

// Whether the leading control has to bring `manual` back (reseed.h).
enum class Reseed {
  kNo,
  kFill,     // New incarnation, no complete marker or objects missing: write what Redis lacks.
  kReplace,  // Redis went back to an older state: write all we know, under a new incarnation.
};

struct SourceView {
  v1::SourceState state;    // "synced", "stale", "held" or "unknown", with the reason.
  v1::SourceMarker marker;  // As last read.
  std::string incarnation;  // Of Redis' sequence; empty: Redis has nothing of this source.
  std::vector<v1::Kind>
      complete;  // Kinds whose whole list is known; others are unknown, not empty.
  std::map<v1::Kind, std::int64_t> objects;  // Known, by kind; with those held.
  std::size_t held = 0;                      // Objects kept although Redis does not have them.
  std::vector<Problem> problems;             // Values that cannot be used.
  Reseed reseed = Reseed::kNo;               // Only ever set for manual.
  bool alarmed = false;  // More than 20 % of the Services gone: waits for `source accept`.
};

// A change whose writer says when its event arrived, and when it was read here, by both clocks.
struct TimedChange {
  ChangeTimes times;
  ChangeTimes::Time read;
  std::chrono::steady_clock::time_point read_steady;
};

class StoreObserver {
 public:
  virtual ~StoreObserver() = default;
  virtual void on_upsert(const ObjectKey& key, std::shared_ptr<const v1::Object> object) = 0;
  virtual void on_delete(const ObjectKey& key) = 0;
  // One change of the stream, after what it changed has been delivered. Not all have times, and
  // those a whole read brings are not told of.
  virtual void on_timed(const TimedChange& /*change*/) {}
  // The state or the completeness of a source changed.
  virtual void on_source(const SourceView& view) = 0;
  // The ledger in Redis may have changed: Ledger::refresh().
  virtual void on_ledger() = 0;
  // Everything read so far has been delivered: after the first complete read, and after each batch.
  virtual void on_synced() = 0;
  // Redis answers (true) or does not (false), on change.
  virtual void on_connected(bool connected) = 0;
};

struct ReaderTiming {
  std::chrono::milliseconds check{5000};         // Between comparisons of the markers.
  std::chrono::milliseconds block{1000};         // A blocking read of the stream, at most.
  std::chrono::milliseconds first_backoff{100};  // Doubled up to the next, with jitter.
  std::chrono::milliseconds last_backoff{5000};
  std::chrono::milliseconds whole{10000};  // After a start that read changes alone: all values.
};

class StoreReader {
 public:
  StoreReader(boost::asio::any_io_executor executor, RedisOptions options, StoreObserver& observer,
              ReaderTiming timing = {});
  ~StoreReader();
  StoreReader(const StoreReader&) = delete;
  StoreReader& operator=(const StoreReader&) = delete;

  // Before run(): last good state. Delivered at once; its sources are "stale" until Redis is read.
  void load(v1::DiskState disk);
  // Until stop().
  boost::asio::awaitable<void> run();
  void stop();

  bool connected() const;
  // True once Redis has been read as a whole since the start.
  bool read_once() const;
  std::vector<SourceView> sources() const;
  // Fills the sources of `disk` with the last good state, for reseed().
  void save(v1::DiskState* disk) const;
  // The same for the disk, without a copy of the objects.
  std::vector<DiskImage::Source> image() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sluice::store
