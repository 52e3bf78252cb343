// Coordinator: this gateway's part in what the gateways share through Redis: presence, the statuses
// of Services, the cluster's secret, and, while it leads, the ledger (grants and releases), merged
// statuses, bringing `manual` back, and the pools gateway.yaml names.
// Ownership: refers to the Reconciler, Programmer and StoreReader. Thread: the executor's.
// Errors: logged and tried again; without Redis the ledger stays as last read and nothing is
// granted.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "config.pb.h"
#include "config/logging.h"
#include "control/daemon/backoff.h"
#include "control/daemon/programmer.h"
#include "control/daemon/reconciler.h"
#include "control/daemon/signal.h"
#include "control/store/keys.h"
#include "control/store/lead.h"
#include "control/store/ledger.h"
#include "control/store/merged_status.h"
#include "control/store/reader.h"
#include "control/store/redis.h"
#include "control/store/secret.h"
#include "control/store/status.h"

namespace sluice {

struct CoordinatorOptions {
  store::RedisOptions redis;
  std::string gateway;
  std::string version;  // "sluice-control 0.1.0".
  std::vector<v1::PoolSeed> pools;
  std::chrono::seconds address_hold{60};
};

class Coordinator {
 public:
  Coordinator(boost::asio::any_io_executor executor, CoordinatorOptions options,
              Reconciler& reconciler, Programmer& programmer, store::StoreReader& reader,
              std::function<void()> disk_changed);

  // Last good ledger and secret, from the disk.
  void load(const v1::DiskState& disk);
  void save(v1::DiskState* disk) const;

  // Until stop(); gives the leadership back at the end.
  boost::asio::awaitable<void> run();
  void stop();
  // Plans, pools or what the dataplane serves changed: the Reconciler and the Programmer know what.
  void wake() { wake_.notify(); }
  void ledger_may_have_changed();
  // Redis may have lost what was written: write it all again.
  void forget_written();
  // Without Redis' word on it the seed the dataplane serves by is the cluster's.
  void dataplane_connected();
  void set_address_hold(std::chrono::seconds hold) { options_.address_hold = hold; }

  const Ledger& ledger() const { return ledger_.records(); }
  store::LedgerState ledger_state() const { return ledger_.state(); }
  bool leading() const { return lead_.leading(); }
  const std::string& leader() const { return lead_.holder(); }                    // As last heard.
  std::chrono::system_clock::time_point failed_at() const { return failed_at_; }  // Last; or never.
  // The ledger is known: read from Redis since the start, or from the disk; or the former alone.
  bool ledger_known() const;
  bool ledger_read() const;
  // 0: not known, neither from Redis nor from the disk or the dataplane.
  std::uint64_t maglev_seed() const { return secret_.maglev_seed(); }

 private:
  using Clock = std::chrono::steady_clock;
  // Between writes of statuses: many changes of one Service are one write.
  static constexpr std::chrono::milliseconds kStatusInterval{100};

  static std::int64_t unix_ms_now();
  boost::asio::awaitable<Status> connect();
  boost::asio::awaitable<Status> pass();
  boost::asio::awaitable<Status> hold_lead();
  boost::asio::awaitable<Status> refresh_ledger();
  boost::asio::awaitable<Status> refresh_secret();
  boost::asio::awaitable<Status> establish_secret();
  void note_secret();
  boost::asio::awaitable<Status> lead();
  boost::asio::awaitable<Status> rebuild();
  boost::asio::awaitable<Status> reseed();
  boost::asio::awaitable<Result<bool>> may_bring_back(const store::SourceView& view);
  boost::asio::awaitable<Status> seed_pools();
  boost::asio::awaitable<Status> allocate();
  void note_allocation(std::map<ServiceKey, v1::Condition> allocated,
                       std::map<ServiceKey, std::vector<v1::Condition>> warnings);
  boost::asio::awaitable<Status> write_grants(std::vector<v1::Address> writes);
  boost::asio::awaitable<Status> refresh_gateways();
  boost::asio::awaitable<Status> write_presence();
  boost::asio::awaitable<Status> write_statuses();
  boost::asio::awaitable<Status> write_own();
  boost::asio::awaitable<Status> merge();
  boost::asio::awaitable<Status> merge_some(std::vector<ServiceKey> services);
  void gather_changes();
  std::vector<ServiceKey> next_to_compare();
  v1::ServiceStatus own_status(const ServicePlan& plan) const;
  Clock::duration idle_time() const;
  void plan_what_waits();
  Clock::time_point next_statuses() const;
  Clock::time_point next_requests() const { return allocate_at_ + 5 * allocation_took_; }
  v1::GatewayPresence presence() const;
  bool withdrawn_everywhere(const IpAddress& address) const;
  bool would_lose_services() const;

  CoordinatorOptions options_;
  Reconciler& reconciler_;
  Programmer& programmer_;
  store::StoreReader& reader_;
  std::function<void()> disk_changed_;
  store::Redis redis_;
  store::Lead lead_;
  store::Ledger ledger_;
  store::Secret secret_;
  store::StatusWriter own_writer_;
  store::MergedStatusWriter merged_writer_;
  Signal wake_;
  Backoff reconnect_;
  LogLimiter connect_log_, failure_log_, held_log_{1}, secret_log_{1};

  const std::int64_t started_unix_ms_;
  bool stopping_ = false, disk_ledger_ = false, was_leading_ = false, pools_seeded_ = false;
  bool ledger_dirty_ = true, allocate_dirty_ = true, own_recalled_ = false,
       merged_recalled_ = false;
  bool requests_dirty_ = false;    // Requests changed since the last allocate().
  bool allocation_waits_ = false;  // Somebody has no address, which time alone may change.
  Clock::duration allocation_took_{};
  Clock::time_point lead_at_{}, presence_at_{}, presence_looked_at_{}, gateways_at_{},
      allocate_at_{}, status_at_{}, compare_at_{}, reseeded_at_{}, reseed_looked_at_{},
      secret_at_{}, passed_at_{};
  std::chrono::system_clock::time_point failed_at_{};
  std::uint64_t noted_seed_ = 0;  // That the others here have been told of.
  std::optional<Clock::time_point> rebuild_since_;
  // Since when plans of a source that comes in wait; and since when statuses are due.
  std::optional<Clock::time_point> plans_wait_since_, statuses_due_since_;
  std::string presence_written_;
  std::vector<store::Gateway> gateways_;
  // By the last allocate().
  std::map<ServiceKey, v1::Condition> allocated_;  // AddressAllocated.
  std::map<ServiceKey, std::vector<v1::Condition>> allocation_warnings_;
  // Services whose statuses have to be looked at, own and merged; all: every one.
  struct Due {
    bool all = true;
    std::set<ServiceKey> services;
    bool any() const { return all || !services.empty(); }
  };
  Due own_due_, merge_due_;
  std::optional<ServiceKey> compared_;  // Up to here, with the other gateways' statuses.
  std::vector<std::string> alive_;      // Gateways, when statuses were merged last.
  boost::asio::steady_timer pace_;
};

}  // namespace sluice
