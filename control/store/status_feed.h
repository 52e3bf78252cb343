// StatusFeed: which merged statuses of one source changed, as it happens.
// Purpose: follows the stream sluice:1:statuses:SOURCE, on a connection of its own; says that
// anything may have changed at the start, on a gap, when the stream is another one, when the ledger
// was rebuilt (what it said before, or did not, decides what a Service gave back), and every few
// minutes. Ownership: refers to the observer, which must outlive run(). Thread: the executor's;
// the observer is called on it and must not wait. Errors: logged, and connected again with
// back-off; after a return what was missed is told.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "control/store/redis.h"
#include "control/store/status.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice::store {

class StatusObserver {
 public:
  virtual ~StatusObserver() = default;
  virtual void on_status_changed(const StatusKey& key) = 0;  // Also: deleted.
  virtual void on_any_status_changed() = 0;                  // Read all again.
};

struct StatusFeedTiming {
  std::chrono::milliseconds block{5000};      // One XREAD; then the stream's end is compared.
  std::chrono::milliseconds retry{1000};      // After an error.
  std::chrono::milliseconds reread{300'000};  // on_any_status_changed() at least so often.
};

class StatusFeed {
 public:
  StatusFeed(boost::asio::any_io_executor executor, RedisOptions options, std::string source,
             StatusObserver& observer, StatusFeedTiming timing = {});
  ~StatusFeed();
  StatusFeed(const StatusFeed&) = delete;
  StatusFeed& operator=(const StatusFeed&) = delete;

  boost::asio::awaitable<void> run();  // Until stop(), which is called on the executor.
  void stop();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Records of the ledger for these addresses; without those that are not there or cannot be read.
boost::asio::awaitable<Result<std::map<IpAddress, v1::Address>>> read_addresses(
    Redis& redis, std::vector<IpAddress> addresses);

}  // namespace sluice::store
