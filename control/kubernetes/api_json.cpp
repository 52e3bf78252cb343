#include "control/kubernetes/api_json.h"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <limits>
#include <utility>

#include "control/kubernetes/json_document.h"
#include "control/kubernetes/object_check.h"
#include "control/model/key.h"

namespace sluice::kube {

namespace json = boost::json;
using Shape = JsonDocument::Shape;

namespace {

constexpr std::size_t kStatusBytes = 1u << 20;
constexpr std::size_t kLongestMessage = 2000;
constexpr const char* kInitialEventsEnd = "k8s.io/initial-events-end";

// An item of a list has no kind of its own, but for that it must be what is asked for.
Status check_list(v1::Kind kind, const JsonDocument::Envelope& envelope) {
  const std::string wanted = std::string(kind_name(kind)) + "List";
  if (envelope.kind != wanted) {
    return Error{"the list is a \"" + envelope.kind.substr(0, 100) + "\", not a " + wanted};
  }
  if (!envelope.has_items) return Error{"the list has no items"};
  if (envelope.metadata.resource_version.empty()) {
    return Error{"the list has no metadata.resourceVersion"};
  }
  return Ok{};
}

std::string text_of(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_string() ? json::value_to<std::string>(*value) : "";
}

std::optional<std::int64_t> number_of(const json::object& object, const char* name) {
  const json::value* value = object.if_contains(name);
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  return value->get_int64();
}

const json::object& object_of(const json::object& object, const char* name) {
  static const json::object none;
  const json::value* value = object.if_contains(name);
  return value != nullptr && value->is_object() ? value->get_object() : none;
}

std::optional<json::object> parse_small(std::string_view text) {
  if (text.size() > kStatusBytes) return std::nullopt;
  json::error_code error;
  json::value value = json::parse({text.data(), text.size()}, error);
  if (error || !value.is_object()) return std::nullopt;
  return std::move(value.get_object());
}

std::optional<ApiStatus> status_of(const json::object& object) {
  if (text_of(object, "kind") != "Status") return std::nullopt;
  ApiStatus status;
  const std::int64_t code = number_of(object, "code").value_or(0);
  if (code >= 100 && code <= 599) status.code = static_cast<int>(code);
  status.reason = text_of(object, "reason").substr(0, kLongestMessage);
  status.message = text_of(object, "message").substr(0, kLongestMessage);
  status.continue_token = text_of(object_of(object, "metadata"), "continue");
  status.retry_after_seconds = number_of(object_of(object, "details"), "retryAfterSeconds");
  return status;
}

std::optional<WatchEvent::Type> type_of(const std::string& text) {
  using Type = WatchEvent::Type;
  if (text == "ADDED") return Type::kAdded;
  if (text == "MODIFIED") return Type::kModified;
  if (text == "DELETED") return Type::kDeleted;
  if (text == "BOOKMARK") return Type::kBookmark;
  if (text == "ERROR") return Type::kError;
  return std::nullopt;
}

Result<WatchEvent> error_event(std::string_view text) {
  const std::optional<json::object> event = parse_small(text);
  const std::optional<ApiStatus> status =
      event ? status_of(object_of(*event, "object")) : std::nullopt;
  if (!status) return Error{"an ERROR event of the watch has no Status"};
  WatchEvent result;
  result.type = WatchEvent::Type::kError;
  result.status = *status;
  return result;
}

Result<WatchEvent> bookmark(const Decoded& decoded) {
  WatchEvent result;
  result.type = WatchEvent::Type::kBookmark;
  const v1::ObjectMeta& metadata = *metadata_of(decoded.object);
  result.resource_version = metadata.resource_version();
  const auto end = metadata.annotations().find(kInitialEventsEnd);
  result.initial_events_end = end != metadata.annotations().end() && end->second == "true";
  if (result.resource_version.empty()) return Error{"a bookmark without a resourceVersion"};
  return result;
}

}  // namespace

class ListReader::Impl {
 public:
  Impl(v1::Kind wanted, OnItem on_item)
      : kind(wanted),
        document(Shape::kList, wanted, [this, use = std::move(on_item)](Decoded item) {
          check_object(kind, &item);
          use(std::move(item));
        }) {}

  const v1::Kind kind;
  JsonDocument document;
};

ListReader::ListReader(v1::Kind kind, OnItem on_item)
    : impl_(std::make_unique<Impl>(kind, std::move(on_item))) {}
ListReader::~ListReader() = default;

Status ListReader::feed(std::string_view bytes) {
  return impl_->document.feed(bytes);
}

Status ListReader::finish() {
  const Status whole = impl_->document.finish();
  return whole ? check_list(impl_->kind, impl_->document.envelope()) : whole;
}

const ListMetadata& ListReader::metadata() const {
  return impl_->document.envelope().metadata;
}

Result<ListMetadata> decode_list(v1::Kind kind, std::string_view text,
                                 const ListReader::OnItem& on_item) {
  ListReader reader(kind, on_item);
  if (const Status fed = reader.feed(text); !fed) return Error{fed.error()};
  if (const Status whole = reader.finish(); !whole) return Error{whole.error()};
  return reader.metadata();
}

Result<Decoded> decode_object(v1::Kind kind, std::string_view text) {
  Decoded result;
  JsonDocument document(Shape::kObject, kind,
                        [&](Decoded decoded) { result = std::move(decoded); });
  if (const Status fed = document.feed(text); !fed) return Error{fed.error()};
  if (const Status whole = document.finish(); !whole) return Error{whole.error()};
  check_object(kind, &result);
  return result;
}

std::optional<ApiStatus> decode_status(std::string_view text) {
  const std::optional<json::object> object = parse_small(text);
  return object ? status_of(*object) : std::nullopt;
}

// The object may come before its type, so both are read and then looked at.
Result<WatchEvent> decode_event(v1::Kind kind, std::string_view text) {
  std::optional<Decoded> decoded;
  JsonDocument document(Shape::kEvent, kind, [&](Decoded object) { decoded = std::move(object); });
  if (const Status fed = document.feed(text); !fed) return Error{fed.error()};
  if (const Status whole = document.finish(); !whole) return Error{whole.error()};
  const std::string& name = document.envelope().type;
  const std::optional<WatchEvent::Type> type = type_of(name);
  if (!type) return Error{"a watch event of unknown type \"" + name.substr(0, 100) + "\""};
  if (!decoded) return Error{"a watch event without an object"};
  if (*type == WatchEvent::Type::kError) return error_event(text);
  if (*type == WatchEvent::Type::kBookmark) return bookmark(*decoded);
  check_object(kind, &*decoded);
  WatchEvent event;
  event.type = *type;
  event.resource_version = metadata_of(decoded->object)->resource_version();
  event.decoded = std::move(*decoded);
  return event;
}

}  // namespace sluice::kube
