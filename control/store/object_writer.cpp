#include "control/store/object_writer.h"

#include <google/protobuf/util/message_differencer.h>

#include <functional>
#include <map>
#include <unordered_set>
#include <utility>

#include "control/store/endpoint.h"
#include "control/store/keys.h"
#include "control/store/objects.h"

namespace sluice::store {

namespace asio = boost::asio;

namespace {

// Objects encoded and compared at once.
constexpr std::size_t kChunk = 512;
constexpr std::size_t kChunkBytes = 8u << 20;
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

// Of two objects with the same key the last one counts.
std::vector<bool> find_superseded(const PutList& objects) {
  const auto hash = [](const ObjectKey* key) { return std::hash<ObjectKey>()(*key); };
  const auto same = [](const ObjectKey* a, const ObjectKey* b) { return *a == *b; };
  std::unordered_set<const ObjectKey*, decltype(hash), decltype(same)> later(objects.size());
  std::vector<bool> superseded(objects.size());
  for (std::size_t i = objects.size(); i-- > 0;)
    superseded[i] = !later.insert(&objects[i].key).second;
  return superseded;
}

}  // namespace

PutList to_put(const std::string& source, ObjectList objects) {
  PutList list;
  list.reserve(objects.size());
  for (auto& object : objects) {
    ObjectToPut& one = list.emplace_back();
    one.key = key_of(source, *object);
    if (const v1::ObjectMeta* metadata = metadata_of(*object)) one.uid = metadata->uid();
    one.object = std::move(object);
  }
  return list;
}

struct ObjectWriter::Item {
  std::size_t index = 0;  // In the caller's list.
  std::string key;        // In Redis.
  const char* kind = "";
  std::string name;
  std::string uid;
  std::string arrived;
  std::shared_ptr<const std::string> value;  // Of a put.

  std::string text() const { return std::string(kind) + " " + name; }
  std::size_t size() const { return key.size() + (value ? value->size() : 0); }
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
  struct Call {
    ScriptCall head;
    std::size_t begin = 0, end = 0;  // Of its items.
  };
  std::vector<Call> calls;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (calls.empty() || i - calls.back().begin >= kCallObjects ||
        bytes + items[i].size() > kCallBytes) {
      Call& next = calls.emplace_back();
      next.head = call();
      next.head.arguments.push_back(option);
      next.head.arguments.push_back(sent);
      next.begin = i;
      bytes = 0;
    }
    bytes += items[i].size();
    calls.back().end = i + 1;
  }
  FillWords fill = [&calls, &items](std::size_t c, ScriptWords* words) {
    const Call& one = calls[c];
    words->keys.assign(one.head.keys.begin(), one.head.keys.end());
    words->arguments.assign(one.head.arguments.begin(), one.head.arguments.end());
    for (std::size_t i = one.begin; i < one.end; ++i) {
      const Item& item = items[i];
      words->keys.push_back(item.key);
      words->arguments.insert(words->arguments.end(),
                              {item.kind, item.name, item.uid, item.arrived});
      if (item.value) words->arguments.push_back(*item.value);
    }
  };
  auto replies = co_await run_script(redis_, script, calls.size(), std::move(fill));
  if (!replies) co_return Error{replies.error()};
  const std::string what = std::string("script ") + script.name + " of ";
  for (std::size_t c = 0; c < calls.size(); ++c) {
    const RedisValue& reply = (*replies)[c];
    if (reply.is_error()) {
      const std::size_t first = calls[c].begin;
      std::string text = explain_error(what + items[first].text(), reply.text);
      const std::size_t others = items.size() - first - 1;
      if (others > 0) text += "; and " + std::to_string(others) + " others";
      co_return Error{std::move(text)};
    }
    for (std::size_t i = calls[c].begin; i < calls[c].end; ++i) {
      const RedisValue& result = reply.at(i - calls[c].begin);
      if (result.is_error()) {
        written->refused.push_back(explain_error(what + items[i].text(), result.text));
      } else {
        written->changes[items[i].index] = parse_change(result.text);
      }
    }
  }
  co_return Ok{};
}

// Leaves those whose content is not in Redis already.
asio::awaitable<Status> ObjectWriter::drop_equal(std::vector<Item>* items) {
  std::vector<std::string> names;
  names.reserve(items->size());
  for (const Item& item : *items) names.push_back(item.key);
  std::vector<bool> equal(items->size());
  std::function<void(std::size_t, Fetched)> compare = [&](std::size_t i, Fetched old) {
    if (old.state != Fetched::State::kPresent) return;
    const std::string& value = *(*items)[i].value;
    equal[i] = old.bytes == value || same_content(old.bytes, value);
  };
  const Status compared = co_await fetch_each(redis_, std::move(names), std::move(compare));
  if (!compared) co_return Error{compared.error()};
  std::vector<Item> rest;
  for (std::size_t i = 0; i < items->size(); ++i) {
    if (!equal[i]) rest.push_back(std::move((*items)[i]));
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

asio::awaitable<Result<Written>> ObjectWriter::put(PutList objects, Mode mode, Arrivals arrivals) {
  Written written;
  written.changes.assign(objects.size(), Change::kUnchanged);
  const std::vector<bool> superseded = find_superseded(objects);
  std::vector<Item> items;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    ObjectToPut& object = objects[i];
    if (!superseded[i]) {
      const Status usable = check(object);
      if (usable) {
        Item& item = items.emplace_back();
        item.index = i;
        item.key = keys::object(object.key);
        item.kind = kind_name(object.key.kind);
        item.name = keys::object_name(object.key);
        item.uid = std::move(object.uid);
        item.arrived = arrival_text(arrivals, i);
        item.value = std::move(object.encoded);
        bytes += item.size();
      } else {
        written.refused.push_back(usable.error());
      }
    }
    object = {};  // What was written need not be kept.
    const bool last = i + 1 == objects.size();
    if (!last && items.size() < kChunk && bytes < kChunkBytes) continue;
    const Status status = co_await put_some(std::exchange(items, {}), mode, &written);
    if (!status) co_return Error{status.error()};
    bytes = 0;
  }
  co_return written;
}

// Encodes it, if it is not yet.
Status ObjectWriter::check(ObjectToPut& object) const {
  if (!keys::valid(object.key) || object.key.source != source_) {
    return Error{object.key.text() + ": not a name that can be stored"};
  }
  if (!object.encoded) {
    object.encoded = std::make_shared<const std::string>(encode_stamped(*object.object, writer_));
  }
  if (object.encoded->size() > kMaxObjectBytes) {
    return Error{object.key.text() + ": has " + std::to_string(object.encoded->size()) +
                 " bytes, at most " + std::to_string(kMaxObjectBytes) + " can be stored"};
  }
  return Ok{};
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
    item.kind = kind_name(keys[i].kind);
    item.name = keys::object_name(keys[i]);
    item.uid = uids[keys[i]];
    item.arrived = arrival_text(arrivals, i);
  }
  const Status status = co_await run(kDeleteScript, "", std::move(items), &written);
  if (!status) co_return Error{status.error()};
  co_return written;
}

}  // namespace sluice::store
