#include "control/store/publisher.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <iterator>
#include <set>
#include <unordered_set>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/object_writer.h"
#include "control/store/replication.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr int kMarkerTries = 10;
constexpr int kAcceptSeconds = 600;

std::int64_t unix_ms() {
  using std::chrono::duration_cast;
  return duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string process_name() {
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return std::string(host.data()) + "/" + std::to_string(::getpid());
}

void count(Change change, PublishReport* report) {
  switch (change) {
    case Change::kCreated:
      ++report->created;
      break;
    case Change::kConfigured:
      ++report->configured;
      break;
    case Change::kDeleted:
      ++report->deleted;
      break;
    case Change::kUnchanged:
    case Change::kAbsent:
      ++report->unchanged;
      break;
  }
}

ObjectList shared(std::vector<v1::Object> objects) {
  ObjectList list;
  list.reserve(objects.size());
  for (v1::Object& object : objects) {
    list.push_back(std::make_shared<const v1::Object>(std::move(object)));
  }
  return list;
}

// Whether the marker in Redis promises what `marker` would, over true counts.
bool same_promise(const SourceHash& hash, const v1::SourceMarker& marker,
                  const std::map<v1::Kind, std::uint64_t>& counts) {
  const v1::SourceMarker& old = *hash.marker;
  return old.reseeded_incarnation() == marker.reseeded_incarnation() &&
         old.reseeded_sequence() == marker.reseeded_sequence() &&
         std::ranges::all_of(all_kinds(), [&](v1::Kind kind) {
           const bool promised = std::ranges::find(marker.complete(), static_cast<int>(kind)) !=
                                 marker.complete().end();
           const auto found = counts.find(kind);
           return hash.complete(kind) == promised &&
                  hash.count(kind) == (found == counts.end() ? 0 : found->second);
         });
}

}  // namespace

// Calls begun and ended are counted: check() judges nothing that was read while one ran.
class Publisher::Writing {
 public:
  explicit Writing(std::uint64_t& calls) : calls_(calls) { ++calls_; }
  ~Writing() { ++calls_; }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

 private:
  std::uint64_t& calls_;
};

Publisher::Publisher(Redis& redis, std::string source, std::optional<std::uint64_t> token,
                     std::string writer)
    : redis_(redis),
      source_(std::move(source)),
      writer_(redis, source_, token ? std::to_string(*token) : std::string(), std::move(writer)) {}

// Where the source stands after these changes.
void Publisher::advance(const std::vector<Change>& changes) {
  if (!expected_) return;
  expected_->sequence += static_cast<std::uint64_t>(std::ranges::count_if(changes, [](Change c) {
    return c == Change::kCreated || c == Change::kConfigured || c == Change::kDeleted;
  }));
}

Result<std::vector<Change>> Publisher::all_or_error(Result<Written> written) {
  if (!written) {
    expected_.reset();  // Nobody knows how much of it was written.
    return Error{written.error()};
  }
  advance(written->changes);
  const std::size_t refused = written->refused.size();
  if (refused == 0) return std::move(written->changes);
  std::string text = written->refused.front();
  if (refused > 1) text += "; and " + std::to_string(refused - 1) + " others";
  return Error{std::move(text)};
}

asio::awaitable<Result<std::vector<Change>>> Publisher::upsert(ObjectList objects) {
  co_return co_await upsert(std::move(objects), Arrivals());
}

asio::awaitable<Result<std::vector<Change>>> Publisher::upsert(ObjectList objects,
                                                               Arrivals arrivals) {
  co_return co_await upsert(to_put(source_, std::move(objects)), std::move(arrivals));
}

asio::awaitable<Result<std::vector<Change>>> Publisher::upsert(PutList objects, Arrivals arrivals) {
  const Writing writing(writing_);
  const auto mode = writer_.fenced() ? ObjectWriter::Mode::kByScript : ObjectWriter::Mode::kCompare;
  co_return all_or_error(co_await writer_.put(std::move(objects), mode, std::move(arrivals)));
}

asio::awaitable<Result<std::vector<Change>>> Publisher::upsert(std::vector<v1::Object> objects) {
  co_return co_await upsert(shared(std::move(objects)));
}

asio::awaitable<Result<std::vector<Change>>> Publisher::remove(std::vector<ObjectKey> keys) {
  co_return co_await remove(std::move(keys), Arrivals());
}

asio::awaitable<Result<std::vector<Change>>> Publisher::remove(std::vector<ObjectKey> keys,
                                                               Arrivals arrivals) {
  const Writing writing(writing_);
  for (const ObjectKey& key : keys) {
    if (!keys::valid(key) || key.source != source_) {
      co_return Error{key.text() + ": not an object of source " + source_};
    }
  }
  co_return all_or_error(co_await writer_.erase(std::move(keys), std::move(arrivals)));
}

