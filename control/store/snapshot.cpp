#include "control/store/snapshot.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/stream.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxSources = 1024;
constexpr std::size_t kMaxProblems = 100;
constexpr std::size_t kChunk = 512;  // Objects fetched and decoded at once.
constexpr std::size_t kMaxHistory =
    65536;  // Entries read for explicit deletes; the stream's length.
// Looks at what changed since: with as many entries as one look takes there is certainly more.
constexpr int kMaxRounds = 2000;
constexpr int kMaxUnsettled = 20;  // Of those, rounds that saw the last entry.

std::string ledger_mark(const RedisValue& reply) {
  return reply.at(0).text + " " + reply.at(1).text + " " + reply.at(2).text;
}

RedisCommand ledger_command() {
  RedisCommand command;
  for (const char* word : {"HMGET", "", "incarnation", "sequence", "ready"})
    command.push_back(word);
  command[1] = std::string(keys::kLedger);
  return command;
}

class SnapshotReader {
 public:
  SnapshotReader(Redis& redis, Earlier earlier)
      : redis_(redis), earlier_(std::move(earlier)), known_(earlier_.positions) {}

  asio::awaitable<Result<Snapshot>> run();

 private:
  asio::awaitable<Status> begin();
  asio::awaitable<Status> check_history();
  asio::awaitable<Status> scan_objects();
  asio::awaitable<Status> read_values();
  enum class Round { kDone, kMore, kUnsettled };
  // One look at the changes since stream_id and, after them, at the hashes.
  asio::awaitable<Result<Round>> catch_up();
  void note_history(const StreamEntry& entry);
  // Whether every change of this source since the caller's position has been seen.
  bool seen_all(const std::string& name) const;
  // What the caller has under this key, if Redis has the same.
  std::shared_ptr<const v1::Object> unchanged(const ObjectKey& key) const;
  // False: entries before this one are gone.
  bool apply(const StreamEntry& entry, std::set<ObjectKey>* stale);
  bool consistent(const std::map<std::string, SourceHash>& hashes);

  Redis& redis_;
  const Earlier earlier_;
  const std::map<std::string, Position>& known_;
  Snapshot snapshot_;
  std::map<std::string, Position> reached_;        // By hashes, then by entries.
  std::set<std::string> followed_;                 // Sources whose position is by entries.
  std::map<std::string, std::uint64_t> gap_free_;  // Sequence up to which history has no gap.
  std::set<std::string> gaps_;                     // Sources whose history has one.
  std::set<std::string> resumed_;                  // Sources of which only changes are read,
  std::set<ObjectKey> changed_;                    //   and what was put since.
};

asio::awaitable<Status> SnapshotReader::begin() {
  // Before the hashes: no entry of what they do not count yet is passed over.
  auto last = co_await last_entry(redis_);
  if (!last) co_return Error{last.error()};
  snapshot_.stream_id = std::move(*last);
  std::set<std::string> names;
  for (const auto& [name, position] : known_) names.insert(name);
  auto marks = co_await read_marks(redis_, std::move(names));
  if (!marks) co_return Error{marks.error()};
  for (auto& [name, hash] : marks->hashes) {
    reached_[name] = {hash.incarnation, hash.sequence, hash.entry};
    SourceSnapshot& source = snapshot_.sources[name];
    source.accepted = marks->accepted.contains(name);
    source.hash = std::move(hash);
  }
  snapshot_.ledger = marks->ledger;
  snapshot_.replication_id = marks->replication_id;
  co_return Ok{};
}

