// `sluice get` with selectors, sources and -w; `source list` and `accept`; --wait.
#include <chrono>
#include <functional>
#include <thread>

#include "control/model/service_plan.h"
#include "control/store/keys.h"
#include "tests/unit/cli/command_fixture.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kTwo = R"(apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web, tier: front}}
spec: {type: LoadBalancer, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: db, labels: {app: db}}
spec: {ports: [{port: 5432}]}
)";

v1::Object cluster_service(const std::string& name, const std::string& address = "") {
  v1::Object object;
  v1::Service& s = *object.mutable_service();
  s.mutable_metadata()->set_name(name);
  s.mutable_metadata()->set_namespace_("default");
  s.mutable_metadata()->set_uid("uid-" + name);
  s.mutable_spec()->set_type("LoadBalancer");
  s.mutable_spec()->set_load_balancer_ip(address);
  s.mutable_spec()->add_ports()->set_port(80);
  return object;
}

bool until(const std::function<bool()>& done) {
  const auto end = std::chrono::steady_clock::now() + 20s;
  while (!done() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(10ms);
  return done();
}

// Without ages, and with single spaces: what columns say.
std::string squeezed(std::string text) {
  std::string out;
  for (const char c : text)
    if (c != ' ' || out.empty() || out.back() != ' ') out += c;
  return out;
}

class GetCommandTest : public test::CommandFixture {
 protected:
  // What a gateway says of itself, having read all of `manual`.
  void present(const std::string& name, const std::function<void(v1::SourceState*)>& change = {}) {
    v1::GatewayPresence presence;
    presence.set_name(name);
    const auto hash = ask(store::read_source_hash(admin(), kManualSource));
    ASSERT_TRUE(hash);
    v1::SourceState* state = presence.add_sources();
    state->set_source(kManualSource);
    state->set_state("synced");
    state->set_sequence(hash->sequence);
    if (change) change(state);
    ASSERT_TRUE(ask(store::write_presence(admin(), presence, 60s)));
  }
  // And of one Service of `manual`; `gateway` "-" for the merged status.
  void status(const std::string& gateway, const std::string& name, bool programmed,
              std::int64_t generation = 1, const std::string& message = "as wanted") {
    const auto listing =
        ask(store::get_objects(admin(), {{kManualSource, v1::KIND_SERVICE, "default", name}}));
    ASSERT_TRUE(listing && listing->objects.size() == 1);
    v1::ServiceStatus status;
    store::stamp(status.mutable_header(), "test");
    status.set_source(kManualSource);
    status.set_namespace_("default");
    status.set_name(name);
    status.set_uid(metadata_of(listing->objects[0].object)->uid());
    status.add_addresses("192.0.2.1");
    *status.add_conditions() = make_condition(kAddressAllocated, true, "Allocated", "");
    *status.add_conditions() =
        make_condition(kProgrammed, programmed, programmed ? "Programmed" : "Refused", message);
    for (auto& c : *status.mutable_conditions()) c.set_observed_generation(generation);
    redis_.set(store::keys::status(gateway, kManualSource, "default", name),
               status.SerializeAsString());
  }
};

TEST_F(GetCommandTest, SelectorsNamesAndKinds) {
  apply(kTwo);
  EXPECT_EQ(sluice({"get", "svc", "-o", "name"}).out, "service/db\nservice/web\n");
  EXPECT_EQ(sluice({"get", "svc", "-o", "name", "-l", "app in (web,x),tier"}).out, "service/web\n");
  EXPECT_EQ(sluice({"get", "svc", "-o", "name", "-l", "!tier"}).out, "service/db\n");
  EXPECT_EQ(sluice({"get", "svc/web", "-o", "name"}).out, "service/web\n");
  EXPECT_EQ(sluice({"get", "svc", "-l", "app=none"}).err,
            "No resources found in default namespace.\n");
  EXPECT_EQ(sluice({"get", "svc", "-n", "shop"}).err, "No resources found in shop namespace.\n");
  EXPECT_EQ(sluice({"get", "svc", "-n", "shop", "-A"}).code, 2);
  const auto result = sluice({"get", "svc,nodes", "--no-headers", "--show-labels"});
  EXPECT_THAT(squeezed(result.out),
              AllOf(StartsWith("service/db ClusterIP <none> <none> 5432/TCP"),
                    HasSubstr(" app=web,tier=front\n"), Not(HasSubstr("NAME"))));
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"get", "svc", "web", "-A"},
                                             {"get", "svc", "web", "-l", "a"},
                                             {"get", "svc", "-l", "a b"},
                                             {"get", "svc,vips"},
                                             {"get", "vips", "-w"},
                                             {"get", "gateways", "-l", "a"},
                                             {"get", "svc,pods", "-w"}})
    EXPECT_NE(sluice(words).code, 0) << words.back();
}

