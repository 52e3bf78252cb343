// Api: answers requests from the Store, by the user's rights. No I/O.
// Ownership: refers to the Store and Access it is given. Thread: theirs.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/kube/access.h"
#include "tests/support/kube/request.h"
#include "tests/support/kube/store.h"

namespace sluice::test::kube {

struct WatchRequest {
  const Resource* resource = nullptr;
  std::string ns, name;  // Empty: all.
  Selector labels, fields;
  std::uint64_t version = 0;
  bool initial = false;      // Every object first, as ADDED.
  bool initial_end = false;  // And a bookmark that says so.
  bool bookmarks = false;
  std::chrono::seconds timeout{0};
};

struct Outcome {
  Answer answer;
  bool list = false;                  // Such answers may be compressed.
  std::optional<WatchRequest> watch;  // Set: the answer is a stream.
};

class Api {
 public:
  Api(Store& store, Access& access, bool watch_list)
      : store_(store), access_(access), watch_list_(watch_list) {}
  Outcome handle(const Request& request);

 private:
  Outcome resource_request(const Request& request, const Target& target, const User& user);
  Outcome list(const Target& target, const ResourcePath& path);
  Outcome watch(const Target& target, const ResourcePath& path);
  Answer write(const Request& request, const Target& target, const ResourcePath& path,
               const std::string& verb);

  Store& store_;
  Access& access_;
  bool watch_list_;
};

// Does an object come into a list or watch?
bool selected(const WatchRequest& request, const Stored& object);
// "/", "/version", "/healthz", "/api", "/apis", ...
Answer discovery(const Target& target);

}  // namespace sluice::test::kube