void SnapshotReader::note_history(const StreamEntry& entry) {
  const auto known = known_.find(entry.source);
  if (known == known_.end() || compare_ids(entry.id, known->second.entry) <= 0) return;
  const auto [reached, first] = gap_free_.try_emplace(entry.source, known->second.sequence);
  const bool same = known->second.incarnation == entry.incarnation;
  if (same && entry.sequence <= reached->second) return;  // Seen before.
  if (!same || entry.sequence != reached->second + 1) {
    gaps_.insert(entry.source);
    return;
  }
  reached->second = entry.sequence;
  if (!entry.key) return;
  SourceSnapshot& source = snapshot_.sources[entry.source];
  if (entry.op == StreamEntry::Op::kDelete) source.deleted.insert(*entry.key);
  if (entry.op == StreamEntry::Op::kPut) {
    source.deleted.erase(*entry.key);
    if (earlier_.exact.contains(entry.source)) changed_.insert(*entry.key);
  }
}

bool SnapshotReader::seen_all(const std::string& name) const {
  if (gaps_.contains(name)) return false;
  const auto reached = gap_free_.find(name);
  return (reached == gap_free_.end() ? known_.at(name).sequence : reached->second) >=
         snapshot_.sources.at(name).hash.sequence;
}

std::shared_ptr<const v1::Object> SnapshotReader::unchanged(const ObjectKey& key) const {
  if (!resumed_.contains(key.source) || changed_.contains(key)) return nullptr;
  return earlier_.object(key);
}

// Whether Redis still knows the change each source was last read at, and what was deleted since.
asio::awaitable<Status> SnapshotReader::check_history() {
  RedisCommand oldest_entry = range_command(kStreamStart, "+");
  oldest_entry.back() = "1";
  auto first = co_await redis_.command(std::move(oldest_entry));
  if (!first) co_return Error{first.error()};
  const std::string oldest = first->at(0).at(0).text;
  std::string from;
  std::vector<std::string> continued;  // Sources of which Redis has that change.
  for (const auto& [name, position] : known_) {
    SourceSnapshot& source = snapshot_.sources[name];
    if (position.entry.empty() || position.incarnation != source.hash.incarnation) continue;
    RedisCommand command;
    command.push_back("XRANGE");
    command.push_back(std::string(keys::kStream));
    command.push_back(position.entry);
    command.push_back(position.entry);
    auto reply = co_await redis_.command(std::move(command));
    if (!reply) co_return Error{reply.error()};
    const std::vector<StreamEntry> found = parse_entries(*reply);
    const bool there = !found.empty() && found[0].source == name &&
                       found[0].sequence == position.sequence &&
                       found[0].incarnation == position.incarnation;
    const bool trimmed = oldest.empty() || compare_ids(oldest, position.entry) > 0;
    source.entry_lost = !there && !trimmed;
    if (!there) continue;
    continued.push_back(name);
    if (position.sequence == source.hash.sequence) continue;  // Nothing since.
    if (from.empty() || compare_ids(position.entry, from) < 0) from = position.entry;
  }
  if (!from.empty()) {
    // Up to now, so that it has all that the hashes count.
    auto history = co_await read_range(redis_, from, "+", kMaxHistory);
    if (!history) co_return Error{history.error()};
    for (const StreamEntry& entry : *history) note_history(entry);
  }
  for (const std::string& name : continued)
    if (earlier_.exact.contains(name) && seen_all(name)) resumed_.insert(name);
  snapshot_.whole = resumed_.empty();
  co_return Ok{};
}

asio::awaitable<Status> SnapshotReader::scan_objects() {
  co_return co_await scan(redis_, keys::kObjectPrefix, [this](std::string name) {
    std::optional<ObjectKey> key = keys::parse_object(name);
    if (key) {
      snapshot_.sources[key->source].objects.try_emplace(std::move(*key));
    } else if (snapshot_.problems.size() < kMaxProblems) {
      snapshot_.problems.push_back({std::move(name), "not the key of an object"});
    }
  });
}

