#include "control/store/publisher.h"

#include <google/protobuf/util/message_differencer.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <set>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/source_hash.h"

namespace sluice::store {

namespace asio = boost::asio;
using google::protobuf::util::MessageDifferencer;

namespace {

constexpr int kMarkerTries = 10;
constexpr int kAcceptSeconds = 600;

// Equal but for who wrote it when.
bool same_content(v1::Object a, v1::Object b) {
  for (v1::Object* object : {&a, &b}) {
    object->mutable_header()->clear_minor();
    object->mutable_header()->clear_writer();
  }
  return MessageDifferencer::Equals(a, b);
}

Change parse_change(const std::string& text) {
  if (text == "created") return Change::kCreated;
  if (text == "configured") return Change::kConfigured;
  if (text == "deleted") return Change::kDeleted;
  if (text == "absent") return Change::kAbsent;
  return Change::kUnchanged;
}

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

}  // namespace

Publisher::Publisher(Redis& redis, std::string source, std::optional<std::uint64_t> token,
                     std::string writer)
    : redis_(redis),
      source_(std::move(source)),
      token_(token ? std::to_string(*token) : std::string()),
      writer_(std::move(writer)),
      incarnation_(random_id()) {}

ScriptCall Publisher::call(const std::string& object_key) const {
  ScriptCall call;
  call.keys = {keys::source(source_), std::string(keys::kStream), std::string(keys::kSources)};
  if (!instance_.empty()) call.keys.push_back(std::string(keys::kLeader));
  if (!object_key.empty()) call.keys.push_back(object_key);
  call.arguments = {source_, token_, instance_, incarnation_};
  return call;
}

asio::awaitable<Result<std::vector<Change>>> Publisher::write_calls(const Script& script,
                                                                    std::vector<ScriptCall> calls) {
  std::vector<std::string> names;
  for (const ScriptCall& one : calls) names.push_back(one.arguments[4] + " " + one.arguments[5]);
  auto replies = co_await run_script(redis_, script, std::move(calls));
  if (!replies) co_return Error{replies.error()};
  std::vector<Change> changes;
  std::size_t refused = 0;
  std::string first;
  for (std::size_t i = 0; i < replies->size(); ++i) {
    const RedisValue& reply = (*replies)[i];
    if (reply.is_error() && refused++ == 0) {
      first = explain_error(std::string("script ") + script.name + " of " + names[i], reply.text);
    }
    changes.push_back(parse_change(reply.text));
  }
  if (refused > 1) first += "; and " + std::to_string(refused - 1) + " others";
  if (refused > 0) co_return Error{first};
  co_return changes;
}

asio::awaitable<Result<std::vector<Change>>> Publisher::write(std::vector<v1::Object> objects,
                                                              bool only_if_absent) {
  std::vector<std::string> names;
  std::map<ObjectKey, std::size_t> last;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const ObjectKey key = key_of(source_, objects[i]);
    if (!keys::valid(key)) co_return Error{key.text() + ": not a name that can be stored"};
    stamp(objects[i].mutable_header(), writer_);
    names.push_back(keys::object(key));
    last[key] = i;
  }
  auto stored = co_await fetch(redis_, names);
  if (!stored) co_return Error{stored.error()};

  std::vector<Change> changes(objects.size(), Change::kUnchanged);
  std::vector<std::size_t> indexes;
  std::vector<ScriptCall> calls;
  for (const auto& [key, i] : last) {
    const Fetched& old = (*stored)[i];
    const Result<v1::Object> decoded = decode_object(key, old.bytes);
    if (old.state == Fetched::State::kPresent && decoded && same_content(*decoded, objects[i])) {
      continue;
    }
    std::string bytes = encode(objects[i]);
    if (bytes.size() > kMaxObjectBytes) {
      co_return Error{key.text() + ": has " + std::to_string(bytes.size()) + " bytes, at most " +
                      std::to_string(kMaxObjectBytes) + " can be stored"};
    }
    ScriptCall& put = calls.emplace_back(call(names[i]));
    for (std::string argument :
         {std::string(kind_name(key.kind)), keys::object_name(key), metadata_of(objects[i])->uid(),
          std::move(bytes), std::string(only_if_absent ? "NX" : "")}) {
      put.arguments.push_back(std::move(argument));
    }
    indexes.push_back(i);
  }
  auto written = co_await write_calls(kPutScript, std::move(calls));
  if (!written) co_return Error{written.error()};
  for (std::size_t i = 0; i < indexes.size(); ++i) changes[indexes[i]] = (*written)[i];
  co_return changes;
}

asio::awaitable<Result<std::vector<Change>>> Publisher::upsert(std::vector<v1::Object> objects) {
  co_return co_await write(std::move(objects), false);
}

