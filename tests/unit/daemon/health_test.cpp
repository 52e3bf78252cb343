// Health, readiness and metrics of the built sluice-control.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <regex>

#include "tests/unit/daemon/daemon_fixture.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string http_get(int port, const std::string& path) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: h\r\n\r\n";
    (void)!::write(fd, request.data(), request.size());
    char some[4096];
    for (ssize_t n = 0; (n = ::read(fd, some, sizeof some)) > 0;)
      answer.append(some, static_cast<std::size_t>(n));
  }
  ::close(fd);
  return answer;
}

class HealthTest : public DaemonTest {
 protected:
  HealthTest() { write_config("  listen: 127.0.0.1:0\n"); }

  std::string get(const std::string& path) {
    if (port_ == 0) {
      const std::regex told("health and metrics listen=127.0.0.1:0 port=([0-9]+)");
      std::smatch found;
      EXPECT_TRUE(eventually([&] {
        const std::string log = control_->log();
        if (!std::regex_search(log, found, told)) return false;
        port_ = std::stoi(found[1]);
        return true;
      }));
    }
    return http_get(port_, path);
  }
  bool until_metrics(const std::string& line) {
    return eventually([&] { return get("/metrics").find(line) != std::string::npos; });
  }
  // A change of the stream as a publisher leaves it, whose event arrived 30 ms ago.
  void tell(const std::string& op, const std::string& kind, const std::string& name) {
    const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count();
    const std::string sequence =
        redis_.command({"HINCRBY", "sluice:1:source:manual", "sequence", "1"});
    redis_.command({"XADD", "sluice:1:stream", "*", "source", "manual", "kind", kind, "key", name,
                    "op", op, "uid", "", "sequence", sequence, "incarnation",
                    redis_.command({"HGET", "sluice:1:source:manual", "incarnation"}), "times",
                    std::to_string(now - 30'000) + " " + std::to_string(now - 10'000)});
  }
  int port_ = 0;
};

TEST_F(HealthTest, ReadyOnceTheDataplaneIsProgrammed) {
  start_control();
  EXPECT_THAT(get("/healthz"), AllOf(HasSubstr("200 OK"), HasSubstr("\r\n\r\nok\n")));
  EXPECT_THAT(get("/readyz"), AllOf(HasSubstr("503"), HasSubstr("[-]dataplane: is not connected")));
  EXPECT_THAT(get("/nonsense"), HasSubstr("404"));
  start_dataplane();
  apply(kPool + service("web") + pod(1) + pod(2));
  ASSERT_TRUE(programmed("web"));
  EXPECT_THAT(get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("[+]dataplane: serves 2 VIPs"),
                                    HasSubstr("source manual: synced"), HasSubstr("leading: yes")));
  redis_.kill();
  ASSERT_TRUE(until_metrics("sluice_control_redis_connected 0\n"));
  EXPECT_THAT(get("/readyz"), AllOf(HasSubstr("200 OK"), HasSubstr("[-]redis: does not answer")));
  EXPECT_THAT(get("/metrics"),
              Not(HasSubstr("sluice_control_last_error_timestamp_seconds{part=\"redis\"} 0\n")));
}

TEST_F(HealthTest, ChangesAreMeasuredUpToTheDataplanesAcknowledgement) {
  serve_web();
  EXPECT_THAT(get("/metrics"),
              AllOf(HasSubstr("sluice_control_objects{source=\"manual\",kind=\"Pod\"} 2\n"),
                    HasSubstr("sluice_control_complete{source=\"manual\",kind=\"Pod\"} 1\n"),
                    HasSubstr("sluice_control_vips 2\n"), HasSubstr("sluice_control_backends 4\n"),
                    HasSubstr("sluice_control_ledger_records 2\n"),
                    HasSubstr("sluice_control_ledger_state{state=\"ready\"} 1\n"),
                    HasSubstr("sluice_control_leader 1\n"),
                    HasSubstr("sluice_control_change_seconds_count{hop=\"all\"} 0\n")));
  // Nothing that the dataplane has to hear of.
  tell("put", "Pod", "default/web-1");
  ASSERT_TRUE(until_metrics("sluice_control_change_seconds_count{hop=\"all\"} 1\n"));
  EXPECT_THAT(get("/metrics"),
              AllOf(HasSubstr("sluice_control_change_seconds_count{hop=\"control\"} 1\n"),
                    HasSubstr("sluice_control_change_seconds_count{hop=\"dataplane\"} 0\n")));
  // One endpoint less.
  redis_.command({"DEL", "sluice:1:object:manual:Pod:default/web-2"});
  redis_.command({"HINCRBY", "sluice:1:source:manual", "count:Pod", "-1"});
  tell("delete", "Pod", "default/web-2");
  ASSERT_TRUE(dataplane_->wait_for([](const auto& s) { return serves(s, 2, 1); }, 30s));
  ASSERT_TRUE(until_metrics("sluice_control_change_seconds_count{hop=\"dataplane\"} 1\n"));
  EXPECT_THAT(
      get("/metrics"),
      AllOf(HasSubstr("sluice_control_change_seconds_sum{hop=\"agent\"} 0.04\n"),
            HasSubstr("sluice_control_change_seconds_bucket{hop=\"redis\",le=\"0.0075\"} 0\n"),
            HasSubstr("sluice_control_change_seconds_bucket{hop=\"all\",le=\"0.02\"} 0\n"),
            HasSubstr("sluice_control_change_seconds_count{hop=\"all\"} 2\n"),
            HasSubstr("sluice_control_changes_waiting 0\n"),
            HasSubstr("sluice_control_changes_unmeasured_total 0\n"),
            HasSubstr("sluice_control_clock_disagreements_total 0\n")));
}

TEST_F(HealthTest, AnAddressThatIsTakenLeavesTheDataplaneProgrammed) {
  const int taken = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(taken, reinterpret_cast<const sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(taken, 1), 0);
  ASSERT_EQ(::getsockname(taken, reinterpret_cast<sockaddr*>(&address), &size), 0);
  write_config("  listen: 127.0.0.1:" + std::to_string(ntohs(address.sin_port)) + "\n");
  serve_web();
  EXPECT_THAT(control_->log(), HasSubstr("no health and metrics error=\"control.listen"));
  ::close(taken);
}

}  // namespace
}  // namespace sluice
