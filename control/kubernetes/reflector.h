// Reflector: keeps somebody informed of all objects of one kind, by list and watch.
// Purpose: a whole list, then every change, for ever; whatever the server, the network or the
// clock do in between, the next whole list makes it right. The list is streamed where the server
// offers that, else read in pages of one resourceVersion.
// Ownership: refers to calls and handler, which must outlive it. Thread: the executor's, one.
// Bounds: memory is that of one page, or of one watch event. Errors: told to the handler, and tried
// again with back-off; none ends it. Source: kubernetes.io/docs/reference/using-api/api-concepts.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "control/kubernetes/api_calls.h"
#include "control/kubernetes/api_json.h"

namespace sluice::kube {

class ReflectorHandler {
 public:
  using Time = std::chrono::steady_clock::time_point;
  virtual ~ReflectorHandler() = default;

  // A whole list begins. One that began before and did not end counts for nothing but that its
  // objects were there.
  virtual void on_list_begin() = 0;
  // Of a list. With `decoded.error` it is there, and what was known of it stays.
  virtual void on_item(Decoded decoded) = 0;
  // What was not among the items is gone.
  virtual void on_list_end() = 0;
  // Added or modified; `arrived` is when its bytes did.
  virtual void on_change(Decoded decoded, Time arrived) = 0;
  virtual void on_delete(Decoded decoded, Time arrived) = 0;
  // Something was heard of a working watch: an event or a bookmark.
  virtual void on_contact() = 0;
  // `kind`, a short word for metrics: "forbidden", "expired", "transport", ...
  virtual void on_error(const std::string& kind, const std::string& text) = 0;
};

struct ReflectorTiming {
  using Ms = std::chrono::milliseconds;
  Ms first_wait{200};          // Back-off after a failure: doubles,
  Ms longest_wait{30'000};     // up to this.
  Ms watch_at_least{300'000};  // The server is asked to end a watch after a random time
  Ms watch_at_most{600'000};   // between these.
  Ms idle{75'000};             // A watch that is silent for so long is checked. (Bookmarks: 60 s.)
  Ms initial_idle{5'000};      // The same while a streaming list has not ended.
  Ms answer{30'000};           // Until a list's page is there.
  unsigned page = 500;         // Objects of one page.
};

class Reflector {
 public:
  Reflector(boost::asio::any_io_executor executor, ApiCalls& calls, v1::Kind kind,
            ReflectorHandler& handler, ReflectorTiming timing = {});
  ~Reflector();
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  boost::asio::awaitable<void> run();  // Until stop().
  void stop();

  // What the last list or event said; empty before the first whole list and while listing anew.
  const std::string& resource_version() const;
  std::uint64_t lists() const;    // Whole ones.
  std::uint64_t watches() const;  // Begun.

 private:
  class Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace sluice::kube
