// A Host without DPDK, a client of the real socket, and short ways to write messages.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "dataplane.pb.h"
#include "dataplane/server/server.h"
#include "proto/frame.h"

namespace sluice {

class FakeHost final : public Host {
 public:
  explicit FakeHost(const StateLimits& limits, unsigned workers = 2);

  void publish(std::shared_ptr<const ForwardingState> state) override;
  std::uint64_t grace_start() override { return ++started; }
  bool grace_passed(std::uint64_t token) override { return token <= passed; }
  std::span<const WorkerView> workers() const override { return views_; }
  const Routing& routing() const override { return routing_; }
  std::vector<v1::Port> ports() const override;
  std::vector<NamedCounter> counters() const override {
    return {{"slow-path-full", "what to do", 7}};
  }
  Ticks now() const override { return 100; }

  std::shared_ptr<const ForwardingState> published() const;
  void complete_round(unsigned worker) { rounds_[worker]->fetch_add(1, std::memory_order_release); }
  WorkerCounters& worker_counters(unsigned worker) { return *counters_[worker]; }
  // Gives every worker a pipeline of its own; before the server runs.
  void make_pipelines();

  std::atomic<std::uint64_t> started{0};
  std::atomic<std::uint64_t> passed{~std::uint64_t{0}};  // Grace periods up to this token are over.

 private:
  std::vector<std::unique_ptr<WorkerCounters>> counters_;
  std::vector<std::unique_ptr<std::atomic<std::uint64_t>>> rounds_;
  std::vector<std::shared_ptr<const Pipeline>> pipelines_;
  std::vector<WorkerView> views_;
  Routing routing_;
  mutable std::mutex mutex_;
  std::shared_ptr<const ForwardingState> state_;
};

// One connection, blocking, with a time-out. Everything expected of the protocol is checked on the
// way.
class Client {
 public:
  explicit Client(const std::string& path);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool connected() const { return fd_ >= 0; }
  void send_raw(const std::string& bytes);
  void send(v1::Request request);
  // The next reply; std::nullopt when the server has closed the connection.
  std::optional<v1::Reply> receive();
  // Sends and gives all replies, of which the last has more = false.
  std::vector<v1::Reply> ask_all(v1::Request request);
  v1::Reply ask(v1::Request request);  // The same for one reply.
  void close();
  void finish_sending();

  v1::Reply hello(std::uint32_t major = kProtocolMajor);
  v1::Reply begin(std::uint64_t generation, std::uint64_t base, std::uint64_t maglev_seed = 0);
  v1::Reply part(const v1::ApplyPart& part);
  v1::Reply commit();
  // Begin, one part and commit; the last reply, or the first refusal.
  v1::Reply apply(std::uint64_t generation, std::uint64_t base, const v1::ApplyPart& changes);
  v1::Report report(bool full = false);

 private:
  int fd_ = -1;
  std::uint64_t next_id_ = 1;
  FrameDecoder decoder_;
};

// A server over a FakeHost, running on a thread of its own.
class ServerTest : public testing::Test {
 protected:
  ServerTest();
  ~ServerTest() override;
  void start();
  void stop();

  std::string directory, path;
  ServerConfig config;
  std::unique_ptr<FakeHost> host;
  std::unique_ptr<Server> server;
  std::jthread thread;
};

v1::ServedAddress served(const std::string& address,
                         v1::UnservedPorts ports = v1::UNSERVED_PORTS_REJECT);
v1::Backend backend_message(std::uint32_t id, const std::string& address,
                            std::uint32_t port = 8080);
v1::Vip vip_message(const std::string& address, std::uint32_t port, std::uint32_t id,
                    const std::vector<std::uint32_t>& backends);
v1::VipKey key_message(const std::string& address, std::uint32_t port);
// 192.0.2.1:80 over backends 1 and 2, 2001:db8::1:80 over backend 3.
v1::ApplyPart web();

// Waits until `holds` does, at most some seconds.
bool eventually(const std::function<bool()>& holds);

}  // namespace sluice
