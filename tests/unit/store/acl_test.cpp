// config/redis-acl.conf gives each program what it needs, and no more.
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "control/store/stream.h"
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

constexpr const char* kPassword = "test-password";

class AclTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    std::ifstream file(SLUICE_SOURCE_DIR "/config/redis-acl.conf");
    ASSERT_TRUE(file);
    for (std::string line; std::getline(file, line);) {
      std::istringstream in(line);
      std::vector<std::string> words = {"ACL", "SETUSER"};
      std::string word;
      in >> word;
      if (word != "user") continue;
      while (in >> word) words.push_back(word[0] == '>' ? std::string(">") + kPassword : word);
      ASSERT_EQ(server.command(words), "OK") << line;
    }
    password = server.folder() + "/password";
    std::ofstream(password) << kPassword;
    ::chmod(password.c_str(), 0600);
  }
  RedisOptions as(const std::string& user) {
    RedisOptions o = options();
    o.username = user;
    o.password_file = password;
    return o;
  }
  void connect(Redis& client) {
    const Status status = run(client.connect());
    ASSERT_TRUE(status) << status.error();
  }
  std::string password;
};

TEST_F(AclTest, ControlDoesAllItsWork) {
  Redis control(io.get_executor(), as("sluice-control"));
  connect(control);
  apply(services(2));
  Lead lead(control, "gw-a");
  const auto leads = run(lead.hold());
  ASSERT_TRUE(leads) << leads.error();
  const auto seeded = run(reseed(control, lead.leader(), {}, Reseed::kFill, "test"));
  ASSERT_TRUE(seeded) << seeded.error();
  Ledger ledger(control);
  ASSERT_TRUE(run(ledger.refresh()));
  ASSERT_TRUE(run(ledger.offer_copy("gw-a", 7)));
  const auto rebuilt = run(ledger.rebuild(lead.leader()));
  ASSERT_TRUE(rebuilt) << rebuilt.error();
  v1::Address record;
  record.set_address(std::string("\xc0\x00\x02\x01", 4));
  record.set_revision(1);
  const Status granted = run(ledger.apply(lead.leader(), {record}));
  EXPECT_TRUE(granted) << granted.error();
  Secret secret(control, "test");
  ASSERT_TRUE(run(secret.refresh()));
  const Status established = run(secret.establish(lead.leader()));
  EXPECT_TRUE(established) << established.error();
  EXPECT_EQ(secret.state(), SecretState::kThere);
  v1::GatewayPresence presence;
  presence.set_name("gw-a");
  EXPECT_TRUE(run(write_presence(control, presence)));
  EXPECT_TRUE(run(list_gateways(control)));
  StatusWriter writer(control, "gw-a");
  v1::ServiceStatus status;
  status.set_source("manual");
  status.set_name("web");
  EXPECT_TRUE(run(writer.update({status}, {})));
  EXPECT_TRUE(run(writer.update({}, {{"manual", "", "web"}})));
  MergedStatusWriter merged(control);
  EXPECT_TRUE(run(merged.recall()));
  EXPECT_TRUE(run(merged.update(lead.leader(), {status}, {})));
  EXPECT_TRUE(run(merged.update(lead.leader(), {}, {{"manual", "", "web"}})));
  EXPECT_TRUE(run(lead.resign()));

  Recorder seen;
  StoreReader follower(io.get_executor(), as("sluice-control"), seen, fast());
  bool ended = false;
  boost::asio::co_spawn(io, follower.run(), [&](std::exception_ptr) { ended = true; });
  EXPECT_TRUE(until([&] { return seen.objects.size() == 2; }));
  apply({service("new")});
  EXPECT_TRUE(until([&] { return seen.has("new"); }));
  follower.stop();
  EXPECT_TRUE(until([&] { return ended; }));
}

