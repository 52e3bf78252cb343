#include "control/kubernetes/json_document.h"

#include <boost/json/basic_parser_impl.hpp>
#include <utility>

#include "control/kubernetes/object_builder.h"

namespace sluice::kube {

namespace json = boost::json;
using json::error_code;

// Called by the parser for each event. Outside of objects only the outermost level and a list's
// metadata are looked at.
class JsonDocument::Handler {
 public:
  static constexpr std::size_t max_object_size = std::size_t(-1);
  static constexpr std::size_t max_array_size = std::size_t(-1);
  static constexpr std::size_t max_key_size = 1u << 20;
  static constexpr std::size_t max_string_size = 4u << 20;

  Handler(Shape shape, v1::Kind kind, std::function<void(Decoded)> on_object)
      : shape_(shape), on_object_(std::move(on_object)), builder_(kind) {}

  const Envelope& envelope() const { return envelope_; }
  const std::string& problem() const { return problem_; }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& error) { return open(false, error); }
  bool on_object_end(std::size_t, error_code&) { return close(); }
  bool on_array_begin(error_code& error) { return open(true, error); }
  bool on_array_end(std::size_t, error_code&) { return close(); }
  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    parts_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view last, std::size_t, error_code&) {
    key(whole(last));
    parts_.clear();
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    if (!builder_.skipping()) parts_.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view last, std::size_t, error_code& error) {
    const bool good = text(whole(last), error);
    parts_.clear();
    return good;
  }
  bool on_number_part(json::string_view part, error_code&) {
    if (parts_.size() < kShownNumber) parts_.append(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t value, json::string_view, error_code& error) {
    parts_.clear();
    if (builder_.active()) {
      builder_.integer(value);
      return true;
    }
    if (in_metadata() && key_ == "remainingItemCount") {
      envelope_.metadata.remaining_item_count = value;
    }
    return scalar(error);
  }
  bool on_uint64(std::uint64_t, json::string_view last, error_code& error) {
    return odd_number(last, error);
  }
  bool on_double(double, json::string_view last, error_code& error) {
    return odd_number(last, error);
  }
  bool on_bool(bool value, error_code& error) {
    if (!builder_.active()) return scalar(error);
    builder_.boolean(value);
    return true;
  }
  bool on_null(error_code& error) {
    if (builder_.active()) {
      builder_.null();
      return true;
    }
    // An empty list of Go is null.
    if (depth_ == 1 && shape_ == Shape::kList && key_ == "items") envelope_.has_items = true;
    return depth_ == 0 || at_element() ? scalar(error) : true;
  }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

 private:
  static constexpr std::size_t kShownNumber = 100;

  std::string_view whole(json::string_view last) {
    if (parts_.empty()) return {last.data(), last.size()};
    parts_.append(last.data(), last.size());
    return parts_;
  }

  bool in_metadata() const { return place_ == Place::kMetadata && depth_ == 2; }
  // Where each value must be an object of ours.
  bool at_element() const { return place_ == Place::kItems && depth_ == 2; }
  bool object_expected() const {
    switch (shape_) {
      case Shape::kObject:
        return depth_ == 0;
      case Shape::kList:
        return at_element();
      case Shape::kEvent:
        return depth_ == 1 && key_ == "object";
    }
    return false;
  }

  bool refuse(const char* what, error_code& error) {
    problem_ = what;
    error = json::error::syntax;
    return false;
  }

  void key(std::string_view name) {
    if (builder_.active()) {
      builder_.key(name);
    } else if (depth_ == 1 || in_metadata()) {
      key_ = name;
    }
  }

  bool open(bool array, error_code& error) {
    if (builder_.active()) {
      builder_.open(array);
      return true;
    }
    if (object_expected()) {
      if (array) return refuse("a list stands where an object belongs", error);
      decoded_ = {};
      builder_.begin(&decoded_);
      return true;
    }
    if (depth_ == 0 && array) return refuse("a list stands where an object belongs", error);
    if (depth_ == 1 && shape_ == Shape::kList) {
      if (key_ == "items" && !array) return refuse("items is an object, not a list", error);
      place_ = key_ == "items"                ? Place::kItems
               : key_ == "metadata" && !array ? Place::kMetadata
                                              : Place::kElsewhere;
      envelope_.has_items |= place_ == Place::kItems;
    }
    ++depth_;
    return true;
  }

  bool close() {
    if (!builder_.active()) {
      if (--depth_ == 1) place_ = Place::kElsewhere;
      return true;
    }
    builder_.close();
    if (!builder_.active()) on_object_(std::move(decoded_));
    return true;
  }

  bool text(std::string_view value, error_code& error) {
    if (builder_.active()) {
      builder_.text(value);
      return true;
    }
    if (depth_ == 1 && key_ == "kind") envelope_.kind = value;
    if (depth_ == 1 && key_ == "type") envelope_.type = value;
    if (in_metadata() && key_ == "resourceVersion") envelope_.metadata.resource_version = value;
    if (in_metadata() && key_ == "continue") envelope_.metadata.continue_token = value;
    return scalar(error);
  }

  bool odd_number(json::string_view last, error_code& error) {
    const std::string_view number = whole(last);
    if (builder_.active()) builder_.odd_number(number);
    const bool active = builder_.active();
    parts_.clear();
    return active || scalar(error);
  }

  // A value that is neither object nor list, outside of objects.
  bool scalar(error_code& error) {
    const bool items = depth_ == 1 && shape_ == Shape::kList && key_ == "items";
    if (items) return refuse("items is not a list", error);
    if (object_expected() || depth_ == 0)
      return refuse("a value stands where an object belongs", error);
    return true;
  }

  enum class Place { kElsewhere, kMetadata, kItems };

  const Shape shape_;
  const std::function<void(Decoded)> on_object_;
  ObjectBuilder builder_;
  Decoded decoded_;
  Envelope envelope_;
  std::string problem_;
  std::string parts_;      // Of a text, key or number that arrives in several.
  std::string key_;        // Of the outermost level or of metadata.
  std::size_t depth_ = 0;  // Open containers, without those of the builder.
  Place place_ = Place::kElsewhere;
};