asio::awaitable<Status> SnapshotReader::read_values() {
  for (auto& [name, source] : snapshot_.sources) {
    auto next = source.objects.begin();
    while (next != source.objects.end()) {
      std::vector<ObjectKey> some;
      for (; next != source.objects.end() && some.size() < kChunk; ++next) {
        next->second.object = unchanged(next->first);
        if (!next->second.object) some.push_back(next->first);
      }
      auto values = co_await read_objects(redis_, some, earlier_.known);
      if (!values) co_return Error{values.error()};
      for (std::size_t i = 0; i < some.size(); ++i) {
        ReadObject& value = (*values)[i];
        if (value.object || !value.problem.empty()) {
          source.objects[some[i]] = std::move(value);
        } else {
          source.objects.erase(some[i]);  // Since the scan: the stream says whether by a delete.
        }
      }
    }
  }
  co_return Ok{};
}

bool SnapshotReader::apply(const StreamEntry& entry, std::set<ObjectKey>* stale) {
  if (entry.source.empty() || entry.source == keys::kLedgerSource) return true;
  note_history(entry);
  if (gaps_.contains(entry.source) && resumed_.contains(entry.source)) return false;
  Position& reached = reached_[entry.source];
  const bool first = followed_.insert(entry.source).second;
  const bool gap =
      !first && entry.incarnation == reached.incarnation && entry.sequence != reached.sequence + 1;
  reached = {entry.incarnation, entry.sequence, entry.id};
  if (gap) return false;
  if (!entry.key) return true;
  SourceSnapshot& source = snapshot_.sources[entry.source];
  if (entry.op == StreamEntry::Op::kPut) {
    source.objects.try_emplace(*entry.key);
    stale->insert(*entry.key);
  } else {
    source.objects.erase(*entry.key);
    stale->erase(*entry.key);
  }
  return true;
}

bool SnapshotReader::consistent(const std::map<std::string, SourceHash>& hashes) {
  return std::ranges::all_of(hashes, [this](const auto& item) {
    const Position& reached = reached_[item.first];
    return item.second.incarnation == reached.incarnation &&
           item.second.sequence == reached.sequence;
  });
}

asio::awaitable<Result<SnapshotReader::Round>> SnapshotReader::catch_up() {
  std::vector<std::string> names;
  for (const auto& [name, source] : snapshot_.sources) names.push_back(name);
  // The hashes after the changes: what is written in between makes them disagree, and is read in
  // another round. No transaction, since a Redis that is full refuses to queue one.
  std::vector<RedisCommand> commands;
  commands.push_back(range_command(snapshot_.stream_id, "+"));
  for (const std::string& name : names) commands.push_back(source_hash_command(name));
  auto replies = co_await redis_.pipeline(std::move(commands));
  if (!replies) co_return Error{replies.error()};
  if (!replies->front().is_array()) {
    co_return Error{explain_error("XRANGE", replies->front().text)};
  }

  const std::vector<StreamEntry> entries = parse_entries(replies->front());
  std::set<ObjectKey> stale;
  for (const StreamEntry& entry : entries) {
    if (!apply(entry, &stale)) {
      co_return Error{"Redis' contents changed faster than they could be read"};
    }
  }
  if (!entries.empty()) snapshot_.stream_id = entries.back().id;
  std::vector<ObjectKey> changed(stale.begin(), stale.end());
  auto values = co_await read_objects(redis_, changed);
  if (!values) co_return Error{values.error()};
  for (std::size_t i = 0; i < changed.size(); ++i) {
    snapshot_.sources[changed[i].source].objects[changed[i]] = std::move((*values)[i]);
  }
  if (entries.size() >= kStreamBatch) co_return Round::kMore;

  std::map<std::string, SourceHash> hashes;
  for (std::size_t i = 0; i < names.size(); ++i) {
    hashes[names[i]] = parse_source_hash(names[i], (*replies)[i + 1]);
  }
  // A source that entries named for the first time has no hash here yet: one round more.
  if (names.size() != snapshot_.sources.size() || !consistent(hashes)) {
    co_return Round::kUnsettled;
  }
  for (auto& [name, hash] : hashes) snapshot_.sources[name].hash = std::move(hash);
  co_return Round::kDone;
}

