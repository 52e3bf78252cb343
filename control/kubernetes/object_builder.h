// ObjectBuilder: the JSON events of one object to its message.
// Purpose: what JsonDocument (api_json.cpp) hands it between an object's braces goes into fields by
// their names; the rest is counted, reported or passed over. Ownership: writes into the Decoded
// given to begin(). Thread: one, pure. Bounds: an object may grow to 8 MiB, then it is an error of
// that object. Errors: the first one, with the path of its field, in Decoded.error; then the rest
// of the object is still read, so that its name is known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/kubernetes/api_json.h"
#include "control/kubernetes/message_fields.h"

namespace sluice::kube {

class ObjectBuilder {
 public:
  explicit ObjectBuilder(v1::Kind kind);

  // At the object's opening brace.
  void begin(Decoded* out);
  // Between begin() and the matching closing brace.
  bool active() const { return !frames_.empty(); }
  // Whether a text that comes now is of no use, so that its parts need not be kept.
  bool skipping() const { return skip_depth_ > 0 || (skip_next_ && !frames_.empty()); }

  void key(std::string_view name);
  void open(bool array);
  void close();
  void text(std::string_view value);
  void integer(std::int64_t value);
  void boolean(bool value);
  void null();
  // A number of any other shape, as `text` says.
  void odd_number(std::string_view text);

 private:
  struct Frame {
    google::protobuf::Message* message = nullptr;  // Of the object, or that holds array or map.
    const MessageFields* type = nullptr;           // Of an object.
    const FieldInfo* field = nullptr;              // Object: the current one. Else: what it is.
    int index = -1;                                // Of an array: the current element.
    enum class Kind { kObject, kArray, kMap } kind = Kind::kObject;
  };

  // What the value that begins now is for; null: it is passed over.
  const FieldInfo* target();
  bool consume_skipped();
  void fail(const std::string& what);
  void unknown_field(std::string_view name);
  bool charge(std::size_t bytes);
  std::string path(bool with_index) const;
  void set_text(const FieldInfo& field, std::string_view value);
  void open_element(const FieldInfo& field);

  v1::Kind kind_;
  Decoded* out_ = nullptr;
  std::vector<Frame> frames_;
  std::string map_key_;
  std::size_t skip_depth_ = 0;  // Open containers within one that is passed over.
  bool skip_next_ = false;      // The value of this key is passed over.
  bool root_kind_ = false;      // The value of this key is the object's "kind".
  std::size_t budget_ = 0;      // Bytes it may still grow.
};

}  // namespace sluice::kube
