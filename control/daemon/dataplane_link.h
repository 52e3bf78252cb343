// DataplaneLink: what one dataplane serves, as far as control knows, and the way to change it.
// The copy of the dataplane's state begins with its own full report on every connection and moves
// only with an acknowledged commit, so a difference against it is always one against the truth.
// Ownership: the daemon's; outlives its awaitables. Thread: the executor's, one awaitable at a
// time. Errors: after a refusal (`refused()`) everything stands as before; after any other error
// the link is down and connect() begins again.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <string>

#include "control/model/desired.h"
#include "control/model/ids.h"
#include "control/program/dataplane_client.h"
#include "proto/result.h"

namespace sluice {

class DataplaneLink {
 public:
  struct Programmed {
    bool applied = false;                        // Else nothing differed.
    bool reseeded = false;                       // By another Maglev seed than before.
    std::size_t vips = 0;                        // Upserts of VIPs alone,
    std::size_t upserts = 0;                     //   of everything,
    std::size_t deletes = 0;                     //   and what went.
    std::size_t bytes = 0;                       // Of the parts.
    std::chrono::steady_clock::time_point sent;  // When the transaction began to go out.
    std::uint64_t build_microseconds = 0;
    std::uint32_t tables_built = 0;
  };

  // The report of a dataplane, which is long, is taken on `beside`.
  DataplaneLink(boost::asio::any_io_executor executor, boost::asio::any_io_executor beside)
      : client_(std::move(executor)), beside_(std::move(beside)) {}

  // `ids`, unless null, adopts what is reported.
  boost::asio::awaitable<Status> connect(std::string path, std::string client, IdAllocator* ids);
  void close() { client_.close(); }
  bool up() const { return up_ && client_.connected(); }
  bool refused() const { return client_.refused(); }

  // Brings the dataplane from what it serves to `desired`, which is told so (accept()) on success
  // alone, keyed by `maglev_seed` (ApplyBegin). Nothing is sent, and the generation stays, where
  // nothing differs; the seed of a dataplane that is to serve no VIP does not count.
  boost::asio::awaitable<Result<Programmed>> program(DesiredState& desired,
                                                     std::uint64_t generation,
                                                     std::uint64_t maglev_seed);
  // Asks how far the sweep is, and whether it still is the dataplane and generation known here;
  // an error if not.
  boost::asio::awaitable<Status> poll();

  const v1::HelloReply& hello() const { return hello_; }
  const DataplaneState& reported() const { return reported_; }
  std::uint64_t generation() const { return generation_; }
  std::uint64_t swept_generation() const { return swept_generation_; }
  std::uint64_t maglev_seed() const { return maglev_seed_; }
  // When it connected.
  const google::protobuf::RepeatedPtrField<v1::UnsweptId>& unswept() const { return unswept_; }

 private:
  DataplaneClient client_;
  boost::asio::any_io_executor beside_;
  bool up_ = false;
  v1::HelloReply hello_;
  DataplaneState reported_;
  std::uint64_t generation_ = 0;
  std::uint64_t swept_generation_ = 0;
  std::uint64_t maglev_seed_ = 0;
  google::protobuf::RepeatedPtrField<v1::UnsweptId> unswept_;
};

}  // namespace sluice