asio::awaitable<Result<Publisher::Counts>> Publisher::count_all(
    const SourceHash& hash, std::function<void(const ObjectKey&)> found) {
  Counts counts;
  counts.incarnation = hash.incarnation;
  counts.sequence = hash.sequence;
  std::unordered_set<std::string> seen;  // SCAN may name a key twice.
  const std::string prefix = std::string(keys::kObjectPrefix) + source_ + ":";
  const Status scanned = co_await scan(redis_, prefix, [&](std::string name) {
    const auto key = keys::parse_object(name);
    if (!key || !seen.insert(std::move(name)).second) return;
    ++counts.kinds[key->kind];
    if (found) found(*key);
  });
  if (!scanned) co_return Error{scanned.error()};
  co_return counts;
}

asio::awaitable<Result<PublishReport>> Publisher::publish_all(std::vector<v1::Kind> kinds,
                                                              std::vector<v1::Object> objects,
                                                              std::string cluster_uid) {
  co_return co_await publish_all(std::move(kinds), shared(std::move(objects)),
                                 std::move(cluster_uid));
}

asio::awaitable<Result<PublishReport>> Publisher::publish_all(std::vector<v1::Kind> kinds,
                                                              ObjectList objects,
                                                              std::string cluster_uid) {
  co_return co_await publish_all(std::move(kinds), to_put(source_, std::move(objects)),
                                 std::move(cluster_uid));
}

asio::awaitable<Result<PublishReport>> Publisher::publish_all(std::vector<v1::Kind> kinds,
                                                              PutList objects,
                                                              std::string cluster_uid) {
  const Writing writing(writing_);
  auto report = co_await differ(std::move(kinds), std::move(objects), std::move(cluster_uid));
  if (!report) expected_.reset();
  co_return report;
}

// Whether Redis may have lost what this or an earlier publisher had written: readers that saw it
// believe this incarnation no more.
bool Publisher::lost_writes(const SourceHash& hash, const Replication& replication) const {
  if (source_ == kManualSource || hash.incarnation.empty()) return false;
  if (!hash.marker || hash.marker->replication_id() != replication.id) return true;
  return expected_ && expected_->incarnation == hash.incarnation &&
         hash.sequence < expected_->sequence;
}

asio::awaitable<Result<PublishReport>> Publisher::differ(std::vector<v1::Kind> kinds,
                                                         PutList objects, std::string cluster_uid) {
  auto replication = co_await read_replication(redis_);
  if (!replication) co_return Error{replication.error()};
  auto before = co_await read_source_hash(redis_, source_);
  if (!before) co_return Error{before.error()};
  if (before->marker && before->marker->cluster_uid() != cluster_uid) {
    co_return Error{"source " + source_ + " is of the cluster with UID " +
                    before->marker->cluster_uid() + ", not of " + cluster_uid +
                    ": give this cluster another name"};
  }
  const std::set<v1::Kind> wanted_kinds(kinds.begin(), kinds.end());
  std::unordered_set<ObjectKey> wanted;
  wanted.reserve(objects.size());
  for (const ObjectToPut& object : objects) wanted.insert(object.key);
  std::vector<ObjectKey> surplus;
  auto counts = co_await count_all(*before, [&](const ObjectKey& key) {
    if (wanted_kinds.contains(key.kind) && !wanted.contains(key)) surplus.push_back(key);
  });
  if (!counts) co_return Error{counts.error()};

  PublishReport report;
  report.renewed = lost_writes(*before, *replication);
  std::vector<v1::Kind> kind_of_each;
  kind_of_each.reserve(objects.size());
  for (const ObjectToPut& object : objects) kind_of_each.push_back(object.key.kind);
  wanted.clear();
  auto upserts = co_await writer_.put(std::move(objects), ObjectWriter::Mode::kCompare, Arrivals());
  if (!upserts) co_return Error{upserts.error()};
  for (std::size_t i = 0; i < kind_of_each.size(); ++i) {
    const Change change = upserts->changes[i];
    count(change, &report);
    if (change == Change::kCreated) ++counts->kinds[kind_of_each[i]];
  }
  kind_of_each.clear();
  for (const ObjectKey& key : surplus) kind_of_each.push_back(key.kind);
  auto deletes = co_await writer_.erase(std::move(surplus), Arrivals());
  if (!deletes) co_return Error{deletes.error()};
  for (std::size_t i = 0; i < kind_of_each.size(); ++i) {
    count(deletes->changes[i], &report);
    if (deletes->changes[i] == Change::kDeleted) --counts->kinds[kind_of_each[i]];
  }
  report.refused = std::move(upserts->refused);
  std::ranges::move(deletes->refused, std::back_inserter(report.refused));
  const std::size_t written = report.created + report.configured + report.deleted;
  counts->sequence += written;

  v1::SourceMarker marker;
  marker.set_cluster_uid(cluster_uid);
  marker.set_replication_id(replication->id);
  for (const v1::Kind kind : all_kinds()) {
    if (wanted_kinds.contains(kind) || before->complete(kind)) marker.add_complete(kind);
  }
  auto finished =
      co_await finish(std::move(marker), written > 0, report.renewed, std::move(*counts));
  if (!finished) co_return Error{finished.error()};
  report.marker_written = *finished;
  co_return report;
}

