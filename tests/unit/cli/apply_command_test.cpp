// `sluice apply`, `diff`, `delete` and `export` as a user runs them.
#include "control/store/keys.h"
#include "tests/unit/cli/command_fixture.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string service(const std::string& name, const std::string& label = "web",
                    const std::string& port = "80", const std::string& ns = "") {
  return "apiVersion: v1\nkind: Service\nmetadata:\n  name: " + name +
         (ns.empty() ? "" : "\n  namespace: " + ns) + "\n  labels: {app: " + label +
         "}\nspec:\n  type: LoadBalancer\n  selector: {app: " + label +
         "}\n  ports: [{port: " + port + "}]\n---\n";
}
constexpr const char* kPool =
    "apiVersion: sluice.dev/v1\nkind: AddressPool\nmetadata: {name: public}\n"
    "spec: {addresses: [192.0.2.0/28]}\n---\n";

v1::Object cluster_service(const std::string& name) {
  v1::Object object;
  v1::Service& s = *object.mutable_service();
  s.mutable_metadata()->set_name(name);
  s.mutable_metadata()->set_namespace_("default");
  s.mutable_metadata()->set_uid("11111111-2222-3333-4444-555555555555");
  s.mutable_spec()->set_type("LoadBalancer");
  s.mutable_spec()->add_ports()->set_port(80);
  return object;
}

class ApplyCommandTest : public test::CommandFixture {
 protected:
  std::string names() { return sluice({"get", "svc,pods,pools", "-A", "-o", "name"}).out; }
};

TEST_F(ApplyCommandTest, ADryRunWritesNothing) {
  const std::string yaml = service("web") + kPool;
  auto result = sluice({"apply", "-f", "-", "--dry-run=server"}, yaml);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "service/web created (server dry run)\n"
            "addresspool.sluice.dev/public created (server dry run)\n");
  EXPECT_EQ(names(), "");
  apply(yaml);
  result = sluice({"apply", "-f", "-", "--dry-run"}, service("web", "web", "81") + kPool);
  EXPECT_EQ(result.out,
            "service/web configured (dry run)\n"
            "addresspool.sluice.dev/public unchanged (dry run)\n");
  EXPECT_THAT(sluice({"get", "svc"}).out, HasSubstr("80/TCP"));
  result =
      sluice({"apply", "-f", "-", "--dry-run=server", "-o", "yaml"}, service("web", "web", "81"));
  EXPECT_THAT(result.out, AllOf(HasSubstr("port: 81"), HasSubstr("generation: 2")));
}