TEST_F(GetCommandTest, SourcesBesideEachOther) {
  apply(kTwo);
  EXPECT_THAT(sluice({"get", "svc"}).out, Not(HasSubstr("SOURCE")));
  publish("prod", {cluster_service("web"), cluster_service("api")});
  const auto all = sluice({"get", "svc"});
  EXPECT_THAT(squeezed(all.out),
              AllOf(HasSubstr("AGE SOURCE\n"), HasSubstr("prod\n"), HasSubstr("manual\n")));
  EXPECT_EQ(sluice({"get", "svc", "--source", "prod", "-o", "name"}).out,
            "service/api\nservice/web\n");
  EXPECT_THAT(sluice({"get", "svc", "--source", "prod"}).out, Not(HasSubstr("SOURCE")));
  EXPECT_EQ(sluice({"get", "svc", "web", "--source", "manual", "-o", "name"}).out, "service/web\n");
  const auto unknown = sluice({"get", "svc", "--source", "nowhere"});
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.err, HasSubstr("there are: manual, prod"));
  EXPECT_EQ(sluice({"describe", "svc/web", "--source", "prod"}).code, 0);
}

TEST_F(GetCommandTest, WatchesChanges) {
  apply(kTwo);
  const std::string log = folder_.path() + "/watch";
  test::Background watch(words({"get", "svc", "-l", "app", "-w", "--output-watch-events"}), log);
  ASSERT_TRUE(until([&] { return watch.log().find("web") != std::string::npos; })) << watch.log();
  EXPECT_THAT(squeezed(watch.log()), StartsWith("EVENT NAME TYPE "));
  sluice({"apply", "-f", "-"}, std::string(kTwo).replace(std::string(kTwo).find("80"), 2, "81"));
  EXPECT_TRUE(until([&] {
    return squeezed(watch.log()).find("MODIFIED web LoadBalancer <none> <pending> 81/TCP") !=
           std::string::npos;
  })) << watch.log();
  status("-", "web", true);  // No entry of the stream.
  EXPECT_TRUE(until([&] {
    return squeezed(watch.log()).find("MODIFIED web LoadBalancer <none> 192.0.2.1 81/TCP") !=
           std::string::npos;
  })) << watch.log();
  sluice({"delete", "svc", "db"});
  EXPECT_TRUE(until([&] { return watch.log().find("DELETED ") != std::string::npos; }))
      << watch.log();
  redis_.kill();
  EXPECT_TRUE(until([&] { return watch.log().find("trying again") != std::string::npos; }));
  redis_.start();
  EXPECT_TRUE(watch.running()) << watch.log();
}

