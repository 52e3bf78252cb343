#include "control/daemon/dataplane_link.h"

#include <utility>

namespace sluice {

using boost::asio::awaitable;

awaitable<Status> DataplaneLink::connect(std::string path, std::string client) {
  up_ = false;
  auto hello = co_await client_.connect(std::move(path), std::move(client));
  if (!hello) co_return Error{hello.error()};
  auto report = co_await client_.report(true);
  if (!report) co_return Error{report.error()};
  hello_ = std::move(*hello);
  if (report->boot() != hello_.boot()) {
    client_.close();
    co_return Error{"the dataplane reports another boot than it greeted with"};
  }
  reported_ = {};
  reported_.add(*report);
  generation_ = report->generation();
  swept_generation_ = report->swept_generation();
  up_ = true;
  co_return Ok{};
}

awaitable<Result<DataplaneLink::Programmed>> DataplaneLink::program(DataplaneState& desired,
                                                                    std::uint64_t generation) {
  // A dataplane that never was programmed knows no base to change.
  Difference change = generation_ == 0 ? whole(desired) : difference(desired, reported_);
  if (change.empty()) co_return Programmed{};
  Programmed done{change.upserts, change.deletes, 0, 0};
  auto reply = co_await client_.apply(generation, generation_, std::move(change.parts));
  if (!reply) {
    up_ = up_ && client_.refused();
    co_return Error{reply.error()};
  }
  reported_ = std::move(desired);
  generation_ = generation;
  done.build_microseconds = reply->build_microseconds();
  done.tables_built = reply->tables_built();
  co_return done;
}

awaitable<Status> DataplaneLink::poll() {
  auto report = co_await client_.report(false);
  Status status = Ok{};
  if (!report) {
    status = Error{report.error()};
  } else if (report->boot() != hello_.boot() || report->generation() != generation_) {
    // Somebody else programmed it: only a new full report tells what it serves.
    status = Error{"the dataplane serves generation " + std::to_string(report->generation()) +
                   ", not " + std::to_string(generation_) + " as left by this control"};
  }
  if (status) {
    swept_generation_ = report->swept_generation();
  } else {
    up_ = false;
    client_.close();
  }
  co_return status;
}

}  // namespace sluice