TEST_F(AclTest, TheCommandLineWritesManualObjectsOnly) {
  Redis cli(io.get_executor(), as("sluice-cli"));
  connect(cli);
  Publisher publisher(cli, kManualSource, std::nullopt, "test");
  const auto written = run(publisher.upsert({service("web")}));
  ASSERT_TRUE(written) << written.error();
  EXPECT_TRUE(run(publisher.remove({service_key("web")})));
  EXPECT_TRUE(run(accept_source(cli, kManualSource)));
  EXPECT_TRUE(run(list_objects(cli, "", v1::KIND_UNSPECIFIED)));
  EXPECT_TRUE(run(list_gateways(cli)));
  EXPECT_TRUE(run(read_new(cli, kStreamStart, std::chrono::milliseconds(1))));
  Ledger ledger(cli);
  EXPECT_TRUE(run(ledger.refresh()));

  Publisher other(cli, "prod", 1, "test");
  const auto refused = run(other.upsert({service("web")}));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error(), HasSubstr("config/redis-acl.conf"));
  Lead lead(cli, "gw-a");
  EXPECT_FALSE(run(lead.hold()));
  EXPECT_FALSE(run(cli.command({"SET", "sluice:1:address:192.0.2.1", "x"})));
  EXPECT_FALSE(run(cli.command({"SET", "someone:else", "x"})));
  EXPECT_FALSE(run(cli.command({"FLUSHALL"})));
  EXPECT_FALSE(run(cli.command({"CONFIG", "GET", "*"})));
}

TEST_F(AclTest, AnAgentWritesItsOwnSourceOnly) {
  Redis agent(io.get_executor(), as("sluice-agent"));
  connect(agent);
  Publisher publisher(agent, "cluster-1", 1, "test");
  const auto published = run(publisher.publish_all(all_kinds(), services(2), "uid"));
  ASSERT_TRUE(published) << published.error();
  Publisher manual_one(agent, kManualSource, 1, "test");
  EXPECT_FALSE(run(manual_one.upsert({service("web")})));
  EXPECT_FALSE(run(agent.command({"DEL", "sluice:1:ledger"})));
  EXPECT_TRUE(run(read_statuses(agent, "-", {{"cluster-1", "default", "web-0"}})));
  EXPECT_TRUE(run(read_addresses(agent, {*IpAddress::parse("192.0.2.1")})));
  for (const char* id : {"0-0", "1-1"})
    EXPECT_TRUE(run(agent.command({"XREAD", "STREAMS", "sluice:1:statuses:cluster-1", id})));
  EXPECT_FALSE(run(agent.command({"DEL", "sluice:1:statuses:cluster-1"})));
}

TEST_F(AclTest, TheSecretIsForControlsAlone) {
  server.set("sluice:1:secret", "x");
  server.set("sluice:1:copy:gw-a", "x");
  for (const char* user : {"sluice-cli", "sluice-agent"}) {
    Redis client(io.get_executor(), as(user));
    connect(client);
    for (const char* key : {"sluice:1:secret", "sluice:1:copy:gw-a"}) {
      EXPECT_FALSE(run(client.command({"GET", key}))) << user << " " << key;
      EXPECT_FALSE(run(client.command({"SET", key, "y"}))) << user << " " << key;
      EXPECT_FALSE(run(client.command({"EVAL", "return redis.call('GET', KEYS[1])", "1", key})));
      EXPECT_FALSE(run(client.command({"EVAL", "return redis.call('GET', ARGV[1])", "0", key})));
    }
    Secret secret(client, "test");
    EXPECT_TRUE(run(secret.refresh())) << user;
    EXPECT_EQ(secret.state(), SecretState::kUnusable) << user;
    EXPECT_THAT(secret.problem(), HasSubstr("config/redis-acl.conf")) << user;
    // And all that they do read.
    for (const char* key : {"sluice:1:ledger", "sluice:1:source:manual", "sluice:1:status:-:m:n/x",
                            "sluice:1:gateway:gw-a", "sluice:1:object:manual:Service:default/web"})
      EXPECT_TRUE(run(client.command({"TYPE", key}))) << user << " " << key;
    EXPECT_TRUE(run(list_objects(client, "", v1::KIND_UNSPECIFIED))) << user;
    EXPECT_TRUE(run(list_gateways(client))) << user;
    EXPECT_TRUE(run(list_sources(client))) << user;
  }
  EXPECT_EQ(server.command({"GET", "sluice:1:secret"}), "x");
}

TEST_F(AclTest, ControlMayNotWriteAClustersObjectsNorOthersKeys) {
  Redis control(io.get_executor(), as("sluice-control"));
  connect(control);
  Publisher other(control, "cluster-1", 1, "test");
  EXPECT_FALSE(run(other.upsert({service("web")})));
  EXPECT_FALSE(run(control.command({"SET", "someone:else", "x"})));
  EXPECT_FALSE(run(control.command({"GET", "someone:else"})));
  EXPECT_FALSE(run(control.command({"FLUSHALL"})));
}

}  // namespace
}  // namespace sluice::store