asio::awaitable<Result<Snapshot>> SnapshotReader::run() {
  Status status = co_await begin();
  if (status) status = co_await check_history();
  if (status) status = co_await scan_objects();
  if (status) status = co_await read_values();
  if (!status) co_return Error{status.error()};
  int unsettled = 0;
  for (int round = 0; round < kMaxRounds && unsettled < kMaxUnsettled; ++round) {
    auto done = co_await catch_up();
    if (!done) co_return Error{done.error()};
    if (*done == Round::kDone) co_return std::move(snapshot_);
    if (*done == Round::kUnsettled) ++unsettled;
  }
  co_return Error{
      "Redis' contents changed faster than they could be read, or its counters and its "
      "stream disagree"};
}

ReadObject read_object(const ObjectKey& key, Fetched value, const KnownObject& known) {
  ReadObject read;
  if (value.state == Fetched::State::kUnusable) read.problem = std::move(value.problem);
  if (value.state != Fetched::State::kPresent) return read;
  read.fingerprint = fingerprint_of(value.bytes);
  if (known) read.object = known(key, read.fingerprint);
  if (read.object) return read;
  Result<v1::Object> object = decode_object(key, value.bytes);
  if (object) {
    read.object = std::make_shared<const v1::Object>(std::move(*object));
  } else {
    read.problem = object.error();
  }
  return read;
}

}  // namespace

std::size_t fingerprint_of(const std::string& bytes) {
  return std::hash<std::string>{}(bytes);
}

asio::awaitable<Result<Snapshot>> read_snapshot(Redis& redis, Earlier earlier) {
  SnapshotReader reader(redis, std::move(earlier));
  co_return co_await reader.run();
}

asio::awaitable<Result<Marks>> read_marks(Redis& redis, std::set<std::string> known) {
  auto listed = co_await list_sources(redis);
  if (!listed) co_return Error{listed.error()};
  if (listed->size() > kMaxSources) {
    co_return Error{"Redis names " + std::to_string(listed->size()) + " sources, more than " +
                    std::to_string(kMaxSources)};
  }
  known.insert(listed->begin(), listed->end());
  known.insert(kManualSource);
  std::vector<RedisCommand> commands;
  commands.push_back(ledger_command());
  commands.push_back(replication_command());
  for (const std::string& name : known) {
    commands.push_back(source_hash_command(name));
    RedisCommand& accept = commands.emplace_back();
    accept.push_back("GET");
    accept.push_back(keys::accept(name));
  }
  auto replies = co_await redis.pipeline(std::move(commands));
  if (!replies) co_return Error{replies.error()};
  Marks marks;
  marks.ledger = ledger_mark(replies->front());
  const Result<Replication> replication = parse_replication((*replies)[1]);
  if (!replication) co_return Error{replication.error()};
  if (!replication->master) {
    co_return Error{"Redis at " + redis.peer() + " is not a master any more"};
  }
  marks.replication_id = replication->id;
  std::size_t at = 2;
  for (const std::string& name : known) {
    SourceHash hash = parse_source_hash(name, (*replies)[at++]);
    const RedisValue& accepted = (*replies)[at++];
    if (!hash.incarnation.empty() && accepted.text == hash.incarnation) marks.accepted.insert(name);
    marks.hashes[name] = std::move(hash);
  }
  co_return marks;
}

asio::awaitable<Result<std::vector<ReadObject>>> read_objects(Redis& redis,
                                                              std::vector<ObjectKey> keys,
                                                              KnownObject known) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const ObjectKey& key : keys) names.push_back(keys::object(key));
  std::vector<ReadObject> objects(keys.size());
  std::function<void(std::size_t, Fetched)> found = [&](std::size_t i, Fetched value) {
    objects[i] = read_object(keys[i], std::move(value), known);
  };
  const Status status = co_await fetch_each(redis, std::move(names), std::move(found));
  if (!status) co_return Error{status.error()};
  co_return objects;
}

}  // namespace sluice::store
