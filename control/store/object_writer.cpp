#include "control/store/object_writer.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/objects.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kChunk = 512;  // Objects encoded and compared at once.
// Of one script call, during which Redis serves nobody else.
constexpr std::size_t kCallObjects = 64;
constexpr std::size_t kCallBytes = 1u << 20;

Change parse_change(const std::string& text) {
  if (text == "created") return Change::kCreated;
  if (text == "configured") return Change::kConfigured;
  if (text == "deleted") return Change::kDeleted;
  if (text == "absent") return Change::kAbsent;
  return Change::kUnchanged;
}

std::string microseconds_text(std::chrono::system_clock::time_point time) {
  const auto since = std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch());
  return std::to_string(since.count());
}

std::string arrival_text(const Arrivals& arrivals, std::size_t i) {
  return i < arrivals.size() ? microseconds_text(arrivals[i]) : std::string();
}

// Equal but for who wrote it when.
bool same_content(const std::string& a, const std::string& b) {
  v1::Object one, two;
  if (!one.ParseFromString(a) || !two.ParseFromString(b)) return false;
  for (v1::Object* object : {&one, &two}) {
    object->mutable_header()->clear_minor();
    object->mutable_header()->clear_writer();
  }
  return google::protobuf::util::MessageDifferencer::Equals(one, two);
}

}  // namespace

struct ObjectWriter::Item {
  std::size_t index = 0;               // In the caller's list.
  std::string key;                     // In Redis.
  std::vector<std::string> arguments;  // Kind, name, uid, arrival, and of a put the value.

  std::string text() const { return arguments[0] + " " + arguments[1]; }
  std::size_t size() const { return key.size() + arguments.back().size(); }
};

ObjectWriter::ObjectWriter(Redis& redis, std::string source, std::string token, std::string writer)
    : redis_(redis),
      source_(std::move(source)),
      token_(std::move(token)),
      writer_(std::move(writer)),
      id_(random_id()) {}

std::string ObjectWriter::new_incarnation() {
  return id_ + "-" + std::to_string(++incarnations_);
}

ScriptCall ObjectWriter::call() {
  ScriptCall call;
  call.keys = {keys::source(source_), std::string(keys::kStream), std::string(keys::kSources)};
  if (!instance_.empty()) call.keys.push_back(std::string(keys::kLeader));
  call.arguments = {source_, token_, instance_, new_incarnation()};
  return call;
}

asio::awaitable<Status> ObjectWriter::run(const Script& script, std::string option,
                                          std::vector<Item> items, Written* written) {
  const std::string sent = microseconds_text(std::chrono::system_clock::now());
  std::vector<ScriptCall> calls;
  std::vector<std::size_t> ends;  // Of each call's items.
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::size_t begun = ends.size() < 2 ? 0 : ends[ends.size() - 2];
    if (calls.empty() || i - begun >= kCallObjects || bytes + items[i].size() > kCallBytes) {
      calls.push_back(call());
      calls.back().arguments.push_back(option);
      calls.back().arguments.push_back(sent);
      ends.push_back(i);
      bytes = 0;
    }
    bytes += items[i].size();
    calls.back().keys.push_back(items[i].key);
    std::ranges::copy(items[i].arguments, std::back_inserter(calls.back().arguments));
    ends.back() = i + 1;
  }
  for (Item& item : items) item.arguments.resize(2);
  auto replies = co_await run_script(redis_, script, std::move(calls));
  if (!replies) co_return Error{replies.error()};
  std::size_t at = 0;
  for (std::size_t c = 0; c < replies->size(); ++c) {
    const RedisValue& reply = (*replies)[c];
    const std::string what = std::string("script ") + script.name + " of ";
    if (reply.is_error()) {
      std::string text = explain_error(what + items[at].text(), reply.text);
      if (ends.back() - at > 1) text += "; and " + std::to_string(ends.back() - at - 1) + " others";
      co_return Error{std::move(text)};
    }
    for (std::size_t n = 0; at < ends[c]; ++at, ++n) {
      const RedisValue& result = reply.at(n);
      if (result.is_error()) {
        written->refused.push_back(explain_error(what + items[at].text(), result.text));
      } else {
        written->changes[items[at].index] = parse_change(result.text);
      }
    }
  }
  co_return Ok{};
}

