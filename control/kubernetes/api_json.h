// The API server's JSON to messages: lists, objects, watch events, Statuses.
// Parsed as it streams by, with no tree of it in memory: memory is that of one object. Dropped on
// the way: managedFields and the annotation kubectl.kubernetes.io/last-applied-configuration.
// Ownership: by value. Thread: any, pure. Bounds: 64 levels, names 1 MiB, texts 4 MiB.
// Errors: what is wrong with one object ends neither the list nor the watch, see Decoded; an Error
// is given only for what is not JSON, or not a list or event at all.
// Source: Kubernetes API reference; api-conventions.md, "Lists and Simple kinds", watch protocol.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proto/result.h"
#include "store.pb.h"

namespace sluice::kube {

struct Decoded {
  // Content of the wanted kind as the server sent it, with an error as far as it could be read;
  // header.unknown_fields, the rest of the header is its writer's to fill (store::stamp).
  v1::Object object;
  // Not empty: not to be used, and what is known of an object of that name is to be kept. Without
  // metadata.name any object may be meant: then nothing that is missing may count as deleted.
  // "spec.ports[0].port: \"x\" is not a number".
  std::string error;
  // What was left out of a usable object: "endpoints[2].addresses[0]: ...". At most 20.
  std::vector<std::string> problems;
};

struct ListMetadata {
  std::string resource_version;
  std::string continue_token;  // Empty: this was the last page.
  std::optional<std::int64_t> remaining_item_count;
};

// One LIST body, in pieces of any size. Kinds: Service, EndpointSlice, Node, Namespace.
class ListReader {
 public:
  using OnItem = std::function<void(Decoded)>;

  ListReader(v1::Kind kind, OnItem on_item);
  ~ListReader();
  ListReader(const ListReader&) = delete;
  ListReader& operator=(const ListReader&) = delete;

  // Items are given as soon as they are whole. After an Error nothing more may be fed.
  Status feed(std::string_view bytes);
  // An Error if the list is not whole, or had no resourceVersion: then items must count for
  // nothing.
  Status finish();
  const ListMetadata& metadata() const;  // Complete after finish().

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// A whole LIST body at once.
Result<ListMetadata> decode_list(v1::Kind kind, std::string_view json,
                                 const ListReader::OnItem& on_item);

// One object, as GET answers. An Error only for what is no JSON object.
Result<Decoded> decode_object(v1::Kind kind, std::string_view json);

// metav1.Status: the body of an error answer and of a watch's ERROR event.
struct ApiStatus {
  int code = 0;
  std::string reason;  // "Expired", "Gone", "Conflict", ...
  std::string message;
  std::string continue_token;  // With an expired one: where a list may be resumed, inconsistently.
  std::optional<std::int64_t> retry_after_seconds;
};
// nullopt if it is not a Status.
std::optional<ApiStatus> decode_status(std::string_view json);

struct WatchEvent {
  enum class Type { kAdded, kModified, kDeleted, kBookmark, kError };
  Type type = Type::kError;
  Decoded decoded;                  // Of kAdded, kModified, kDeleted.
  std::string resource_version;     // Of all but kError.
  bool initial_events_end = false;  // Bookmark: everything there was has been sent.
  ApiStatus status;                 // Of kError.
};
Result<WatchEvent> decode_event(v1::Kind kind, std::string_view json);

// Splits a watch's body into its events: the server ends each with a newline, which JSON has
// nowhere inside a text.
class JsonLines {
 public:
  explicit JsonLines(std::size_t max_bytes = 4u << 20) : max_bytes_(max_bytes) {}

  // An Error when an unfinished event has more bytes than allowed: begin the watch anew.
  Status feed(std::string_view bytes);
  // The next whole event, valid until the next feed(); nullopt: feed more.
  std::optional<std::string_view> next();
  // Whether an unfinished event is left: at the end of a watch, that it was cut off.
  bool partial() const { return begin_ < buffer_.size(); }

 private:
  std::size_t max_bytes_;
  std::string buffer_;
  std::size_t begin_ = 0;     // Of the first event not given out.
  std::size_t searched_ = 0;  // No newline between begin_ and here.
};

}  // namespace sluice::kube