struct JsonDocument::Parser {
  static json::parse_options options() {
    json::parse_options options;
    options.max_depth = 64;
    return options;
  }
  Parser(Shape shape, v1::Kind kind, std::function<void(Decoded)> on_object)
      : parser(options(), shape, kind, std::move(on_object)) {}

  Status write(std::string_view bytes, bool more) {
    if (!error.empty()) return Error{error};
    error_code code;
    const std::size_t used = parser.write_some(more, bytes.data(), bytes.size(), code);
    offset += used;
    if (!code && used < bytes.size() &&
        bytes.find_first_not_of(" \t\r\n", used) != std::string_view::npos) {
      code = json::error::extra_data;
    }
    if (!code) return Ok{};
    const std::string& problem = parser.handler().problem();
    error = "not the JSON expected, at byte " + std::to_string(offset) + ": " +
            (problem.empty() ? code.message() : problem);
    return Error{error};
  }

  json::basic_parser<Handler> parser;
  std::size_t offset = 0;
  std::string error;
};

JsonDocument::JsonDocument(Shape shape, v1::Kind kind, std::function<void(Decoded)> on_object)
    : parser_(std::make_unique<Parser>(shape, kind, std::move(on_object))) {}

JsonDocument::~JsonDocument() = default;

Status JsonDocument::feed(std::string_view bytes) {
  return parser_->write(bytes, true);
}

Status JsonDocument::finish() {
  return parser_->write({}, false);
}

const JsonDocument::Envelope& JsonDocument::envelope() const {
  return parser_->parser.handler().envelope();
}

}  // namespace sluice::kube