// Leaves those whose content is not in Redis already.
asio::awaitable<Status> ObjectWriter::drop_equal(std::vector<Item>* items) {
  std::vector<std::string> names;
  for (const Item& item : *items) names.push_back(item.key);
  auto stored = co_await fetch(redis_, std::move(names));
  if (!stored) co_return Error{stored.error()};
  std::vector<Item> rest;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const Fetched& old = (*stored)[i];
    const std::string& value = (*items)[i].arguments.back();
    const bool there = old.state == Fetched::State::kPresent;
    if (there && (old.bytes == value || same_content(old.bytes, value))) continue;
    rest.push_back(std::move((*items)[i]));
  }
  *items = std::move(rest);
  co_return Ok{};
}

asio::awaitable<Status> ObjectWriter::put_some(std::vector<Item> items, Mode mode,
                                               Written* written) {
  if (mode != Mode::kByScript) {
    const Status compared = co_await drop_equal(&items);
    if (!compared) co_return Error{compared.error()};
  }
  co_return co_await run(kPutScript, mode == Mode::kAbsent ? "NX" : "", std::move(items), written);
}

asio::awaitable<Result<Written>> ObjectWriter::put(ObjectList objects, Mode mode,
                                                   Arrivals arrivals) {
  std::map<ObjectKey, std::size_t> last;
  for (std::size_t i = 0; i < objects.size(); ++i) last[key_of(source_, *objects[i])] = i;
  Written written;
  written.changes.assign(objects.size(), Change::kUnchanged);
  std::vector<Item> items;
  std::size_t left = last.size();
  for (const auto& [key, i] : last) {
    --left;
    std::string value;
    if (!keys::valid(key)) {
      written.refused.push_back(key.text() + ": not a name that can be stored");
    } else if (value = encode_stamped(*objects[i], writer_); value.size() > kMaxObjectBytes) {
      written.refused.push_back(key.text() + ": has " + std::to_string(value.size()) +
                                " bytes, at most " + std::to_string(kMaxObjectBytes) +
                                " can be stored");
    } else {
      Item& item = items.emplace_back();
      item.index = i;
      item.key = keys::object(key);
      item.arguments.reserve(5);
      item.arguments.emplace_back(kind_name(key.kind));
      item.arguments.push_back(keys::object_name(key));
      item.arguments.push_back(metadata_of(*objects[i])->uid());
      item.arguments.push_back(arrival_text(arrivals, i));
      item.arguments.push_back(std::move(value));
    }
    if (items.size() < kChunk && left > 0) continue;
    const Status status = co_await put_some(std::exchange(items, {}), mode, &written);
    if (!status) co_return Error{status.error()};
  }
  co_return written;
}

asio::awaitable<Result<Written>> ObjectWriter::erase(std::vector<ObjectKey> keys,
                                                     Arrivals arrivals) {
  auto stored = co_await get_objects(redis_, keys);
  if (!stored) co_return Error{stored.error()};
  std::map<ObjectKey, std::string> uids;
  for (const StoredObject& object : stored->objects) {
    uids[object.key] = metadata_of(object.object)->uid();
  }
  Written written;
  written.changes.assign(keys.size(), Change::kAbsent);
  std::vector<Item> items;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    Item& item = items.emplace_back();
    item.index = i;
    item.key = keys::object(keys[i]);
    item.arguments.emplace_back(kind_name(keys[i].kind));
    item.arguments.push_back(keys::object_name(keys[i]));
    item.arguments.push_back(uids[keys[i]]);
    item.arguments.push_back(arrival_text(arrivals, i));
  }
  const Status status = co_await run(kDeleteScript, "", std::move(items), &written);
  if (!status) co_return Error{status.error()};
  co_return written;
}

}  // namespace sluice::store
