#include "config/agent_config.h"

#include <gmock/gmock.h>

#include "config/yaml_tree.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::string error_of(const std::string& text) {
  const auto config = parse_agent_config(text, "a.yaml");
  return config ? "" : config.error();
}

TEST(AgentConfig, DefaultsNeedOnlyTheClustersName) {
  EXPECT_THAT(load_agent_config("").error(), HasSubstr("cluster: is not given"));
  const auto config = load_agent_config("", {.cluster = "prod"});
  ASSERT_TRUE(config) << config.error();
  EXPECT_EQ(config->cluster(), "prod");
  EXPECT_EQ(config->redis().address(), "127.0.0.1:6379");
  EXPECT_EQ(config->kubernetes().lease_name(), "sluice-agent");
  EXPECT_EQ(config->resync_seconds(), 600u);
  EXPECT_THAT(config->load_balancer_classes(), ElementsAre("sluice.dev/gateway"));
}

// The file people copy is the file that is compiled in.
TEST(AgentConfig, TheSampleIsTheDefault) {
  const auto text = read_text_file(std::string(SLUICE_CONFIG_DIR) + "/agent.yaml");
  ASSERT_TRUE(text) << text.error();
  EXPECT_EQ(*text, default_agent_yaml());
}

TEST(AgentConfig, TheCommandLineGoesOverTheFile) {
  const auto config = parse_agent_config(
      "cluster: a\nredis: {address: 'r:1'}\nlisten: ''\n", "a.yaml",
      {.cluster = "b", .kubeconfig = "/k", .redis = "unix:/r", .listen = "[::1]:0"});
  ASSERT_TRUE(config) << config.error();
  EXPECT_EQ(config->cluster(), "b");
  EXPECT_EQ(config->kubernetes().kubeconfig(), "/k");
  EXPECT_EQ(config->redis().address(), "unix:/r");
  EXPECT_EQ(config->listen(), "[::1]:0");
}

TEST(AgentConfig, EveryMistakeIsToldWithItsPlace) {
  EXPECT_THAT(
      error_of("cluster: Prod\nresyncSeconds: 1\nlisten: here\n"
               "kubernetes: {kubeconfig: k, namespace: A, leaseName: ''}\n"
               "loadBalancerClasses: ['a b']\nredis: {address: x}\n"
               "logging: {level: loud}\n"),
      AllOf(HasSubstr("a.yaml:1:10: cluster: \"Prod\" cannot name a cluster"),
            HasSubstr("a.yaml:2:16: resyncSeconds: 1 is out of range"),
            HasSubstr("listen: \"here\""), HasSubstr("kubernetes.kubeconfig: \"k\""),
            HasSubstr("kubernetes.namespace: \"A\""), HasSubstr("kubernetes.leaseName: \"\""),
            HasSubstr("loadBalancerClasses[0]: \"a b\""), HasSubstr("redis.address: \"x\""),
            HasSubstr("logging.level: \"loud\"")));
  EXPECT_THAT(error_of("cluster: manual\n"), HasSubstr("cannot name a cluster"));
  EXPECT_THAT(error_of("cluster: a\nclusters: b\n"), HasSubstr("cluster"));
}

}  // namespace
}  // namespace sluice
