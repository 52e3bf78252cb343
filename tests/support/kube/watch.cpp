#include "tests/support/kube/watch.h"

#include <algorithm>
#include <cstdio>

namespace sluice::test::kube {
namespace {

constexpr std::chrono::seconds kLastBookmark{2};  // Before the end, as the real server.
constexpr std::size_t kBatch = 256;

void append_chunk(std::string& out, std::initializer_list<std::string_view> parts) {
  std::size_t length = 0;
  for (const std::string_view part : parts) length += part.size();
  char head[24];
  std::snprintf(head, sizeof head, "%zx\r\n", length);
  out += head;
  for (const std::string_view part : parts) out += part;
  out += "\r\n";
}

// An object with another resourceVersion.
std::string with_version(const Stored& object, std::uint64_t version) {
  const std::string old = "\"resourceVersion\":\"" + std::to_string(object.version) + "\"";
  std::string text = object.json;
  const std::size_t place = text.find(old);
  if (place != std::string::npos) {
    text.replace(place, old.size(), "\"resourceVersion\":\"" + std::to_string(version) + "\"");
  }
  return text;
}

}  // namespace

std::string chunk(std::string_view data) {
  std::string out;
  append_chunk(out, {data});
  return out;
}

Watch::Watch(const Store& store, WatchRequest request, std::chrono::milliseconds bookmark_interval,
             Clock::time_point now)
    : store_(store),
      request_(std::move(request)),
      bookmark_interval_(bookmark_interval),
      next_bookmark_(now + bookmark_interval),
      last_bookmark_(now + request_.timeout - kLastBookmark),
      end_(now + request_.timeout),
      cursor_(request_.version),
      told_(request_.version) {}

Watch::Clock::time_point Watch::due() const {
  if (!request_.bookmarks) return end_;
  const Clock::time_point last = last_bookmark_sent_ ? end_ : last_bookmark_;
  return std::min({end_, next_bookmark_, last});
}

void Watch::add_event(std::string_view type, std::string_view object) {
  append_chunk(*out_, {R"({"type":")", type, R"(","object":)", object, "}\n"});
  ++events_;
}

void Watch::add_bookmark(bool initial_end) {
  const Resource& resource = *request_.resource;
  std::string object = "{\"kind\":\"" + std::string(resource.kind) + "\",\"apiVersion\":\"" +
                       api_version(resource) + "\",\"metadata\":{\"resourceVersion\":\"" +
                       std::to_string(cursor_) + "\",\"creationTimestamp\":null";
  if (initial_end) object += R"(,"annotations":{"k8s.io/initial-events-end":"true"})";
  object += "}";
  if (!resource.bookmark.empty()) object.append(",").append(resource.bookmark);
  object += "}";
  add_event("BOOKMARK", object);
  told_ = cursor_;
}

void Watch::add_initial() {
  Objects all;
  if (!store_.objects_at(*request_.resource, request_.version, all)) return;
  for (const auto& [key, object] : all) {
    if (selected(request_, *object)) add_event("ADDED", object->json);
  }
  if (request_.initial_end) add_bookmark(true);
}

void Watch::add_change(const Change& change) {
  cursor_ = change.version;
  if (change.resource != request_.resource) return;
  const bool before = change.before != nullptr && selected(request_, *change.before);
  const bool after = change.type != ChangeType::kDeleted && selected(request_, *change.object);
  if (!before && !after) return;
  if (after) {
    add_event(before ? "MODIFIED" : "ADDED", change.object->json);
  } else if (change.type == ChangeType::kDeleted) {
    add_event("DELETED", change.object->json);
  } else {  // Lost the label it was selected by: its old state, at the new version.
    add_event("DELETED", with_version(*change.before, change.version));
  }
  told_ = change.version;
}

bool Watch::next(std::string& out, std::size_t enough, Clock::time_point now) {
  out_ = &out;
  if (!started_) {
    started_ = true;
    if (request_.initial) add_initial();
  }
  while (out.size() < enough) {
    changes_.clear();
    if (!store_.changes_after(cursor_, kBatch, changes_)) {
      const Answer answer = expired("too old resource version: " + std::to_string(cursor_) + " (" +
                                    std::to_string(store_.oldest()) + ")");
      add_event("ERROR", std::string_view(answer.body).substr(0, answer.body.size() - 1));
      out += kLastChunk;
      return false;
    }
    if (changes_.empty()) break;
    for (const Change& change : changes_) add_change(change);
  }
  if (request_.bookmarks && !last_bookmark_sent_ && now >= last_bookmark_) {
    last_bookmark_sent_ = true;
    if (cursor_ > request_.version) add_bookmark(false);
  } else if (request_.bookmarks && now >= next_bookmark_) {
    add_bookmark(false);
  }
  if (now >= next_bookmark_) next_bookmark_ = now + bookmark_interval_;
  if (now < end_) return true;
  out += kLastChunk;
  return false;
}

}  // namespace sluice::test::kube
