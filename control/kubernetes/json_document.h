// JsonDocument: the JSON of a list, an event or an object, parsed in pieces as it arrives.
// Purpose: finds the objects in it and has ObjectBuilder fill them; keeps the few fields around
// them. Ownership: holds one object at a time. Thread: one, pure. Errors: feed() and finish() when
// it is not JSON of that shape; sticky.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "control/kubernetes/api_json.h"

namespace sluice::kube {

class JsonDocument {
 public:
  enum class Shape {
    kObject,  // The document is the object.
    kList,    // {"metadata": {...}, "items": [OBJECT, ...]}
    kEvent,   // {"type": "...", "object": OBJECT}
  };
  // What stands around the objects.
  struct Envelope {
    std::string kind;  // Of a list.
    std::string type;  // Of an event.
    ListMetadata metadata;
    bool has_items = false;  // Of a list: "items" is there, be it null.
  };

  JsonDocument(Shape shape, v1::Kind kind, std::function<void(Decoded)> on_object);
  ~JsonDocument();

  Status feed(std::string_view bytes);
  Status finish();
  const Envelope& envelope() const;

 private:
  class Handler;
  struct Parser;
  std::unique_ptr<Parser> parser_;
};

}  // namespace sluice::kube
