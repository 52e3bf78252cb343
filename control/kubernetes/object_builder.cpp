#include "control/kubernetes/object_builder.h"

#include <google/protobuf/message.h>

#include <limits>

#include "control/model/key.h"

namespace sluice::kube {
namespace {

using google::protobuf::Message;
using Type = FieldInfo::Type;

constexpr std::size_t kObjectBytes = 8u << 20;
constexpr std::size_t kElementBytes = 100;  // About what a message takes by itself.
constexpr int kMaxUnknown = 50;
constexpr std::size_t kShownText = 100;
constexpr std::string_view kLastApplied = "kubectl.kubernetes.io/last-applied-configuration";

// What came from outside, fit for a log line and for a message's field: short, and ASCII.
std::string shown(std::string_view text) {
  std::string out(text.substr(0, kShownText));
  for (char& c : out) {
    if (c < 0x20 || c > 0x7e) c = '?';
  }
  return text.size() > kShownText ? out + "..." : out;
}

std::string quoted(std::string_view text) {
  return "\"" + shown(text) + "\"";
}

std::string expected(const FieldInfo& field, bool element) {
  if (field.repeated && !element) return "a list";
  switch (field.type) {
    case Type::kString:
      return "a text";
    case Type::kInt32:
    case Type::kInt64:
      return "a whole number";
    case Type::kBool:
      return "true or false";
    case Type::kIntOrString:
      return "a number or a name";
    case Type::kMessage:
    case Type::kMap:
    case Type::kPassedOver:
      break;
  }
  return "an object";
}

}  // namespace

ObjectBuilder::ObjectBuilder(v1::Kind kind) : kind_(kind) {
  frames_.reserve(16);
}

void ObjectBuilder::begin(Decoded* out) {
  out_ = out;
  frames_.clear();
  skip_depth_ = 0;
  skip_next_ = root_kind_ = false;
  budget_ = kObjectBytes;
  Frame root;
  root.message = mutable_content(&out->object, kind_);
  root.type = fields_of(kind_);
  frames_.push_back(root);
}

std::string ObjectBuilder::path(bool with_index) const {
  std::string text;
  for (const Frame& frame : frames_) {
    if (frame.kind == Frame::Kind::kArray) {
      text += with_index ? "[" + std::to_string(frame.index) + "]" : "[]";
    } else if (frame.kind == Frame::Kind::kMap) {
      text += "[" + shown(map_key_) + "]";
    } else if (frame.field != nullptr) {
      text += (text.empty() ? "" : ".") + frame.field->name;
    }
  }
  return text;
}

void ObjectBuilder::fail(const std::string& what) {
  if (out_->error.empty()) out_->error = path(true) + ": " + what;
}

bool ObjectBuilder::charge(std::size_t bytes) {
  if (bytes <= budget_) {
    budget_ -= bytes;
    return true;
  }
  budget_ = 0;
  fail("the object is larger than any the API server takes");
  return false;
}

void ObjectBuilder::unknown_field(std::string_view name) {
  auto* names = out_->object.mutable_header()->mutable_unknown_fields();
  if (names->size() >= kMaxUnknown) return;
  frames_.back().field = nullptr;
  const std::string parent = path(false);
  const std::string full = (parent.empty() ? "" : parent + ".") + shown(name);
  for (const std::string& known : *names) {
    if (known == full) return;
  }
  names->Add(std::string(full));
}

void ObjectBuilder::key(std::string_view name) {
  if (skip_depth_ > 0) return;
  Frame& frame = frames_.back();
  if (frame.kind == Frame::Kind::kMap) {
    map_key_ = name;
    skip_next_ = name == kLastApplied;
    return;
  }
  frame.field = frame.type->find(name);
  root_kind_ = frames_.size() == 1 && name == "kind";
  if (frame.field == nullptr && frame.type->report_unknown) unknown_field(name);
  skip_next_ = frame.field == nullptr || frame.field->type == Type::kPassedOver;
}

bool ObjectBuilder::consume_skipped() {
  if (skip_depth_ > 0) return true;
  const bool skipped = skip_next_;
  skip_next_ = false;
  return skipped;
}

const FieldInfo* ObjectBuilder::target() {
  if (consume_skipped()) return nullptr;
  Frame& frame = frames_.back();
  if (frame.kind == Frame::Kind::kArray) {
    ++frame.index;
    if (!charge(kElementBytes)) return nullptr;
  }
  return frame.field;
}

void ObjectBuilder::open_element(const FieldInfo& field) {
  Message* parent = frames_.back().message;
  Frame frame;
  if (field.type == Type::kMap) {
    frame.kind = Frame::Kind::kMap;
    frame.message = parent;
    frame.field = &field;
    field.map(parent)->clear();
  } else {
    const auto* reflection = parent->GetReflection();
    frame.type = field.fields;
    frame.message = field.repeated ? reflection->AddMessage(parent, field.field)
                                   : reflection->MutableMessage(parent, field.field);
  }
  frames_.push_back(frame);
}

void ObjectBuilder::open(bool array) {
  const FieldInfo* field = target();
  if (field == nullptr) {
    ++skip_depth_;
    return;
  }
  const Frame& top = frames_.back();
  const bool element = top.kind == Frame::Kind::kArray;
  if (array && field->repeated && !element) {
    Frame frame;
    frame.kind = Frame::Kind::kArray;
    frame.message = top.message;
    frame.field = field;
    top.message->GetReflection()->ClearField(top.message, field->field);
    frames_.push_back(frame);
    return;
  }
  const bool holds_fields = field->type == Type::kMessage || field->type == Type::kMap;
  const bool fits =
      !array && holds_fields && top.kind != Frame::Kind::kMap && field->repeated == element;
  if (fits) {
    open_element(*field);
    return;
  }
  fail("expected " + (top.kind == Frame::Kind::kMap ? "a text" : expected(*field, element)) +
       ", found " + (array ? "a list" : "an object"));
  ++skip_depth_;
}

void ObjectBuilder::close() {
  if (skip_depth_ > 0) {
    --skip_depth_;
  } else {
    frames_.pop_back();
  }
}

void ObjectBuilder::set_text(const FieldInfo& field, std::string_view value) {
  Frame& frame = frames_.back();
  const auto* reflection = frame.message->GetReflection();
  if (field.type == Type::kIntOrString) {
    Message* message = reflection->MutableMessage(frame.message, field.field);
    static_cast<v1::IntOrString*>(message)->set_name(std::string(value));
  } else if (field.repeated) {
    reflection->AddString(frame.message, field.field, std::string(value));
  } else {
    reflection->SetString(frame.message, field.field, std::string(value));
  }
}

void ObjectBuilder::text(std::string_view value) {
  if (root_kind_ && skip_depth_ == 0) {
    root_kind_ = false;
    if (value != kind_name(kind_)) {
      fail("is " + quoted(value) + ", not " + kind_name(kind_));
    }
  }
  const FieldInfo* field = target();
  if (field == nullptr || !charge(value.size())) return;
  const Frame& frame = frames_.back();
  const bool element = frame.kind == Frame::Kind::kArray;
  if (frame.kind == Frame::Kind::kMap) {
    if (charge(map_key_.size() + kElementBytes)) {
      (*field->map(frame.message))[map_key_] = std::string(value);
    }
  } else if ((field->type == Type::kString || field->type == Type::kIntOrString) &&
             field->repeated == element) {
    set_text(*field, value);
  } else {
    fail("expected " + expected(*field, element) + ", found " + quoted(value));
  }
}

void ObjectBuilder::integer(std::int64_t value) {
  const FieldInfo* field = target();
  if (field == nullptr) return;
  const Frame& frame = frames_.back();
  const bool element = frame.kind == Frame::Kind::kArray;
  const bool small = value >= std::numeric_limits<std::int32_t>::min() &&
                     value <= std::numeric_limits<std::int32_t>::max();
  const auto* reflection = frame.message->GetReflection();
  if (frame.kind == Frame::Kind::kMap || field->repeated) {
    fail("expected " + (field->repeated ? expected(*field, element) : "a text") + ", found " +
         std::to_string(value));
  } else if (field->type == Type::kInt64) {
    reflection->SetInt64(frame.message, field->field, value);
  } else if (field->type == Type::kInt32 && small) {
    reflection->SetInt32(frame.message, field->field, static_cast<std::int32_t>(value));
  } else if (field->type == Type::kIntOrString && small) {
    Message* message = reflection->MutableMessage(frame.message, field->field);
    static_cast<v1::IntOrString*>(message)->set_number(static_cast<std::int32_t>(value));
  } else if (field->type == Type::kInt32 || field->type == Type::kIntOrString) {
    fail(std::to_string(value) + " is out of range");
  } else {
    fail("expected " + expected(*field, element) + ", found " + std::to_string(value));
  }
}

void ObjectBuilder::boolean(bool value) {
  const FieldInfo* field = target();
  if (field == nullptr) return;
  const Frame& frame = frames_.back();
  if (frame.kind == Frame::Kind::kObject && field->type == Type::kBool && !field->repeated) {
    frame.message->GetReflection()->SetBool(frame.message, field->field, value);
    return;
  }
  const std::string wanted = frame.kind == Frame::Kind::kMap
                                 ? "a text"
                                 : expected(*field, frame.kind == Frame::Kind::kArray);
  fail("expected " + wanted + ", found " + (value ? "true" : "false"));
}

// As in the API server's own decoder a null is a field that is not there.
void ObjectBuilder::null() {
  const FieldInfo* field = target();
  if (field == nullptr) return;
  const Frame& frame = frames_.back();
  if (frame.kind == Frame::Kind::kArray) {
    fail("expected " + expected(*field, true) + ", found null");
  } else if (frame.kind == Frame::Kind::kMap && charge(map_key_.size() + kElementBytes)) {
    (*field->map(frame.message))[map_key_].clear();
  }
}

void ObjectBuilder::odd_number(std::string_view text) {
  const FieldInfo* field = target();
  if (field == nullptr) return;
  const Frame& frame = frames_.back();
  const std::string wanted = frame.kind == Frame::Kind::kMap
                                 ? "a text"
                                 : expected(*field, frame.kind == Frame::Kind::kArray);
  fail("expected " + wanted + ", found " + shown(text));
}

}  // namespace sluice::kube
