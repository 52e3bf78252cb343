// Daemon: sluice-control as a whole. One thread; three loops over the same state: the StoreReader
// brings objects in, the Programmer keeps the dataplane at what they ask for, the Coordinator does
// what gateways share through Redis. The last good state lies on disk and is where it starts.
// Ownership: refers to the io_context, which must outlive it. Thread: the io_context's.
// Errors: start() and begun() tell what cannot work; all else is tried again and logged.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "config.pb.h"
#include "config/logging.h"
#include "control/daemon/coordinator.h"
#include "control/daemon/lock_file.h"
#include "control/daemon/metrics.h"
#include "control/daemon/programmer.h"
#include "control/daemon/reconciler.h"
#include "control/daemon/signal.h"
#include "control/health/health_server.h"
#include "control/store/disk.h"
#include "control/store/reader.h"
#include "proto/result.h"

namespace sluice {

class Daemon final : public store::StoreObserver {
 public:
  // `config_file` is read again on SIGHUP.
  Daemon(boost::asio::io_context& io, v1::GatewayConfig config, std::string config_file);
  ~Daemon() override;

  // Takes the lock and starts: loading the disk's state, the loops, and the handling of SIGTERM,
  // SIGINT and SIGHUP. The io_context's run() returns after stop().
  Status start();
  // After run(): why it could not begin, if it could not.
  const Status& begun() const { return begun_; }
  // Nothing is withdrawn: the dataplane goes on by what it has.
  void stop();

  void on_upsert(const ObjectKey& key, std::shared_ptr<const v1::Object> object) override;
  void on_delete(const ObjectKey& key) override;
  void on_timed(const store::TimedChange& change) override;
  void on_source(const store::SourceView& view) override;
  void on_ledger() override;
  void on_synced() override;
  void on_connected(bool connected) override;

 private:
  Status prepare_directory();
  // While the disk is read, the dataplane's report is: the rest begins with both.
  boost::asio::awaitable<void> begin();
  Status take_disk(Result<store::LoadedState> loaded);
  boost::asio::awaitable<void> save_disk();
  boost::asio::awaitable<void> save_loop();
  boost::asio::awaitable<void> handle_signals();
  void reload();
  bool ready(bool serving) const;
  boost::asio::awaitable<void> listen();
  ControlState state() const;
  HealthAnswer answer(std::string_view path) const;
  template <typename Loop>
  void spawn(const char* name, Loop loop);

  boost::asio::io_context& io_;
  v1::GatewayConfig config_;
  const std::string config_file_;
  std::string disk_path_;
  std::optional<LockFile> lock_;
  boost::asio::signal_set signals_;
  Signal save_wake_, listen_retry_;
  // Read and write the copy, and decode reports; touch nothing else.
  boost::asio::thread_pool disk_thread_, report_thread_;
  Reconciler reconciler_;
  IdAllocator ids_;
  store::StoreReader reader_;
  Programmer programmer_;
  Coordinator coordinator_;
  HealthServer health_;
  LogLimiter source_log_, save_log_, listen_log_{1};
  std::map<std::string, std::string> incarnations_;  // By source, to notice a new one.
  std::map<std::string, std::set<v1::Kind>> complete_;
  std::chrono::milliseconds save_interval_{1000};
  std::chrono::system_clock::time_point save_failed_at_{}, reading_failed_at_{};
  Status begun_ = Ok{};
  bool stopping_ = false, disk_dirty_ = false, disk_loaded_ = false;
};

// What plans depend on, of gateway.yaml.
PlanSettings plan_settings(const v1::GatewayConfig& config);
// gateway.name, else the host's.
std::string gateway_name(const v1::GatewayConfig& config);

}  // namespace sluice