asio::awaitable<Result<std::vector<Change>>> Publisher::remove(std::vector<ObjectKey> keys) {
  std::vector<ScriptCall> calls;
  for (const ObjectKey& key : keys) {
    if (!keys::valid(key) || key.source != source_) {
      co_return Error{key.text() + ": not an object of source " + source_};
    }
  }
  auto stored = co_await get_objects(redis_, keys);
  if (!stored) co_return Error{stored.error()};
  std::map<ObjectKey, std::string> uids;
  for (const StoredObject& object : stored->objects) {
    uids[object.key] = metadata_of(object.object)->uid();
  }
  for (const ObjectKey& key : keys) {
    ScriptCall& one = calls.emplace_back(call(keys::object(key)));
    one.arguments.push_back(kind_name(key.kind));
    one.arguments.push_back(keys::object_name(key));
    one.arguments.push_back(uids[key]);
  }
  co_return co_await write_calls(kDeleteScript, std::move(calls));
}

asio::awaitable<Result<PublishReport>> Publisher::publish_all(std::vector<v1::Kind> kinds,
                                                              std::vector<v1::Object> objects,
                                                              std::string cluster_uid) {
  auto before = co_await read_source_hash(redis_, source_);
  if (!before) co_return Error{before.error()};
  if (before->marker && before->marker->cluster_uid() != cluster_uid) {
    co_return Error{"source " + source_ + " is of the cluster with UID " +
                    before->marker->cluster_uid() + ", not of " + cluster_uid +
                    ": give this cluster another name"};
  }
  const std::set<v1::Kind> wanted_kinds(kinds.begin(), kinds.end());
  std::set<ObjectKey> wanted;
  for (const v1::Object& object : objects) wanted.insert(key_of(source_, object));
  std::set<ObjectKey> surplus;
  const Status scanned = co_await scan(
      redis_, std::string(keys::kObjectPrefix) + source_ + ":", [&](std::string name) {
        const auto key = keys::parse_object(name);
        if (key && wanted_kinds.contains(key->kind) && !wanted.contains(*key)) surplus.insert(*key);
      });
  if (!scanned) co_return Error{scanned.error()};

  PublishReport report;
  auto upserts = co_await write(std::move(objects), false);
  if (!upserts) co_return Error{upserts.error()};
  for (const Change change : *upserts) count(change, &report);
  std::vector<ObjectKey> gone(surplus.begin(), surplus.end());
  auto deletes = co_await remove(std::move(gone));
  if (!deletes) co_return Error{deletes.error()};
  for (const Change change : *deletes) count(change, &report);

  v1::SourceMarker marker;
  marker.set_cluster_uid(cluster_uid);
  for (const v1::Kind kind : all_kinds()) {
    if (wanted_kinds.contains(kind) || before->complete(kind)) marker.add_complete(kind);
  }
  const bool changed = report.created + report.configured + report.deleted > 0;
  auto finished = co_await finish(std::move(marker), changed);
  if (!finished) co_return Error{finished.error()};
  report.marker_written = *finished;
  co_return report;
}

asio::awaitable<Result<bool>> Publisher::finish(v1::SourceMarker marker, bool force) {
  stamp(marker.mutable_header(), writer_);
  marker.set_source(source_);
  marker.set_publisher(process_name());
  for (int i = 0; i < kMarkerTries; ++i) {
    auto hash = co_await read_source_hash(redis_, source_);
    if (!hash) co_return Error{hash.error()};
    std::map<v1::Kind, std::set<ObjectKey>> found;
    const Status scanned = co_await scan(redis_, std::string(keys::kObjectPrefix) + source_ + ":",
                                         [&](std::string name) {
                                           const auto key = keys::parse_object(name);
                                           if (key) found[key->kind].insert(*key);
                                         });
    if (!scanned) co_return Error{scanned.error()};
    bool same = hash->marker && !force &&
                hash->marker->reseeded_incarnation() == marker.reseeded_incarnation() &&
                hash->marker->reseeded_sequence() == marker.reseeded_sequence();
    for (const v1::Kind kind : all_kinds()) {
      const bool promised =
          std::ranges::find(marker.complete(), static_cast<int>(kind)) != marker.complete().end();
      same = same && hash->count(kind) == found[kind].size() && hash->complete(kind) == promised;
    }
    if (same) co_return false;

    marker.set_epoch((hash->marker ? hash->marker->epoch() : 0) + 1);
    marker.set_finished_unix_ms(unix_ms());
    ScriptCall raise = call("");
    raise.arguments.push_back(hash->incarnation);
    raise.arguments.push_back(std::to_string(hash->sequence));
    raise.arguments.push_back(encode(marker));
    for (const auto& [kind, objects] : found) {
      raise.arguments.push_back(kind_name(kind));
      raise.arguments.push_back(std::to_string(objects.size()));
    }
    std::vector<ScriptCall> calls;
    calls.push_back(std::move(raise));
    auto replies = co_await run_script(redis_, kMarkerScript, std::move(calls));
    if (!replies) co_return Error{replies.error()};
    if (!replies->front().is_error()) co_return true;
    if (!replies->front().text.starts_with("CHANGED")) {
      co_return Error{explain_error("script marker of " + source_, replies->front().text)};
    }
  }
  co_return Error{"source " + source_ +
                  " is written by others all the time; its marker was not raised"};
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
