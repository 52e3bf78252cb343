// SourceState: the last good state of one source in memory, and what reads and changes do to it.
// Purpose: the part of the reader that does no I/O: takes snapshots, stream entries and marks,
// tells the observer, and says when everything must be read again. Ownership: by value; shares
// objects with the observer. Thread: the reader's.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/store/disk.h"
#include "control/store/judge.h"
#include "control/store/reader.h"
#include "control/store/snapshot.h"
#include "control/store/stream.h"

namespace sluice::store {

class SourceState {
 public:
  explicit SourceState(std::string name) : name_(std::move(name)) {}

  void load(v1::DiskSource* disk, StoreObserver& observer);  // Takes its objects.
  void save(v1::DiskSource* disk) const;
  DiskImage::Source image() const;

  // A consistent read of the whole source.
  void take(const SourceSnapshot& snapshot, StoreObserver& observer);

  enum class Verdict { kFollows, kIgnored, kResync };
  // Whether `entry` is the next change; kFollows advances the position.
  Verdict follow(const StreamEntry& entry);
  // Effects of entries that followed.
  void put(const ObjectKey& key, const ReadObject& value, StoreObserver& observer);
  void remove(const ObjectKey& key, StoreObserver& observer);
  // Compares with a source hash read now; true: read everything again. Another promise of the
  // marker over what was followed is judged anew without that.
  bool disagrees(const SourceHash& hash, bool accepted);
  // The last comparison found changes whose entries are still to come.
  bool lagging() const { return lagging_at_ != 0; }

  // After each read or batch: tells the observer when the view changed. `error`: why Redis is not
  // being read, when it is not connected.
  void report(bool connected, const std::string& error, StoreObserver& observer);
  SourceView view(bool connected, const std::string& error) const;
  const Position& live() const { return live_; }
  // The object as it is known, if that is what bytes of this fingerprint mean.
  std::shared_ptr<const v1::Object> known(const ObjectKey& key, std::size_t fingerprint);
  // Until the first read after load(): whether all objects were Redis' at live().
  bool exact() const { return exact_; }
  // The object as it is known; null: it is not.
  std::shared_ptr<const v1::Object> object(const ObjectKey& key) const;

 private:
  struct Known {
    std::shared_ptr<const v1::Object> object;  // Last good value; null: never had one.
    std::size_t fingerprint = 0;
    bool present = false;  // Redis has the key; else the object is held.
    std::string problem;   // Why Redis' value is not used.
  };
  using Objects = std::map<ObjectKey, Known>;

  void save_position(v1::DiskSource* disk) const;
  Evidence gather(const SourceSnapshot& snapshot) const;
  Evidence gather_followed(const SourceHash& hash, bool accepted) const;
  void update(const ObjectKey& key, const ReadObject& value, StoreObserver& observer);
  void drop_absent(const SourceSnapshot& snapshot, StoreObserver& observer);
  void settle();
  // Each change of an object in objects_ is between these two, which keep the totals.
  void leave(const ObjectKey& key, const Known& known) { tally(key, known, -1); }
  void enter(const ObjectKey& key, const Known& known) { tally(key, known, 1); }
  void tally(const ObjectKey& key, const Known& known, int sign);
  void tell_problems(SourceView* view) const;
  void tell_held(v1::SourceState* state) const;
  std::string newer_text() const;

  struct Totals {
    std::map<v1::Kind, std::int64_t> present;  // Keys Redis has.
    std::map<v1::Kind, std::int64_t> known;    // Objects with a good value.
    std::int64_t services = 0;                 // The Services of those.
    std::int64_t held = 0;
    std::int64_t problems = 0;
    std::int64_t newer = 0;  // Of a minor version above ours.
  };

  std::string name_;
  Objects objects_;
  Totals totals_;
  Position base_;  // Of the last good state: moves to live_ when nothing is held.
  Position live_;  // Last change read.
  v1::SourceMarker base_marker_;
  std::set<v1::Kind> base_complete_;
  SourceHash judged_;  // What the judgement was made on.
  bool judged_accepted_ = false;
  bool judged_once_ = false;  // Redis has been read since the start.
  bool exact_ = false;        // As exact() says.
  Judgement judgement_;
  std::vector<ObjectKey> missing_;  // While nothing of the last read is taken: what it lacked.
  std::uint64_t lagging_at_ = 0;  // live_.sequence + 1 when the last comparison found Redis ahead.
  std::string reported_;
};

}  // namespace sluice::store
