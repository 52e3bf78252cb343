// Ledger: who holds which address. Read by every control, written by the leading one.
// Purpose: one script checks leader, revision and readiness and changes records, index and sequence
// at once, so that no address can go to two. After a new incarnation, or when Redis went back to an
// older state, nothing is granted until rebuild() has brought back what the gateways remember.
// Ownership: refers to the Redis, which must outlive it. Thread: the connection's.
// Errors: apply() writes all or nothing; a refusal for a stale view is an Error and stale() is
// true: refresh() and decide again.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "control/store/lead.h"
#include "control/store/objects.h"
#include "control/store/redis.h"
#include "proto/address.h"
#include "proto/result.h"

namespace sluice::store {

enum class LedgerState {
  kUnknown,  // Never read.
  kReady,    // records() is what Redis has; grants are allowed.
  kRebuild,  // New, empty, or lacks a record we know: rebuild() first. records() is the last good
             // state.
};

struct RebuildReport {
  std::size_t restored = 0;           // Records the ledger has now.
  std::vector<std::string> gateways;  // Whose copies were used.
  std::uint64_t maglev_seed = 0;  // That a copy has, for a leader who does not know it; 0: none.
};

class Ledger {
 public:
  explicit Ledger(Redis& redis);

  // Last good state from the disk; before the first refresh().
  void load(const v1::DiskState& disk);
  // Fills addresses, incarnation and ledger_sequence of `disk`.
  void save(v1::DiskState* disk) const;

  // Reads what changed. Values that cannot be read keep their last good record; those without one
  // are in problems() and unreadable(), and count as taken.
  boost::asio::awaitable<Status> refresh();
  LedgerState state() const { return state_; }
  bool stale() const { return stale_; }
  const std::map<IpAddress, v1::Address>& records() const { return records_; }
  const std::vector<IpAddress>& unreadable() const { return unreadable_; }
  const std::vector<Problem>& problems() const { return problems_; }

  // Writes records; each carries the revision it was read with + 1 (a new one: 1). All or nothing.
  // At most kMaxApply records.
  boost::asio::awaitable<Status> apply(const Leader& leader, std::vector<v1::Address> records);
  static constexpr std::size_t kMaxApply = 512;

  // Every gateway, when state() is kRebuild: leaves its copy where the leader finds it, with the
  // seed of the cluster, which was lost with the ledger (0: not known).
  boost::asio::awaitable<Status> offer_copy(const std::string& gateway, std::uint64_t maglev_seed);
  // The leader, after the others had time to offer (some seconds): merges its own records and all
  // copies, the higher revision wins, and declares the ledger ready under a new incarnation.
  boost::asio::awaitable<Result<RebuildReport>> rebuild(const Leader& leader);

 private:
  using Records = std::map<IpAddress, v1::Address>;
  struct Index;

  boost::asio::awaitable<Result<Index>> read_index();
  static Index parse_index(const RedisValue& head, const RedisValue& revisions);
  boost::asio::awaitable<Status> read_changed(std::map<IpAddress, std::uint64_t> revisions);
  bool lacks_known(const std::map<IpAddress, std::uint64_t>& revisions) const;
  boost::asio::awaitable<Status> collect(Records* merged, RebuildReport* report);
  boost::asio::awaitable<Status> put_records(const Leader& leader, const std::string& incarnation,
                                             const Records& records);

  Redis& redis_;
  LedgerState state_ = LedgerState::kUnknown;
  bool stale_ = true;
  std::string incarnation_;     // Of records_.
  std::uint64_t sequence_ = 0;  // Of records_.
  std::map<IpAddress, v1::Address> records_;
  std::vector<IpAddress> unreadable_;
  std::vector<Problem> problems_;
};

}  // namespace sluice::store
