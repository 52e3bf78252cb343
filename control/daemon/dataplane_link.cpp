#include "control/daemon/dataplane_link.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace sluice {

using boost::asio::awaitable;

namespace {

awaitable<void> adopt(IdAllocator* ids, const DataplaneState* reported) {
  ids->adopt(*reported);
  co_return;
}

}  // namespace

awaitable<Status> DataplaneLink::connect(std::string path, std::string client, IdAllocator* ids) {
  up_ = false;
  auto hello = co_await client_.connect(std::move(path), std::move(client));
  if (!hello) co_return Error{hello.error()};
  DataplaneState state;
  v1::Report head;  // Without what it lists.
  DataplaneClient::OnReport take = [&state, &head](v1::Report report) {
    state.add(report);
    report.clear_vips();
    report.clear_backends();
    report.clear_addresses();
    head.MergeFrom(report);
  };
  Status read = co_await client_.read_report(std::move(take), beside_);
  if (!read) co_return Error{read.error()};
  hello_ = std::move(*hello);
  if (head.boot() != hello_.boot()) {
    client_.close();
    co_return Error{"the dataplane reports another boot than it greeted with"};
  }
  generation_ = head.generation();
  swept_generation_ = head.swept_generation();
  maglev_seed_ = head.maglev_seed();
  unswept_.Swap(head.mutable_unswept());
  if (ids != nullptr) {
    awaitable<void> adopting = adopt(ids, &state);
    co_await boost::asio::co_spawn(beside_, std::move(adopting), boost::asio::use_awaitable);
  }
  reported_ = std::move(state);
  up_ = true;
  co_return Ok{};
}

awaitable<Result<DataplaneLink::Programmed>> DataplaneLink::program(DesiredState& desired,
                                                                    std::uint64_t generation,
                                                                    std::uint64_t maglev_seed) {
  Difference change = desired.difference(&reported_);
  Programmed done;
  done.vips = change.vips;
  done.upserts = change.upserts;
  done.deletes = change.deletes;
  done.reseeded = maglev_seed != maglev_seed_;
  if (change.empty() && (!done.reseeded || !desired.serves_any())) {
    desired.accept(&reported_);
    co_return Programmed{};
  }
  for (const std::string& part : change.parts) done.bytes += part.size();
  v1::ApplyBegin begin;
  begin.set_generation(generation);
  begin.set_base(generation_);  // 0: it never was programmed, so these parts are the whole.
  begin.set_maglev_seed(maglev_seed);
  done.sent = std::chrono::steady_clock::now();
  auto reply = co_await client_.apply(std::move(begin), std::move(change.parts));
  if (!reply) {
    up_ = up_ && client_.refused();
    co_return Error{reply.error()};
  }
  desired.accept(&reported_);
  generation_ = generation;
  maglev_seed_ = maglev_seed;
  done.applied = true;
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
