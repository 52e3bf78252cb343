// Programmer: keeps the dataplane at what the Reconciler wants. Connects, reads the full report,
// takes over the ids in it, applies the difference; does so again whenever something changed, when
// the dataplane came back as another process, and, with back-off, when it refused. One transaction
// is under way at a time; what changes meanwhile goes into the next one.
// Ownership: refers to the Reconciler and the IdAllocator. Thread: the executor's.
// Errors: logged, and in state(); what the dataplane serves stays as it is.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <set>
#include <string>

#include "config/logging.h"
#include "control/daemon/backoff.h"
#include "control/daemon/change_latency.h"
#include "control/daemon/dataplane_link.h"
#include "control/daemon/reconciler.h"
#include "control/daemon/signal.h"
#include "control/daemon/status.h"

namespace sluice {

struct ProgrammerHooks {
  // Enough is known to program a dataplane that serves something (true), or nothing yet.
  std::function<bool(bool serving)> ready;
  std::function<std::uint64_t()> maglev_seed;  // 0: not known yet, and nothing is programmed.
  std::function<void()> connected;             // The dataplane's full report has been read.
  std::function<void()> changed;               // Outcomes, progress, state or ids did.
};

// What programming cost since the start.
struct ProgramCounters {
  std::uint64_t generations = 0;  // Applied.
  std::uint64_t refusals = 0;
  std::uint64_t vips = 0;     // Sent; so often a VIP was.
  std::uint64_t deletes = 0;  // Of anything.
  std::uint64_t tables = 0;   // Maglev tables the dataplane had to build.
  std::uint64_t bytes = 0;    // Sent.
};

class Programmer {
 public:
  // From one transaction's begin to the next one's, at least: a change after a pause goes at once,
  // many in a row go together.
  static constexpr std::chrono::milliseconds kPace{2};
  // Between looks at an idle dataplane: a new process is noticed within this.
  static constexpr std::chrono::milliseconds kPoll{250};

  // Reports are decoded on `beside`.
  Programmer(boost::asio::any_io_executor executor, boost::asio::any_io_executor beside,
             Reconciler& reconciler, IdAllocator& ids, std::string socket, std::string client,
             ProgrammerHooks hooks);

  // Until stop().
  boost::asio::awaitable<void> run();
  void stop();
  // Ids and generation are those of the last run, if there was one: what a dataplane reports is
  // taken from now on. It may be connected to and read before.
  void begin();
  // Something that decides the dataplane's state changed.
  void wake();

  // Counts on across restarts: larger than every generation used before.
  std::uint64_t last_generation() const { return last_generation_; }
  void set_last_generation(std::uint64_t generation) { last_generation_ = generation; }

  bool connected() const { return link_.up(); }
  bool tried() const { return tried_; }  // To connect, whatever came of it.
  const DataplaneLink& link() const { return link_; }
  // More is wanted than the dataplane has been told.
  bool busy() const { return dirty_ || programming_; }
  ProgramState state() const { return {link_.up(), error_, hooks_.maglev_seed() != 0}; }
  // Null: the Service is not wanted, or was not worked out yet.
  const ServiceOutcome* outcome(const ServiceKey& service) const {
    return reconciler_.desired().outcome(service);
  }
  VipProgress progress(const ServiceKey& service) const;
  const ProgramCounters& counters() const { return counters_; }
  // Whether on this connection the dataplane has taken, or had already, all that was wanted once.
  bool programmed() const { return link_.up() && programmed_; }
  std::chrono::system_clock::time_point failed_at() const { return failed_at_; }  // Last; or never.
  // Changes read are added there; how long they took is known once they are programmed.
  ChangeLatency& latency() { return latency_; }
  const ChangeLatency& latency() const { return latency_; }

  // Services whose outcome, progress or plan may have changed since the last call.
  struct Changes {
    bool all = false;  // Whatever is said of any of them.
    std::set<ServiceKey> services;
  };
  Changes take_changes();
  // Known not to be served by this gateway's dataplane.
  bool withdrawn(const IpAddress& address) const;

 private:
  using Clock = std::chrono::steady_clock;

  boost::asio::awaitable<void> connect();
  boost::asio::awaitable<void> step();
  boost::asio::awaitable<void> program();
  boost::asio::awaitable<void> poll();
  boost::asio::awaitable<void> preview();
  boost::asio::awaitable<void> update(std::uint64_t generation);
  void note_concluded();
  void note_success(const DataplaneLink::Programmed& done, std::uint64_t generation);
  void note_refusal(const std::string& error);
  void lost(const std::string& error);

  Reconciler& reconciler_;
  IdAllocator& ids_;
  const std::string socket_, client_;
  ProgrammerHooks hooks_;
  DataplaneLink link_;
  Signal wake_;
  Backoff reconnect_, retry_;
  LogLimiter connect_log_{1}, refusal_log_, programmed_log_{10, std::chrono::seconds(1)};
  boost::asio::steady_timer pace_;
  bool begun_ = false, stopping_ = false, dirty_ = true, tried_ = false, programming_ = false,
       programmed_ = false;
  Clock::time_point connect_at_{}, retry_at_{}, polled_{}, paced_{};
  std::uint64_t last_generation_ = 0;
  std::string error_ = "not connected yet";
  ProgramCounters counters_, logged_;
  std::uint64_t logged_planned_ = 0;
  DesiredState::Counters logged_desired_;
  std::set<ServiceKey> awaiting_;  // Worked out since the dataplane last took a change.
  Changes changes_;
  ChangeLatency latency_;
  std::chrono::system_clock::time_point failed_at_{};
};

}  // namespace sluice
