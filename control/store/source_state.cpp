#include "control/store/source_state.h"

#include <algorithm>
#include <utility>

#include "control/store/keys.h"

namespace sluice::store {
namespace {

constexpr std::size_t kMaxProblems = 100;
constexpr int kMaxHeldNames = 20;  // In a presence, which is read and written often.

bool same_hash(const SourceHash& a, const SourceHash& b) {
  return a.incarnation == b.incarnation && a.sequence == b.sequence && a.counts == b.counts &&
         a.marker_bytes == b.marker_bytes && a.problem == b.problem;
}

}  // namespace

void SourceState::load(v1::DiskSource* disk, StoreObserver& observer) {
  base_ = live_ = {disk->incarnation(), disk->sequence(), disk->entry()};
  base_marker_ = disk->marker();
  for (const int kind : disk->marker().complete())
    base_complete_.insert(static_cast<v1::Kind>(kind));
  for (v1::Object& object : *disk->mutable_objects()) {
    if (metadata_of(object) == nullptr) continue;
    const ObjectKey key = key_of(name_, object);
    auto shared = std::make_shared<const v1::Object>(std::move(object));
    Known& known = objects_[key];
    leave(key, known);
    known.object = shared;
    enter(key, known);
    observer.on_upsert(key, std::move(shared));
  }
  judgement_.complete = base_complete_;
  exact_ = disk->exact();
}

void SourceState::save(v1::DiskSource* disk) const {
  save_position(disk);
  for (const auto& [key, known] : objects_) {
    if (known.object) *disk->add_objects() = *known.object;
  }
}

void SourceState::save_position(v1::DiskSource* disk) const {
  *disk->mutable_marker() = base_marker_;
  disk->mutable_marker()->set_source(name_);
  disk->mutable_marker()->clear_complete();
  for (const v1::Kind kind : base_complete_) disk->mutable_marker()->add_complete(kind);
  disk->set_incarnation(base_.incarnation);
  disk->set_sequence(base_.sequence);
  disk->set_entry(base_.entry);
  // Not with objects that are kept although Redis' own are missing or unusable.
  disk->set_exact(exact_ || (judged_once_ && !judgement_.hold_all && totals_.held == 0 &&
                             totals_.problems == 0 && judgement_.miscounted.empty()));
}

DiskImage::Source SourceState::image() const {
  DiskImage::Source image;
  save_position(&image.head);
  image.objects.reserve(objects_.size());
  for (const auto& [key, known] : objects_) {
    if (known.object) image.objects.push_back(known.object);
  }
  return image;
}

void SourceState::tally(const ObjectKey& key, const Known& known, int sign) {
  if (known.present) totals_.present[key.kind] += sign;
  if (!known.problem.empty()) totals_.problems += sign;
  if (!known.object) return;
  totals_.known[key.kind] += sign;
  if (key.kind == v1::KIND_SERVICE) totals_.services += sign;
  if (!known.present) totals_.held += sign;
  if (known.object->header().minor() > kMinor) totals_.newer += sign;
}

Evidence SourceState::gather(const SourceSnapshot& snapshot) const {
  Evidence e;
  e.source = name_;
  e.base = base_;
  e.live = live_;
  e.hash = snapshot.hash;
  e.entry_lost = snapshot.entry_lost;
  e.accepted = snapshot.accepted;
  e.complete_before = base_complete_;
  for (const auto& [key, value] : snapshot.objects) ++e.counted[key.kind];
  for (const auto& [key, known] : objects_) {
    if (!known.object) continue;
    ++e.known;
    if (key.kind == v1::KIND_SERVICE) ++e.known_services;
    if (!snapshot.objects.contains(key) && !snapshot.deleted.contains(key)) ++e.absent[key.kind];
  }
  return e;
}

// Nothing is held, and every change since the last read was followed: what is in memory is what
// Redis has.
Evidence SourceState::gather_followed(const SourceHash& hash, bool accepted) const {
  Evidence e;
  e.source = name_;
  e.base = base_;
  e.live = live_;
  e.hash = hash;
  e.accepted = accepted;
  e.complete_before = base_complete_;
  for (const auto& [kind, count] : totals_.present)
    e.counted[kind] = static_cast<std::uint64_t>(count);
  e.known = objects_.size();
  e.known_services = static_cast<std::size_t>(totals_.services);
  return e;
}

void SourceState::take(const SourceSnapshot& snapshot, StoreObserver& observer) {
  judgement_ = judge(gather(snapshot));
  judged_ = snapshot.hash;
  judged_accepted_ = snapshot.accepted;
  judged_once_ = true;
  exact_ = false;
  lagging_at_ = 0;
  missing_.clear();
  if (judgement_.hold_all) {
    for (const auto& [key, known] : objects_)
      if (known.object && !snapshot.objects.contains(key) && !snapshot.deleted.contains(key))
        missing_.push_back(key);
    return;
  }
  for (const auto& [key, value] : snapshot.objects) update(key, value, observer);
  drop_absent(snapshot, observer);
  live_ = {snapshot.hash.incarnation, snapshot.hash.sequence, snapshot.hash.entry};
  settle();
}

void SourceState::drop_absent(const SourceSnapshot& snapshot, StoreObserver& observer) {
  for (auto item = objects_.begin(); item != objects_.end();) {
    auto& [key, known] = *item;
    if (snapshot.objects.contains(key)) {
      ++item;
      continue;
    }
    const bool gone = snapshot.deleted.contains(key) || judgement_.proven.contains(key.kind);
    leave(key, known);
    if (!gone && known.object) {
      known.present = false;
      enter(key, known);
      ++item;
      continue;
    }
    if (known.object) observer.on_delete(key);
    item = objects_.erase(item);
  }
}

// Once nothing is held, what is in memory is what Redis has, and becomes the state to fall back to.
void SourceState::settle() {
  if (judgement_.hold_all || totals_.held > 0) return;
  base_ = live_;
  base_complete_ = judgement_.complete;
  if (judged_.marker) base_marker_ = *judged_.marker;
}

std::shared_ptr<const v1::Object> SourceState::known(const ObjectKey& key,
                                                     std::size_t fingerprint) {
  const auto found = objects_.find(key);
  if (found == objects_.end() || !found->second.object) return nullptr;
  Known& known = found->second;
  // After a start from disk there is no fingerprint yet.
  if (known.fingerprint == 0) known.fingerprint = fingerprint_of(encode(*known.object));
  return known.fingerprint == fingerprint ? known.object : nullptr;
}

std::shared_ptr<const v1::Object> SourceState::object(const ObjectKey& key) const {
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second.object;
}

void SourceState::update(const ObjectKey& key, const ReadObject& value, StoreObserver& observer) {
  Known& known = objects_[key];
  leave(key, known);
  known.present = true;
  known.problem = value.problem;
  const bool changed = value.object && value.object != known.object &&
                       !(known.object && known.fingerprint == value.fingerprint);
  if (changed) {
    known.fingerprint = value.fingerprint;
    known.object = value.object;
  }
  enter(key, known);
  if (changed) observer.on_upsert(key, value.object);
}

SourceState::Verdict SourceState::follow(const StreamEntry& entry) {
  if (judgement_.hold_all) {
    return entry.incarnation == judged_.incarnation ? Verdict::kIgnored : Verdict::kResync;
  }
  if (entry.incarnation != live_.incarnation || entry.sequence != live_.sequence + 1) {
    return Verdict::kResync;
  }
  live_.sequence = entry.sequence;
  live_.entry = entry.id;
  return Verdict::kFollows;
}

void SourceState::put(const ObjectKey& key, const ReadObject& value, StoreObserver& observer) {
  update(key, value, observer);
}

void SourceState::remove(const ObjectKey& key, StoreObserver& observer) {
  const auto found = objects_.find(key);
  if (found == objects_.end()) return;
  const bool known = found->second.object != nullptr;
  leave(key, found->second);
  objects_.erase(found);
  if (known) observer.on_delete(key);
}

bool SourceState::disagrees(const SourceHash& hash, bool accepted) {
  if (accepted && !judged_accepted_ && (judgement_.hold_all || totals_.held > 0)) return true;
  if (judgement_.hold_all) {
    return hash.incarnation != judged_.incarnation || hash.problem != judged_.problem;
  }
  if (hash.incarnation != live_.incarnation || hash.problem != judged_.problem) return true;
  if (hash.sequence < live_.sequence) return true;
  if (hash.sequence > live_.sequence) {
    // Entries may be on their way; not for as long as from one comparison to the next.
    const bool twice = lagging_at_ == live_.sequence + 1;
    lagging_at_ = live_.sequence + 1;
    return twice;
  }
  lagging_at_ = 0;
  if (same_hash(hash, judged_)) return false;
  const bool promises = hash.marker_bytes != judged_.marker_bytes;
  if (promises && (!hash.marker || totals_.held > 0 || !judgement_.miscounted.empty())) return true;
  // Followed further since the judgement: the counts must have followed too.
  for (const v1::Kind kind : all_kinds()) {
    const auto own = totals_.present.find(kind);
    const auto have = static_cast<std::uint64_t>(own == totals_.present.end() ? 0 : own->second);
    // A difference that was there when judged needs no second look before something is written.
    if (hash.count(kind) != have && !judgement_.miscounted.contains(kind)) return true;
  }
  if (promises) judgement_ = judge(gather_followed(hash, accepted));
  judged_ = hash;
  return false;
}

// For people who have to decide whether to let them go.
void SourceState::tell_held(v1::SourceState* state) const {
  const auto tell = [state](const ObjectKey& key) {
    state->set_held(state->held() + 1);
    if (state->held_objects_size() == kMaxHeldNames) return;
    state->add_held_objects(std::string(kind_name(key.kind)) + " " +
                            (key.ns.empty() ? "" : key.ns + "/") + key.name);
  };
  for (const ObjectKey& key : missing_) tell(key);
  if (judgement_.hold_all || totals_.held == 0) return;
  for (const auto& [key, known] : objects_)
    if (known.object && !known.present) tell(key);
}

void SourceState::tell_problems(SourceView* view) const {
  if (totals_.problems == 0) return;
  for (const auto& [key, known] : objects_) {
    if (view->problems.size() == kMaxProblems) return;
    if (!known.problem.empty()) view->problems.push_back({keys::object(key), known.problem});
  }
}

// What this program is too old to know is not served.
std::string SourceState::newer_text() const {
  if (totals_.newer == 0) return {};
  return std::to_string(totals_.newer) + " objects were written for a newer version than " +
         std::to_string(kMajor) + "." + std::to_string(kMinor) +
         "; what that added is not served: upgrade this gateway";
}

SourceView SourceState::view(bool connected, const std::string& error) const {
  SourceView view;
  view.marker = judged_once_ && judged_.marker ? *judged_.marker : base_marker_;
  view.incarnation = judged_once_ ? judged_.incarnation : std::string();
  view.complete.assign(judgement_.complete.begin(), judgement_.complete.end());
  view.objects = totals_.known;
  // Before Redis has been read, nothing is known to be missing there.
  if (judged_once_) view.held = static_cast<std::size_t>(totals_.held);
  view.reseed = judgement_.reseed;
  view.alarmed = judgement_.alarmed;
  view.state.set_source(name_);
  view.state.set_sequence(live_.sequence);
  view.state.set_services(static_cast<std::uint64_t>(totals_.services));
  view.state.set_alarmed(view.alarmed);
  tell_problems(&view);
  if (judged_once_) tell_held(&view.state);
  if (judged_once_ && connected) {
    const bool released = judgement_.state == "held" && !judgement_.hold_all && view.held == 0;
    view.state.set_state(released ? "synced" : judgement_.state);
    view.state.set_message(released ? "" : judgement_.message);
    const std::string newer = newer_text();
    if (!newer.empty()) {
      *view.state.mutable_message() += (view.state.message().empty() ? "" : "; ") + newer;
    }
  } else {
    const bool nothing = base_.incarnation.empty() && objects_.empty();
    view.state.set_state(nothing ? "unknown" : "stale");
    view.state.set_message(error.empty() ? "Redis is being read"
                                         : "Redis is not being read: " + error);
  }
  return view;
}

void SourceState::report(bool connected, const std::string& error, StoreObserver& observer) {
  // Not after a lost connection: changes may have been followed whose values were not read yet.
  if (judged_once_ && connected) settle();
  const SourceView now = view(connected, error);
  std::string text = now.state.state() + "\n" + now.state.message() + "\n" + now.incarnation +
                     "\n" + std::to_string(now.held) +
                     std::to_string(static_cast<int>(now.reseed)) + now.marker.SerializeAsString() +
                     "\n";
  for (const v1::Kind kind : now.complete) text += kind_name(kind);
  for (const Problem& problem : now.problems) text += "\n" + problem.key + problem.text;
  if (text == reported_) return;
  reported_ = std::move(text);
  observer.on_source(now);
}

}  // namespace sluice::store