TEST_F(ApplyCommandTest, ADryRunByTheClientNeedsNoRedis) {
  redis_.kill();
  auto result = sluice({"apply", "-f", "-", "--dry-run=client"}, service("web"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "service/web valid (dry run)\n");
  EXPECT_THAT(result.err, HasSubstr("not known"));
  EXPECT_EQ(sluice({"apply", "-f", "-", "--dry-run=server"}, service("web")).code, 1);
  EXPECT_EQ(sluice({"apply", "-f", "-", "--dry-run=client"}, service("web", "web", "0")).code, 1);
}

TEST_F(ApplyCommandTest, PruneDeletesWhatIsNoLongerGiven) {
  apply(service("a") + service("b") + service("c", "other") + service("d", "web", "80", "shop") +
        kPool);
  auto result = sluice({"apply", "-f", "-", "--prune", "-l", "app=web", "--dry-run=server"},
                       service("a") + service("x", "other"));
  EXPECT_EQ(result.out,
            "service/a unchanged (server dry run)\nservice/b pruned (server dry run)\n");
  EXPECT_THAT(names(), HasSubstr("service/b\n"));
  result = sluice({"apply", "-f", "-", "--prune", "-l", "app=web"}, service("a"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "service/a unchanged\nservice/b pruned\n");
  // Another label, another namespace and pools are left alone.
  EXPECT_EQ(names(), "service/a\nservice/c\nservice/d\naddresspool.sluice.dev/public\n");
  EXPECT_EQ(sluice({"apply", "-f", "-", "--prune", "--all"}, service("a")).out,
            "service/a unchanged\nservice/c pruned\n");
  EXPECT_EQ(sluice({"apply", "-f", "-", "--prune", "--all", "--prune-allowlist",
                    "sluice.dev/v1/AddressPool"},
                   service("a"))
                .out,
            "service/a unchanged\naddresspool.sluice.dev/public pruned\n");
}

TEST_F(ApplyCommandTest, PruneNeverLeavesManual) {
  publish("prod", {cluster_service("theirs")});
  apply(service("a") + service("b"));
  EXPECT_EQ(sluice({"apply", "-f", "-", "--prune", "--all"}, service("a")).out,
            "service/a unchanged\nservice/b pruned\n");
  EXPECT_THAT(names(), HasSubstr("service/theirs\n"));
}

TEST_F(ApplyCommandTest, PruneWantsToKnowWhat) {
  for (const std::vector<std::string>& more : std::vector<std::vector<std::string>>{
           {"--prune"},
           {"--all"},
           {"--prune", "--all", "-l", "a=b"},
           {"--prune", "--all", "--prune-allowlist", "Service/v1"},
           {"--prune", "-l", "a in"}}) {
    std::vector<std::string> words{"apply", "-f", "-"};
    words.insert(words.end(), more.begin(), more.end());
    EXPECT_EQ(sluice(words, service("a")).code, 2) << more.front();
  }
  // Nothing chosen is no reason to delete everything.
  apply(service("a"));
  EXPECT_EQ(sluice({"apply", "-f", "-", "--prune", "-l", "app=db"}, service("a")).code, 1);
  EXPECT_EQ(names(), "service/a\n");
}

TEST_F(ApplyCommandTest, TheSelectorChoosesAmongTheManifests) {
  const auto result =
      sluice({"apply", "-f", "-", "-l", "app!=web"}, service("a") + service("b", "db"));
  EXPECT_EQ(result.out, "service/b created\n") << result.err;
}

TEST_F(ApplyCommandTest, FilesDirectoriesAndUrls) {
  folder_.write("m/a.yaml", service("a"));
  folder_.write("m/below/b.yml", service("b"));
  EXPECT_EQ(sluice({"apply", "-f", folder_.path() + "/m"}).out, "service/a created\n");
  EXPECT_EQ(sluice({"apply", "-R", "-f", folder_.path() + "/m"}).out,
            "service/a unchanged\nservice/b created\n");
  auto result = sluice({"apply", "-f", "https://example.com/x.yaml"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("URLs are not fetched"), HasSubstr("curl")));
  result = sluice({"apply", "-f", "-", "-f", "-"}, service("a"));
  EXPECT_THAT(result.err, HasSubstr("stdin can be read once"));
}

TEST_F(ApplyCommandTest, ANamespaceThatContradicts) {
  EXPECT_EQ(sluice({"apply", "-f", "-", "-n", "shop"}, service("a")).out, "service/a created\n");
  EXPECT_THAT(sluice({"get", "svc", "-n", "shop"}).out, HasSubstr("a      LoadBalancer"));
  const auto result = sluice({"apply", "-f", "-", "-n", "shop"}, service("b", "b", "80", "other"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("stdin:1"), HasSubstr("metadata.namespace"),
                                HasSubstr("\"other\""), HasSubstr("Nothing was changed")));
}

TEST_F(ApplyCommandTest, UnknownFieldsAreMistakes) {
  std::string yaml = service("web");
  yaml.replace(yaml.find("selector:"), 9, "selectr:");
  auto result = sluice({"apply", "-f", "-"}, yaml + service("x", "web", "0"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err,
              AllOf(HasSubstr("stdin:8:"), HasSubstr("Service default/web: spec.selectr"),
                    HasSubstr("did you mean \"selector\"?"), HasSubstr("spec.ports[0].port")));
  result = sluice({"apply", "-f", "-", "--validate=warn"}, yaml);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.err, AllOf(HasSubstr("Warning: "), HasSubstr("selectr")));
  result = sluice({"apply", "-f", "-", "--validate=ignore"}, yaml);
  EXPECT_EQ(result.out, "service/web unchanged\n");
  EXPECT_EQ(result.err, "");
}

TEST_F(ApplyCommandTest, AClustersSourceIsReadOnly) {
  publish("prod", {cluster_service("theirs")});
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"apply", "-f", "-", "--source", "prod"},
                                             {"delete", "svc", "theirs", "--source", "prod"}}) {
    const auto result = sluice(words, service("theirs"));
    EXPECT_EQ(result.code, 1);
    EXPECT_THAT(result.err, HasSubstr("kubectl"));
  }
  const auto result = sluice({"delete", "svc", "theirs"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, AllOf(HasSubstr("not found"), HasSubstr("source \"prod\"")));
  EXPECT_EQ(names(), "service/theirs\n");
}

