// FakeDataplane: the dataplane's side of proto/dataplane.proto on a Unix socket, for tests. It
// keeps what it was given as the real one would, and records every transaction. Ownership: threads
// and the socket file are its own, gone with it. Thread: any; calls are locked.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "dataplane.pb.h"

namespace sluice::test {

struct DataplaneState {
  std::uint64_t generation = 0;
  std::uint64_t maglev_seed = 0;
  std::map<std::string, v1::Vip> vips;  // By "ADDRESS:PORT/PROTOCOL number".
  std::map<std::uint32_t, v1::Backend> backends;
  std::map<std::string, v1::ServedAddress> addresses;  // By text.
};

struct Transaction {
  v1::ApplyBegin begin;
  std::vector<v1::ApplyPart> parts;
  bool committed = false;
};

class FakeDataplane {
 public:
  explicit FakeDataplane(std::string path, DataplaneState state = {});
  ~FakeDataplane();
  FakeDataplane(const FakeDataplane&) = delete;
  FakeDataplane& operator=(const FakeDataplane&) = delete;

  DataplaneState state() const;
  std::vector<Transaction> transactions() const;
  // Committed since the start.
  std::size_t commits() const;
  // Every commit is refused with this text; empty: none.
  void refuse_commits(std::string reason);
  // As another process would come up: new boot id, nothing served, all connections ended.
  void restart();
  void set_major(std::uint32_t major);
  void set_statistics(v1::Statistics statistics);
  void set_flows(v1::Flows flows);
  void set_trace(v1::Trace trace);
  void set_ports(v1::Ports ports);
  // Answers with these raw bytes instead of a reply; empty: normal again.
  void answer_raw(std::string bytes);
  // Accepts, reads and says nothing.
  void be_silent(bool silent);
  bool wait_for(const std::function<bool(const DataplaneState&)>& predicate,
                std::chrono::milliseconds timeout = std::chrono::seconds(10)) const;

 private:
  void accept_loop();
  void serve(int fd);
  std::vector<v1::Reply> answer(const v1::Request& request, Transaction& open, bool& is_open);
  v1::Reply commit(Transaction& open);
  v1::Reply hello(const v1::Hello& hello) const;
  std::vector<v1::Reply> report(bool full) const;
  void end_connections();

  const std::string path_;
  int listener_ = -1;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  DataplaneState state_;
  std::string boot_ = "boot-1";
  int boots_ = 1;
  std::uint32_t major_ = 1;
  std::vector<Transaction> transactions_;
  std::string refusal_, raw_;
  bool silent_ = false;
  v1::Statistics statistics_;
  v1::Flows flows_;
  v1::Trace trace_;
  v1::Ports ports_;
  std::vector<int> fds_;
  std::vector<std::thread> servers_;
  std::thread acceptor_;
};

// The key the maps of DataplaneState use.
std::string vip_text(const v1::VipKey& key);

}  // namespace sluice::test
