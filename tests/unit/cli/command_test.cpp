// The built `sluice` against a real redis-server and a fake dataplane.
#include "proto/address.h"
#include "tests/unit/cli/command_fixture.h"
#include "tests/unit/program/fake_dataplane.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* kService = R"(apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  selector: {app: web}
  ports: [{port: 80, targetPort: 8080}]
)";
constexpr const char* kPod = R"(apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web}}
spec: {containers: [{name: c, ports: [{containerPort: 8080}]}]}
status:
  phase: Running
  podIP: 10.0.2.11
  podIPs: [{ip: 10.0.2.11}]
  conditions: [{type: Ready, status: "True"}]
)";
constexpr const char* kPool = R"(apiVersion: sluice.dev/v1
kind: AddressPool
metadata: {name: public}
spec: {addresses: [192.0.2.0/28]}
)";

class CommandTest : public test::CommandFixture {};

TEST_F(CommandTest, AppliesGetsAndDeletes) {
  const std::string service = folder_.write("m/service.yaml", kService);
  folder_.write("m/below/pod.yml", kPod);
  folder_.write("m/notes.txt", "not a manifest");

  auto result = sluice({"apply", "-R", "-f", folder_.path() + "/m", "-f", "-"}, kPool);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "pod/web-1 created\nservice/web created\naddresspool.sluice.dev/public created\n");
  result = sluice({"apply", "-f", service});
  EXPECT_EQ(result.out, "service/web unchanged\n") << result.err;
  std::string changed = kService;
  changed.replace(changed.find("8080"), 4, "8081");
  result = sluice({"apply", "-f", "-"}, changed);
  EXPECT_EQ(result.out, "service/web configured\n") << result.err;

  result = sluice({"get", "svc"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              StartsWith("NAME   TYPE           CLUSTER-IP   EXTERNAL-IP   PORT(S)   AGE\n"
                         "web    LoadBalancer   <none>       <pending>     80/TCP    "));
  result = sluice({"get", "endpoints"});
  EXPECT_THAT(result.out, HasSubstr("web    10.0.2.11:8081   1       0"));
  result = sluice({"get", "service", "web", "-o", "yaml"});
  EXPECT_THAT(result.out, AllOf(HasSubstr("kind: Service"), HasSubstr("generation: 2"),
                                HasSubstr("targetPort: 8081")));
  result = sluice({"get", "pools"});
  EXPECT_THAT(result.out, HasSubstr("public   192.0.2.0/28   0      0         16"));

  result = sluice({"delete", "pod", "web-1"});
  EXPECT_EQ(result.out, "pod \"web-1\" deleted\n") << result.err;
  result = sluice({"delete", "pod", "web-1"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("pod \"web-1\" not found in namespace \"default\""));
  EXPECT_EQ(sluice({"delete", "pod", "web-1", "--ignore-not-found"}).code, 0);
  result = sluice({"delete", "-f", service});
  EXPECT_EQ(result.out, "service \"web\" deleted\n") << result.err;
  result = sluice({"get", "services"});
  EXPECT_EQ(result.code, 0);
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "No resources found in default namespace.\n");
}

TEST_F(CommandTest, OneMistakeAndNothingIsWritten) {
  std::string bad = kService;
  bad.replace(bad.find("port: 80"), 8, "port: 70000");
  const std::string file = folder_.write("bad.yaml", bad);
  const auto result = sluice({"apply", "-f", folder_.write("pod.yaml", kPod), "-f", file});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(file + ":"), HasSubstr("spec.ports[0].port"),
                                HasSubstr("70000"), HasSubstr("Nothing was changed")));
  EXPECT_EQ(sluice({"get", "pods"}).out, "");
}

TEST_F(CommandTest, UnknownKindsAreNamedAndPassedOver) {
  const auto result =
      sluice({"apply", "-f", "-"}, std::string("apiVersion: apps/v1\nkind: Deployment\n"
                                               "metadata: {name: web}\n---\n") +
                                       kPod);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "pod/web-1 created\n");
  EXPECT_THAT(result.err, AllOf(HasSubstr("Warning: "), HasSubstr("Deployment")));
}

TEST_F(CommandTest, AnObjectGivenInTwoFilesIsRefused) {
  const auto result =
      sluice({"apply", "-f", folder_.write("a.yaml", kPod), "-f", folder_.write("b.yaml", kPod)});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("b.yaml:1"), HasSubstr("a.yaml:1")));
}

TEST_F(CommandTest, ErrorsOfUseExitWithTwo) {
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {},
           {"frobnicate"},
           {"apply"},
           {"get"},
           {"get", "deployments"},
           {"get", "svc", "-o", "xml"},
           {"get", "svc", "-A", "-n", "x"},
           {"delete"},
           {"describe", "pod", "x"},
           {"trace", "192.0.2.1", "198.51.100.1"},
           {"trace", "192.0.2.1", "[2001:db8::1]:80"},
           {"trace", "192.0.2.1", "198.51.100.1:80", "--flags", "sin"},
           {"flows", "--client", "nobody"},
           {"flows", "--limit", "0"}}) {
    const auto result = sluice(words);
    EXPECT_EQ(result.code, 2) << (words.empty() ? "" : words.front()) << result.err;
    EXPECT_NE(result.err, "");
  }
}

