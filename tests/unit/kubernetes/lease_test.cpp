#include "control/kubernetes/lease.h"

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/json.hpp>
#include <map>

#include "control/kubernetes/lease_record.h"
#include "tests/unit/kubernetes/scripted_calls.h"

namespace sluice::kube {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// One Lease, by the server's rules: a write needs the current resourceVersion.
struct LeaseServer {
  Response answer(const Request& request) {
    Response response;
    response.status = 200;
    if (down) {
      response.status = 0;
      response.failure = Failure::kTransport;
      response.error = "down";
      return response;
    }
    if (request.method == "GET") {
      if (lease.empty()) {
        response.status = 404;
      } else {
        response.body = lease;
      }
    } else {
      boost::json::value body = boost::json::parse(request.body);
      auto& metadata = body.as_object()["metadata"].as_object();
      const bool create = request.method == "POST";
      if (create != lease.empty()) {
        response.status = create ? 409 : 404;
      } else if (!create &&
                 metadata["resourceVersion"].as_string() != std::to_string(version).c_str()) {
        response.status = 409;
      } else {
        if (create) metadata["uid"] = "uid-" + std::to_string(++created);
        metadata["resourceVersion"] = std::to_string(++version);
        lease = boost::json::serialize(body);
        ++writes;
        response.body = lease;
      }
    }
    if (!response.ok()) response.error = "refused";
    return response;
  }
  LeaseRecord record() const { return *parse_lease(lease); }

  std::string lease;
  int version = 0, created = 0, writes = 0;
  bool down = false;
};

class LeaseTest : public testing::Test {
 protected:
  struct Candidate {
    Candidate(boost::asio::io_context& io, LeaseServer& server, const std::string& name,
              milliseconds duration)
        : calls(io.get_executor()) {
      calls.respond = [&server, this](const Request& request) {
        Response response;
        if (no_namespace) {
          response.status = 404;
          response.error = "namespaces not found";
          return response;
        }
        if (!cut_off) return server.answer(request);
        response.failure = Failure::kTransport;
        return response;
      };
      LeaseOptions options;
      options.ns = "sluice-system";
      options.name = "sluice-agent";
      options.identity = name;
      options.duration = duration;
      options.renew_deadline = duration * 2 / 3;
      options.retry = milliseconds(20);
      elector = std::make_unique<LeaseElector>(
          io.get_executor(), calls, options,
          LeaseElector::Hooks{[this] { ++changes; },
                              [this](const std::string& text) { errors += text + "\n"; }});
      boost::asio::co_spawn(io, elector->run(), [this](std::exception_ptr) { ended = true; });
    }
    ScriptedCalls calls;
    std::unique_ptr<LeaseElector> elector;
    std::string errors;
    int changes = 0;
    bool ended = false, cut_off = false, no_namespace = false;
  };

  ~LeaseTest() override {
    for (auto& [name, candidate] : candidates) stop(name);
  }
  Candidate& add(const std::string& name, milliseconds duration = std::chrono::seconds(1)) {
    candidates[name] = std::make_unique<Candidate>(io, server, name, duration);
    return *candidates[name];
  }
  void stop(const std::string& name) {
    candidates[name]->elector->stop();
    EXPECT_TRUE(until([&] { return candidates[name]->ended; }));
  }
  bool until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < end) {
      // No two at any time.
      int leaders = 0;
      for (auto& [name, candidate] : candidates) leaders += candidate->elector->leading();
      EXPECT_LE(leaders, 1);
      io.restart();
      io.run_for(milliseconds(2));
    }
    return done();
  }
  void pass(milliseconds time) {
    const auto end = std::chrono::steady_clock::now() + time;
    until([&] { return std::chrono::steady_clock::now() >= end; });
  }

  boost::asio::io_context io;
  LeaseServer server;
  std::map<std::string, std::unique_ptr<Candidate>> candidates;
};

TEST_F(LeaseTest, TheFirstLeadsAndRenewsAndTheSecondWaits) {
  auto& a = add("a");
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  EXPECT_EQ(a.elector->token(), 1u);
  auto& b = add("b");
  const int writes = server.writes;
  pass(milliseconds(1500));  // Longer than the Lease lasts.
  EXPECT_TRUE(a.elector->leading());
  EXPECT_FALSE(b.elector->leading());
  EXPECT_EQ(b.elector->holder(), "a");
  EXPECT_GT(server.writes, writes + 5);
  EXPECT_EQ(server.record().transitions, 1u);
  EXPECT_EQ(server.record().duration, std::chrono::seconds(1));
}

TEST_F(LeaseTest, AReleasedLeaseIsTakenAtOnceWithALargerToken) {
  auto& a = add("a", std::chrono::seconds(30));
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  auto& b = add("b", std::chrono::seconds(30));
  stop("a");
  EXPECT_FALSE(a.elector->leading());
  ASSERT_TRUE(until([&] { return b.elector->leading(); }));
  EXPECT_EQ(b.elector->token(), 2u);
}