TEST_F(ApplyCommandTest, DeletesBySelectorAllAndFile) {
  apply(service("a") + service("b") + service("c", "db") + service("d", "db") +
        service("e", "web", "80", "shop"));
  auto result = sluice({"delete", "svc", "-l", "app=web", "--dry-run=server"});
  EXPECT_EQ(result.out,
            "service \"a\" deleted (server dry run)\nservice \"b\" deleted (server dry run)\n");
  EXPECT_EQ(sluice({"delete", "svc", "-l", "app=web", "-o", "name"}).out, "service/a\nservice/b\n");
  EXPECT_EQ(sluice({"delete", "-f", "-"}, service("c", "db")).out, "service \"c\" deleted\n");
  EXPECT_EQ(sluice({"delete", "svc/d"}).out, "service \"d\" deleted\n");
  EXPECT_EQ(sluice({"delete", "svc,pods", "--all"}).err, "No resources found\n");
  EXPECT_EQ(sluice({"delete", "svc", "--all", "-A"}).out, "service \"e\" deleted\n");
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"delete", "svc"},
                                             {"delete", "svc", "a", "--all"},
                                             {"delete", "svc", "a", "-l", "x"},
                                             {"delete", "svc", "--all", "-l", "x"},
                                             {"delete", "svc", "a", "-A"},
                                             {"delete", "vips", "--all"},
                                             {"delete", "svc", "a", "-f", "-"}})
    EXPECT_EQ(sluice(words).code, 2) << words.back();
}

TEST_F(ApplyCommandTest, DiffIsWhatApplyWouldChange) {
  apply(service("web") + service("gone"));
  auto result = sluice({"diff", "-f", "-"}, service("web"));
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  result = sluice({"diff", "-f", "-"}, service("web", "web", "8080") + service("new"));
  EXPECT_EQ(result.code, 1) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("v1.Service.default.web"), HasSubstr("\n@@ "),
                                HasSubstr("port: 8080\n"), Not(HasSubstr("generation: 2")),
                                HasSubstr("v1.Service.default.new"), HasSubstr("\n+  name: new\n"),
                                Not(HasSubstr("gone"))))
      << result.out;
  result = sluice({"diff", "-f", "-", "--prune", "--all"}, service("web"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("\n-  name: gone\n"));
  EXPECT_EQ(sluice({"diff", "-f", "-"}, service("web", "web", "0")).code, 2);
  EXPECT_THAT(names(), Not(HasSubstr("new")));
}

TEST_F(ApplyCommandTest, DiffByAnotherProgram) {
  apply(service("web"));
  std::vector<std::string> command = words({"diff", "-f", "-"});
  command.insert(command.begin(), {"env", "KUBECTL_EXTERNAL_DIFF=diff -q -N"});
  const auto result = test::run(command, service("web", "web", "81"));
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.out, HasSubstr("differ"));
  command[1] = "KUBECTL_EXTERNAL_DIFF=/nonexistent";
  EXPECT_EQ(test::run(command, service("web", "web", "81")).code, 2);
}

TEST_F(ApplyCommandTest, AnExportComesBackTheSame) {
  apply(service("web") + service("x", "web", "80", "shop") + kPool +
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {a: \"1\\n#: '\"}}\n"
        "spec: {containers: [{name: c, image: nginx, ports: [{containerPort: 8080}]}]}\n"
        "status: {phase: Running, podIPs: [{ip: 10.0.2.11}]}\n---\n"
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: \"1\"}}\n");
  apply(service("web", "web", "81"));  // A second generation.
  const auto exported = sluice({"export"});
  ASSERT_EQ(exported.code, 0) << exported.err;
  EXPECT_THAT(sluice({"apply", "-f", "-"}, exported.out).out,
              AllOf(HasSubstr("unchanged"), Not(HasSubstr("configured"))));
  redis_.command({"FLUSHALL"});
  const auto again = sluice({"apply", "-f", "-"}, exported.out);
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.out, AllOf(HasSubstr("created"), Not(HasSubstr("configured"))));
  EXPECT_EQ(sluice({"export"}).out, exported.out);
  EXPECT_THAT(exported.out, HasSubstr("generation: 2"));
}

TEST_F(ApplyCommandTest, AClusterCanBeExported) {
  publish("prod", {cluster_service("theirs")});
  EXPECT_EQ(sluice({"export"}).out, "");
  EXPECT_THAT(sluice({"export", "--source", "prod"}).out,
              HasSubstr("11111111-2222-3333-4444-555555555555"));
  const auto result = sluice({"export", "--source", "nowhere"});
  EXPECT_EQ(result.code, 1);
  EXPECT_THAT(result.err, HasSubstr("there are: prod"));
}

}  // namespace
}  // namespace sluice