asio::awaitable<Result<bool>> Publisher::finish(v1::SourceMarker marker, bool force, bool renew,
                                                std::optional<Counts> counts) {
  stamp(marker.mutable_header(), writer_.name());
  marker.set_source(source_);
  marker.set_publisher(process_name());
  for (int i = 0; i < kMarkerTries; ++i) {
    auto hash = co_await read_source_hash(redis_, source_);
    if (!hash) co_return Error{hash.error()};
    const bool of_now = counts && counts->sequence == hash->sequence &&
                        (counts->incarnation.empty() || counts->incarnation == hash->incarnation);
    if (!of_now) {
      auto counted = co_await count_all(*hash, nullptr);
      if (!counted) co_return Error{counted.error()};
      counts = std::move(*counted);
    }
    if (!force && !renew && hash->marker && same_promise(*hash, marker, counts->kinds)) {
      expected_ = {hash->incarnation, hash->sequence, marker.replication_id()};
      co_return false;
    }
    marker.set_epoch((hash->marker ? hash->marker->epoch() : 0) + 1);
    marker.set_finished_unix_ms(unix_ms());
    ScriptCall raise = writer_.call();
    raise.arguments.push_back(hash->incarnation);
    raise.arguments.push_back(std::to_string(hash->sequence));
    raise.arguments.push_back(encode(marker));
    raise.arguments.push_back(renew ? writer_.new_incarnation() : std::string());
    for (const auto& [kind, number] : counts->kinds) {
      raise.arguments.push_back(kind_name(kind));
      raise.arguments.push_back(std::to_string(number));
    }
    std::vector<ScriptCall> calls;
    calls.push_back(std::move(raise));
    auto replies = co_await run_script(redis_, kMarkerScript, std::move(calls));
    if (!replies) co_return Error{replies.error()};
    const RedisValue& reply = replies->front();
    if (!reply.is_error()) {
      expected_ = {reply.at(0).text, keys::parse_number(reply.at(1).text).value_or(0),
                   marker.replication_id()};
      co_return true;
    }
    if (!reply.text.starts_with("CHANGED")) {
      co_return Error{explain_error("script marker of " + source_, reply.text)};
    }
    counts.reset();
  }
  co_return Error{"source " + source_ +
                  " is written by others all the time; its marker was not raised"};
}

asio::awaitable<Result<Standing>> Publisher::check() {
  const std::uint64_t begun = writing_;
  std::vector<RedisCommand> commands;
  commands.push_back(source_hash_command(source_));
  commands.push_back(replication_command());
  auto replies = co_await redis_.pipeline(std::move(commands));
  if (!replies) co_return Error{replies.error()};
  Standing standing;
  if (writing_ != begun || begun % 2 != 0) co_return standing;
  const SourceHash hash = parse_source_hash(source_, (*replies)[0]);
  const Result<Replication> replication = parse_replication((*replies)[1]);
  if (!replication) co_return Error{replication.error()};
  standing.reason = why_not_intact(hash, *replication);
  standing.intact = standing.reason.empty();
  co_return standing;
}

std::string Publisher::why_not_intact(const SourceHash& hash,
                                      const Replication& replication) const {
  if (!expected_) return "it was not published as a whole yet, or a write failed";
  if (!hash.problem.empty()) return keys::source(source_) + " cannot be used: " + hash.problem;
  if (hash.incarnation.empty()) return "Redis has nothing of it: flushed, or another Redis";
  if (hash.incarnation != expected_->incarnation) return "Redis has another incarnation of it";
  if (replication.id != expected_->replication_id) {
    return "Redis has another replication id: restarted, restored or failed over";
  }
  if (hash.sequence == expected_->sequence) return {};
  return "Redis is at change " + std::to_string(hash.sequence) + ", not at " +
         std::to_string(expected_->sequence);
}

asio::awaitable<Status> accept_source(Redis& redis, std::string source) {
  if (!keys::valid_source(source))
    co_return Error{"\"" + source + "\" is not the name of a source"};
  auto hash = co_await read_source_hash(redis, source);
  if (!hash) co_return Error{hash.error()};
  if (hash->incarnation.empty()) co_return Error{"Redis has nothing of source " + source};
  RedisCommand command;
  command.push_back("SET");
  command.push_back(keys::accept(source));
  command.push_back(hash->incarnation);
  command.push_back("EX");
  command.push_back(std::to_string(kAcceptSeconds));
  auto reply = co_await redis.command(std::move(command));
  if (!reply) co_return Error{reply.error()};
  co_return Ok{};
}

}  // namespace sluice::store