TEST_F(LeaseTest, WhoCannotRenewStopsBeforeAnotherTakesOver) {
  auto& a = add("a");
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  auto& b = add("b");
  ASSERT_TRUE(until([&] { return b.elector->holder() == "a"; }));
  a.cut_off = true;
  // until() watches that no two lead.
  ASSERT_TRUE(until([&] { return b.elector->leading(); }));
  EXPECT_FALSE(a.elector->leading());
  EXPECT_EQ(b.elector->token(), 2u);
  a.cut_off = false;
  pass(milliseconds(200));
  EXPECT_TRUE(b.elector->leading());
  EXPECT_EQ(a.elector->holder(), "b");
}

// The times in the record are another clock's: only changes of the record count.
TEST_F(LeaseTest, AbsurdTimesInTheRecordDoNotMatter) {
  server.version = 5;
  server.created = 1;
  server.lease =
      R"({"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"sluice-agent","namespace":"sluice-system","uid":"u","resourceVersion":"5","labels":{"keep":"me"}},"spec":{"holderIdentity":"old","leaseDurationSeconds":1,"leaseTransitions":41,"renewTime":"1970-01-01T00:00:00.000000Z","acquireTime":null}})";
  auto& a = add("a");
  pass(milliseconds(500));
  EXPECT_FALSE(a.elector->leading());  // Long ago by its times, but seen just now.
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  EXPECT_EQ(a.elector->token(), 42u);
  EXPECT_THAT(server.lease, HasSubstr(R"("labels":{"keep":"me"})"));
}

TEST_F(LeaseTest, ADeletedLeaseIsMadeAnewWithALargerToken) {
  auto& a = add("a");
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  server.lease.clear();
  ASSERT_TRUE(until([&] { return a.elector->leading() && a.elector->token() == 2; }));
  EXPECT_THAT(a.errors, HasSubstr("the Lease was deleted"));
  EXPECT_EQ(server.record().transitions, 2u);
}

TEST_F(LeaseTest, AMissingNamespaceIsSaidAndWaitedFor) {
  Candidate& a = add("a");
  a.no_namespace = true;
  EXPECT_TRUE(until([&] { return a.errors.find("there is no namespace") != std::string::npos; }));
  EXPECT_NE(a.errors.find("kubernetes.namespace"), std::string::npos);
  EXPECT_FALSE(a.elector->leading());
  a.no_namespace = false;
  EXPECT_TRUE(until([&] { return a.elector->leading(); }));
}

TEST_F(LeaseTest, ATokenInUseRaisesTheTransitionsInPlace) {
  auto& a = add("a");
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  a.elector->require_token_above(1);
  ASSERT_TRUE(until([&] { return a.elector->token() == 2; }));
  a.elector->require_token_above(500);
  ASSERT_TRUE(until([&] { return a.elector->token() == 501; }));
  EXPECT_TRUE(a.elector->leading());
  EXPECT_EQ(server.record().transitions, 501u);
  pass(milliseconds(100));
  EXPECT_EQ(server.record().transitions, 501u);
  a.elector->require_token_above(kMaxTransitions);
  ASSERT_TRUE(until([&] { return !a.elector->leading(); }));
  EXPECT_THAT(a.errors, HasSubstr("2147483647"));
}

TEST_F(LeaseTest, SteppingDownLetsAnotherLead) {
  auto& a = add("a", std::chrono::seconds(30));
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  a.elector->step_down(std::chrono::seconds(10));
  EXPECT_FALSE(a.elector->leading());
  auto& b = add("b", std::chrono::seconds(30));
  ASSERT_TRUE(until([&] { return b.elector->leading(); }));
}

TEST_F(LeaseTest, AServerThatIsAwayEndsTheTermAndComesBack) {
  auto& a = add("a");
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  server.down = true;
  ASSERT_TRUE(until([&] { return !a.elector->leading(); }));
  server.down = false;
  ASSERT_TRUE(until([&] { return a.elector->leading(); }));
  EXPECT_EQ(a.elector->token(), 2u);
}

TEST(LeaseRecord, OddFieldsCountAsAbsent) {
  EXPECT_FALSE(parse_lease("[]"));
  EXPECT_FALSE(parse_lease("{}"));
  const auto record = parse_lease(
      R"({"metadata":{"resourceVersion":"1"},"spec":{"holderIdentity":5,"leaseTransitions":-3,"leaseDurationSeconds":99999999999}})");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->holder, "");
  EXPECT_EQ(record->transitions, 0u);
  EXPECT_EQ(record->duration.count(), 0);
}

}  // namespace
}  // namespace sluice::kube