TEST_F(CommandTest, HelpAndVersionAreNoErrors) {
  for (const char* command :
       {"apply", "diff", "delete", "get", "describe", "flows", "stats", "trace"}) {
    const auto result = sluice({command, "-h"});
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.out, HasSubstr(command));
  }
  EXPECT_THAT(sluice({"version"}).out, StartsWith("sluice "));
  EXPECT_THAT(sluice({"--help"}).out, HasSubstr("Exit codes: 0 done"));
}

TEST_F(CommandTest, UnreachablePartnersAreNamed) {
  auto result = sluice({"get", "vips"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(socket_), HasSubstr("is sluice-dataplane running?")));
  redis_.kill();
  result = sluice({"get", "svc"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr(redis_.address()), HasSubstr("--redis")));
  result = sluice({"apply", "-f", "/nonexistent.yaml"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("/nonexistent.yaml"));
}

TEST_F(CommandTest, ChecksTheConfiguration) {
  auto result = sluice({"check", "config", config_});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("ok"));
  result = sluice({"check", "config", folder_.write("bad.yaml", "dataplane:\n  workers: 1000\n")});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("bad.yaml:2"), HasSubstr("workers")));
}

TEST_F(CommandTest, ExportIsWhatApplyTakes) {
  ASSERT_EQ(sluice({"apply", "-f", "-"}, std::string(kService) + "---\n" + kPool).code, 0);
  const auto exported = sluice({"export"});
  ASSERT_EQ(exported.code, 0) << exported.err;
  const auto again = sluice({"apply", "-f", "-"}, exported.out);
  EXPECT_EQ(again.code, 0) << again.err << exported.out;
  EXPECT_THAT(again.out, AllOf(HasSubstr("service/web unchanged"),
                               HasSubstr("addresspool.sluice.dev/public unchanged")));
}

TEST_F(CommandTest, AsksTheDataplane) {
  test::DataplaneState state;
  state.generation = 3;
  v1::Vip vip;
  vip.mutable_key()->set_address(IpAddress::parse("192.0.2.1")->bytes());
  vip.mutable_key()->set_protocol(v1::PROTOCOL_TCP);
  vip.mutable_key()->set_port(80);
  vip.set_service("manual/default/web");
  vip.set_mode(v1::FORWARDING_MODE_NAT);
  state.vips[test::vip_text(vip.key())] = vip;
  test::FakeDataplane dataplane(socket_, state);
  v1::Statistics statistics;
  auto* drop = statistics.add_drops();
  drop->set_reason("no-route");
  drop->set_packets(2);
  drop->set_help("see ip route");
  dataplane.set_statistics(statistics);
  v1::Trace trace;
  trace.set_verdict("drop");
  trace.set_drop_reason("no-route");
  dataplane.set_trace(trace);
  v1::Flows flows;
  flows.set_truncated(true);
  auto* flow = flows.add_flows();
  flow->set_protocol(v1::PROTOCOL_TCP);
  flow->set_client(IpAddress::parse("2001:db8::7")->bytes());
  flow->set_client_port(40000);
  flow->set_state("established");
  dataplane.set_flows(flows);

  EXPECT_THAT(sluice({"get", "vips"}).out,
              HasSubstr("192.0.2.1   80     TCP        manual/default/web"));
  EXPECT_THAT(sluice({"get", "vips", "-o", "json"}).out, HasSubstr("manual/default/web"));
  EXPECT_THAT(sluice({"stats", "--drops"}).out, HasSubstr("no-route   2         see ip route"));
  EXPECT_THAT(sluice({"trace", "198.51.100.7", "192.0.2.1:80"}).out,
              HasSubstr("verdict: drop (no-route)"));
  const auto listed = sluice({"flows"});
  EXPECT_THAT(listed.out, HasSubstr("[2001:db8::7]:40000"));
  EXPECT_THAT(listed.err, HasSubstr("--limit"));
}

TEST_F(CommandTest, DescribeTellsOfAServiceWithoutGateways) {
  ASSERT_EQ(sluice({"apply", "-f", "-"}, std::string(kService) + "---\n" + kPod).code, 0);
  const auto result = sluice({"describe", "service", "default/web"});
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("External IP:          <pending>"),
                                HasSubstr("10.0.2.11:8080   ready   default/web-1"),
                                HasSubstr("is sluice-control running?"),
                                HasSubstr("is sluice-dataplane running?")));
  EXPECT_EQ(sluice({"describe", "service", "nope"}).code, 1);
}

}  // namespace
}  // namespace sluice