TEST_F(GetCommandTest, WatchesObjectsAsYaml) {
  apply(kTwo);
  test::Background watch(words({"get", "svc", "web", "-w", "-o", "yaml", "--watch-only"}),
                         folder_.path() + "/watch");
  std::this_thread::sleep_for(300ms);
  EXPECT_TRUE(until([&] {  // Until it follows: each is another change.
    static int port = 8000;
    sluice({"apply", "-f", "-"},
           std::string(kTwo).replace(std::string(kTwo).find("80"), 2, std::to_string(++port)));
    return watch.log().find("kind: Service") != std::string::npos;
  })) << watch.log();
  EXPECT_THAT(watch.log(), StartsWith("---\napiVersion: v1\n"));
  EXPECT_THAT(watch.log(), Not(HasSubstr("5432")));
}

TEST_F(GetCommandTest, ApplyWaitsForEveryGateway) {
  auto result = sluice({"apply", "-f", "-", "--wait", "--timeout", "0"}, kTwo);
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("service/web created"));
  EXPECT_THAT(result.err, HasSubstr("is sluice-control running?"));

  present("edge-1");
  present("edge-2", [](v1::SourceState* s) { s->set_sequence(0); });
  status("edge-1", "web", true);
  status("edge-2", "web", false, 1, "The dataplane refused the change: full");
  const std::vector<std::string> words{"apply", "-f", "-", "--wait", "--timeout", "300ms"};
  result = sluice(words, kTwo);
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("gateway edge-2: has not read the last change"));
  present("edge-2");
  result = sluice(words, kTwo);
  EXPECT_THAT(result.err,
              HasSubstr("service/web in namespace \"default\": gateway edge-2: Refused: The "
                        "dataplane refused the change: full"));
  status("edge-2", "web", true);
  result = sluice(words, kTwo);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("service/web programmed\n"));
  EXPECT_THAT(result.out, Not(HasSubstr("service/db programmed")));  // No LoadBalancer.
  // Another generation has to be programmed anew.
  result = sluice(words, std::string(kTwo).replace(std::string(kTwo).find("80"), 2, "81"));
  EXPECT_EQ(result.code, 1);
}

TEST_F(GetCommandTest, DeleteWaitsForTheWithdrawal) {
  apply(kTwo);
  present("edge-1");
  status("edge-1", "web", true);
  auto result = sluice({"delete", "svc", "web", "--wait", "--timeout=300ms"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("service \"web\" deleted"));
  EXPECT_THAT(result.err, HasSubstr("gateway edge-1 still has it"));
  apply(kTwo);
  EXPECT_EQ(sluice({"delete", "svc", "web", "--wait", "--timeout=300ms"}).code, 0);
}

TEST_F(GetCommandTest, SourcesAreListedAndAccepted) {
  apply(kTwo);
  publish("prod", {cluster_service("web")});
  present("edge-1");
  auto result = sluice({"source", "list"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(
      squeezed(result.out),
      AllOf(StartsWith("SOURCE CLUSTER-UID EPOCH LAST-SYNC HELD OBJECTS GATEWAYS\nmanual <none> "),
            HasSubstr(" 0 Service=2 edge-1=synced\n"), HasSubstr("\nprod uid-of-prod 1 "),
            HasSubstr(" 0 Service=1 edge-1=unknown\n")));
  EXPECT_THAT(sluice({"source", "accept", "manual"}).out, HasSubstr("unchanged"));

  present("edge-1", [](v1::SourceState* s) {
    s->set_state("held");
    s->set_message("30 of 40 Services are gone at once");
    s->set_held(30);
    s->add_held_objects("Service default/old");
  });
  result = sluice({"source", "list"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("30 objects: Service default/old and 29 more"),
                                HasSubstr("sluice source accept manual")));
  result = sluice({"source", "accept", "manual"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("Service default/old"), HasSubstr("--yes")));
  EXPECT_EQ(redis_.command({"EXISTS", "sluice:1:accept:manual"}), "0");
  result = sluice({"source", "accept", "manual", "--yes"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "source/manual accepted\n");
  EXPECT_EQ(redis_.command({"EXISTS", "sluice:1:accept:manual"}), "1");
}

}  // namespace
}  // namespace sluice
