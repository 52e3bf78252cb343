// The built sluice-control between a real redis-server and a fake dataplane, driven by `sluice`.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <functional>
#include <memory>
#include <thread>

#include "proto/address.h"
#include "store.pb.h"
#include "tests/support/redis_server.h"
#include "tests/unit/cli/process.h"
#include "tests/unit/program/fake_dataplane.h"

namespace sluice {
using namespace std::chrono_literals;

inline constexpr const char* kPool = R"(---
apiVersion: sluice.dev/v1
kind: AddressPool
metadata: {name: public}
spec: {addresses: [192.0.2.0/28, "2001:db8:1::/120"]}
)";
inline std::string service(const std::string& name, const std::string& further = "") {
  return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name +
         "}\nspec:\n  type: LoadBalancer\n  ipFamilyPolicy: PreferDualStack\n"
         "  selector: {app: web}\n  ports: [{port: 80, targetPort: 8080}]\n" +
         further;
}
inline std::string pod(int n) {
  const std::string i = std::to_string(n);
  return "---\napiVersion: v1\nkind: Pod\nmetadata: {name: web-" + i +
         ", labels: {app: web}}\nspec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}\n"
         "status:\n  phase: Running\n  podIP: 10.0.2.1" +
         i + "\n  podIPs: [{ip: 10.0.2.1" + i + "}, {ip: \"fd00::1" + i +
         "\"}]\n  conditions: [{type: Ready, status: \"True\"}]\n";
}

class DaemonTest : public ::testing::Test {
 protected:
  DaemonTest() {
    socket_ = folder_.path() + "/dataplane.sock";
    write_config("");
  }
  void TearDown() override {
    if (control_ && HasFailure()) std::cerr << control_->log();
  }

  void write_config(const std::string& further) {
    config_ = folder_.write("gateway.yaml", config_of("edge-1", socket_, "state") + further);
  }
  std::string config_of(const std::string& gateway, const std::string& socket,
                        const std::string& state_directory) const {
    return "gateway: {name: " + gateway + "}\nredis: {address: \"" + redis_.address() +
           "\", timeoutMs: 2000}\ndataplane: {socket: " + socket +
           "}\nlogging: {level: debug}\ncontrol:\n  stateDirectory: " + folder_.path() + "/" +
           state_directory + "\n";
  }
  void start_dataplane(test::DataplaneState state = {}) {
    dataplane_ = std::make_unique<test::FakeDataplane>(socket_, std::move(state));
  }
  void start_control() {
    control_ = std::make_unique<test::Background>(
        std::vector<std::string>{CONTROL_BINARY, "--config", config_},
        folder_.path() + "/control.log");
  }
  void stop_control() {
    control_->signal(SIGTERM);
    EXPECT_EQ(control_->wait(), 0) << control_->log();
  }
  test::Finished sluice(std::vector<std::string> words, const std::string& input = "") {
    words.insert(words.begin(), {SLUICE_BINARY, "--config", config_});
    return test::run(words, input);
  }
  void apply(const std::string& manifests) {
    const auto result = sluice({"apply", "-f", "-"}, manifests);
    ASSERT_EQ(result.code, 0) << result.err;
  }
  static bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit = 30s) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (condition()) return true;
      std::this_thread::sleep_for(20ms);
    }
    return condition();
  }
  // Both families' VIP of the one Service, with so many members each.
  static bool serves(const test::DataplaneState& state, std::size_t vips, int members) {
    if (state.vips.size() != vips) return false;
    for (const auto& [name, vip] : state.vips)
      if (vip.members_size() != members) return false;
    return true;
  }
  bool programmed(const std::string& name) {
    return eventually([&] {
      return sluice({"get", "svc", name, "-o", "wide"}).out.find("Programmed") != std::string::npos;
    });
  }
  void serve_web() {
    start_dataplane();
    start_control();
    apply(kPool + service("web") + pod(1) + pod(2));
    ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 2); }, 30s));
    ASSERT_TRUE(programmed("web"));
  }
  // 0: there is none, or none that can be read.
  std::uint64_t stored_seed() const {
    v1::ClusterSecret secret;
    return secret.ParseFromString(redis_.command({"GET", "sluice:1:secret"})) ? secret.maglev_seed()
                                                                              : 0;
  }
  std::size_t deletes_of_vips() const {
    std::size_t deletes = 0;
    for (const auto& transaction : dataplane_->transactions())
      for (const auto& part : transaction.parts)
        deletes += static_cast<std::size_t>(part.delete_vips_size());
    return deletes;
  }

  test::RedisServer redis_;
  test::TemporaryFolder folder_;
  std::string socket_, config_;
  std::unique_ptr<test::FakeDataplane> dataplane_;
  std::unique_ptr<test::Background> control_;
};

}  // namespace sluice
